"""Read a byte-level BPE tokenizer for GGUF: tokens and their types by id, merges, special ids, chat template.

GGUF names the way in which text is split before the merges apply; a tokenizer whose way has no name is refused.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from assay.trainers.errors import ExportError
from assay.trainers.folder_checks import loading
from assay.trainers.templates import saved_template

_GENERATION_MARKER = re.compile(
    r"(?:\s*\{%-|^[ \t]*\{%(?![+-])|\{%\+?)\s*(?:end)?generation\s*(?:-%\}\s*|\+%\}|%\}\n?)", re.MULTILINE
)

_ENGLISH = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_GPT2 = ("bytes, cut as GPT-2",)
_BYTES = ("bytes",)
# llama-vocab.cpp's `pre` names; each cuts by these steps, in this order.
_KNOWN: dict[tuple[str, ...], str] = {
    (f"regex {_ENGLISH}\\p{{N}}{_REST}", *_BYTES): "qwen2",
    (f"regex {_ENGLISH}\\p{{N}}{{1,3}}{_REST}", *_BYTES): "llama-bpe",
    _GPT2: "gpt-2",
    ("single digits", *_GPT2): "starcoder",
}


class TokenType(IntEnum):
    """gguf.TokenType's values; llama.cpp parses CONTROL tokens only where special tokens are asked for."""

    NORMAL = 1
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A tokenizer for GGUF. `tokens[i]` and `types[i]` are of id i, up to the model's vocabulary size: a model's
    embedding is often padded beyond its tokenizer, and those rows must be named or every later id would be lost. `pre`
    is llama.cpp's name for the way in which text is split before the merges apply; `add_bos` whether the tokenizer puts
    its first token before a text."""

    tokens: tuple[str, ...]
    types: tuple[TokenType, ...]
    merges: tuple[str, ...]
    eos_id: int
    pad_id: int
    bos_id: int | None
    chat_template: str | None
    pre: str
    add_bos: bool


def read_vocabulary(folder: Path, vocab_size: int) -> Vocabulary:
    """Read the tokenizer of a Hugging Face folder. Raises ExportError unless it is byte-level BPE and fits."""
    spec = _read(folder / "tokenizer.json")
    _check_kind(folder, spec)
    tokenizer = effective_tokenizer(folder)
    model = spec["model"]
    pre = pre_tokenizer_of(folder, spec_of(tokenizer))
    by_id = {i: token for token, i in model["vocab"].items()}
    added = {entry["id"]: entry for entry in spec.get("added_tokens", [])}
    if (highest := max([*by_id, *added])) >= vocab_size:
        raise ExportError(f"{folder}: token id {highest} lies outside the model's vocabulary of {vocab_size}")
    named = {i: (token, TokenType.NORMAL) for i, token in by_id.items()}
    for i, entry in added.items():
        named[i] = (entry["content"], TokenType.CONTROL if entry["special"] else TokenType.USER_DEFINED)
    rows = [named.get(i, (f"[PAD{i}]", TokenType.UNUSED)) for i in range(vocab_size)]
    tokens, types = zip(*rows, strict=True)
    merges = tuple(m if isinstance(m, str) else " ".join(m) for m in model["merges"])
    ids = {token: i for i, token in enumerate(tokens)}
    eos, pad, bos = _special_ids(folder, ids)
    add_bos = bos is not None and tokenizer("x")["input_ids"][:1] == [bos]
    template = saved_template(folder)
    if template is not None:
        template = strip_generation_markers(template)
    return Vocabulary(tokens, types, merges, eos, pad, bos, template, pre, add_bos)


def _check_kind(folder: Path, spec: dict[str, Any]) -> None:
    model = spec.get("model", {})
    kind = repr(model.get("type"))
    if kind == "'BPE'" and model.get("byte_fallback"):
        kind = "SentencePiece's (BPE with byte fallback, as Llama 2's and CodeLlama's)"
    elif kind == "'BPE'":
        return
    raise ExportError(f"{folder}: the tokenizer is {kind}; only byte-level BPE can be exported to GGUF here")


def strip_generation_markers(template: str) -> str:
    """Return the template without `{% generation %}` … `{% endgeneration %}`, which only training libraries know.

    A marker takes with it what it takes as a block in transformers' Jinja: all whitespace on the side of a `-`,
    otherwise the line break behind it and, where it begins a line, the blanks before it, but for the side of a `+`.
    """
    return _GENERATION_MARKER.sub("", template)


def _special_ids(folder: Path, ids: dict[str, int]) -> tuple[int, int, int | None]:
    """Return (eos, pad, bos). Raises ExportError where the tokenizer names no end of text: the model could not stop."""
    config = _read(folder / "tokenizer_config.json")

    def find(key: str) -> int | None:
        value = config.get(key)
        content = value.get("content") if isinstance(value, dict) else value
        return None if content is None else ids.get(content)

    eos = find("eos_token")
    if eos is None:
        raise ExportError(f"{folder}: tokenizer_config.json names no eos_token of the vocabulary")
    pad = find("pad_token")
    return eos, eos if pad is None else pad, find("bos_token")


def _read(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as e:
        raise ExportError(f"{path}: {e}") from e
    return value


def pre_tokenizer_of(folder: Path, spec: dict[str, Any]) -> str:
    """Return llama.cpp's name for the pre-tokenizer of `spec`, a tokenizer in tokenizer.json's form.

    Raises ExportError, which lists the known, for any other: another split gives other tokens, and a model that answers
    worse.
    """
    steps = tuple(_steps(spec.get("pre_tokenizer") or {}))
    if steps not in _KNOWN:
        raise ExportError(
            f"{folder}: the tokenizer cuts text by {list(steps)!r:.400}, which has no known name in llama.cpp; "
            f"known are the ways of {', '.join(_KNOWN.values())}"
        )
    return _KNOWN[steps]


def effective_tokenizer(folder: Path) -> Any:
    """Load the tokenizer as transformers runs it, which may split text differently from its tokenizer.json: for some
    model types the library has rules of its own."""
    from transformers import AutoTokenizer

    with loading(folder, "tokenizer"):
        return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)


def spec_of(tokenizer: Any) -> dict[str, Any]:
    """Return a loaded tokenizer in tokenizer.json's form."""
    spec: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    return spec


def _steps(part: dict[str, Any]) -> list[str]:
    kind = part.get("type")
    if kind == "Sequence":
        return [step for inner in part["pretokenizers"] for step in _steps(inner)]
    if kind == "Split" and part.get("behavior") == "Isolated" and not part.get("invert"):
        pattern = part["pattern"]
        return [f"regex {pattern['Regex']}" if "Regex" in pattern else f"text {pattern['String']}"]
    if kind == "Digits" and part.get("individual_digits"):
        return ["single digits"]
    if kind == "ByteLevel" and not part.get("add_prefix_space"):
        return ["bytes, cut as GPT-2" if part.get("use_regex", True) else "bytes"]
    return [json.dumps(part, sort_keys=True)]
