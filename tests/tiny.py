"""A random Qwen2 with the pocket model's kind of tokenizer, made in a second: to try the machinery without weights.

Its answers mean nothing; its files, shapes, tokenizer and chat template are of the real kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from assay.trainers.artifact import Artifact, ArtifactKind, describe
from assay.trainers.pocket.pretrain import END_OF_TEXT, END_OF_TURN, train_tokenizer
from assay.trainers.run.runtime import quiet_libraries


def make_tiny_model(
    out: Path,
    texts: Sequence[str],
    *,
    vocab_size: int = 384,
    hidden_size: int = 64,
    layers: int = 2,
    tied: bool = False,
    seed: int = 0,
) -> Artifact:
    """Write a random base model to `out`, its tokenizer trained on `texts` (at least 259 entries: bytes, specials).

    `vocab_size` of the model is kept even where the texts yield fewer merges, as in published models, whose
    embedding is padded.
    """
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tokenizer = train_tokenizer(texts, vocab_size)
    end_of_turn, end_of_text = (tokenizer.convert_tokens_to_ids(t) for t in (END_OF_TURN, END_OF_TEXT))
    config = Qwen2Config(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=hidden_size * 3,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=tied,
        initializer_range=0.3,  # wide, so that its distributions are far from uniform
        bos_token_id=None,
        eos_token_id=end_of_turn,
        pad_token_id=end_of_text,
    )
    with quiet_libraries(), torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen2ForCausalLM(config)
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):  # initialised to zero, which would hide a lost bias
                torch.nn.init.normal_(parameter, std=0.1)
        model.generation_config.eos_token_id = [end_of_turn, end_of_text]
        out.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(str(out))
        tokenizer.save_pretrained(str(out))
    return describe(ArtifactKind.BASE, out, None, f"random Qwen2, seed {seed}: for trying the machinery only")
