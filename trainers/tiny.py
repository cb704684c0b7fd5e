"""A random Qwen2 with a byte-level BPE tokenizer, made in a second: for trying the machinery where no weights are.

Its answers mean nothing; its files, shapes, tokenizer and chat template are of the real kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trainers.artifact import Artifact, ArtifactKind, describe
from trainers.quiet import quiet_libraries

END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

# Qwen2's own pre-tokenisation (digits one by one); transformers applies it to every qwen2 folder, whatever is saved.
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}"
    "{% else %}{{ message['content'] + '<|im_end|>\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


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
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    specials = [END_OF_TEXT, TURN_START, TURN_END]
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=TURN_END,
        pad_token=END_OF_TEXT,
        additional_special_tokens=[TURN_START],
    )
    tokenizer.chat_template = CHATML
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
        eos_token_id=tokenizer.convert_tokens_to_ids(TURN_END),
        pad_token_id=tokenizer.convert_tokens_to_ids(END_OF_TEXT),
    )
    with quiet_libraries(), torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen2ForCausalLM(config)
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):  # initialised to zero, which would hide a lost bias
                torch.nn.init.normal_(parameter, std=0.1)
        model.generation_config.eos_token_id = [
            tokenizer.convert_tokens_to_ids(t) for t in (TURN_END, END_OF_TEXT)
        ]
        out.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(str(out))
        tokenizer.save_pretrained(str(out))
    return describe(ArtifactKind.BASE, out, None, f"random Qwen2, seed {seed}: for trying the machinery only")
