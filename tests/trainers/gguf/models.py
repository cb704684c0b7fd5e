"""Small random models of the architectures that are exported, each with a tokenizer of its family's kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assay.trainers import Artifact, ArtifactKind
from assay.trainers.artifact import describe

LLAMA3_CUT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEXTS = [f"def f{i}(x):\n    return x + {i * 137}  # it's   {i}\n\n\tAdd {i} to x." for i in range(60)]


def cutting(kind: str) -> Any:
    """A pre-tokenizer that llama.cpp knows as `kind`; `odd` is one that it does not."""
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split, Whitespace

    plain = ByteLevel(add_prefix_space=False, use_regex=False)
    gpt2 = ByteLevel(add_prefix_space=False)
    return {
        "llama-bpe": Sequence([Split(Regex(LLAMA3_CUT), "isolated"), plain]),
        "gpt-2": gpt2,
        "starcoder": Sequence([Digits(individual_digits=True), gpt2]),
        "odd": Sequence([Whitespace(), plain]),
    }[kind]


def save_tokenizer(out: Path, kind: str, *, vocab_size: int = 384) -> None:
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.decoders import ByteLevel as Decoder
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.processors import TemplateProcessing
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(BPE(ignore_merges=kind == "llama-bpe"))
    inner.pre_tokenizer = cutting(kind)
    inner.decoder = Decoder()
    special = [AddedToken(t, special=True) for t in ("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>")]
    inner.train_from_iterator(
        TEXTS,
        BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=special,
            initial_alphabet=ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if kind == "llama-bpe":
        inner.post_processor = TemplateProcessing(
            single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 0)]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>"
    )
    tokenizer.save_pretrained(str(out))


def make_llama(out: Path, *, kind: str = "llama-bpe", mistral: bool = False, **changes: Any) -> Artifact:
    """A random Llama (or Mistral) of two layers; `changes` go to its configuration."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

    settings: dict[str, Any] = {
        "vocab_size": 400,  # wider than the tokenizer, as embeddings often are
        "hidden_size": 64,
        "intermediate_size": 192,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.3,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }
    if mistral:
        settings["sliding_window"] = None
    config = (MistralConfig if mistral else LlamaConfig)(**settings | changes)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = (MistralForCausalLM if mistral else LlamaForCausalLM)(config)
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):  # initialised to zero, which would hide a lost bias
                torch.nn.init.normal_(parameter, std=0.5)
        model.save_pretrained(str(out))
    save_tokenizer(out, kind)
    return describe(ArtifactKind.BASE, out, None, "random")
