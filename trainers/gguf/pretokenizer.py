"""How a tokenizer cuts text before its merges apply, and llama.cpp's name for that way of cutting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trainers.errors import ExportError

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


def pre_tokenizer_of(folder: Path, spec: dict[str, Any]) -> str:
    """llama.cpp's name for the cutting in `spec`, a tokenizer in tokenizer.json's form. ExportError lists the known.

    What is not known is refused: another cutting gives other tokens, and a model that answers, only worse.
    """
    steps = tuple(_steps(spec.get("pre_tokenizer") or {}))
    if steps not in _KNOWN:
        raise ExportError(
            f"{folder}: the tokenizer cuts text by {list(steps)!r:.400}, which has no known name in llama.cpp; "
            f"known are the ways of {', '.join(_KNOWN.values())}"
        )
    return _KNOWN[steps]


def effective_tokenizer(folder: Path) -> Any:
    """The tokenizer as transformers runs it, which may cut differently from what tokenizer.json says: for some model
    types the library puts its own rules in place."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder))


def spec_of(tokenizer: Any) -> dict[str, Any]:
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
