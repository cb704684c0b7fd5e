"""The bytes that each token id of a Hugging Face tokenizer stands for."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from harness.errors import BadInputError


def token_pieces(tokenizer: Any, vocab_size: int) -> list[bytes]:
    """The bytes that each id stands for: none for special tokens and for ids that the tokenizer lacks.

    Byte-level BPE spells bytes in GPT-2's alphabet; SentencePiece-style vocabularies use `▁` and `<0x0A>`.
    """
    spec = json.loads(tokenizer.backend_tokenizer.to_str())
    kinds = json.dumps(spec.get("decoder") or {})
    if '"ByteLevel"' in kinds:
        spell = _byte_level_bytes
    elif '"ByteFallback"' in kinds or '"Metaspace"' in kinds:
        spell = _sentencepiece_bytes
    else:
        raise BadInputError(
            f"tokenizer decoder {spec.get('decoder')!r} is unknown; byte-level and SentencePiece are known"
        )
    pieces = [b""] * max(vocab_size, len(tokenizer))
    added = dict(tokenizer.added_tokens_decoder)
    for token, i in tokenizer.get_vocab().items():
        if i in added:
            pieces[i] = b"" if added[i].special else token.encode()
        else:
            pieces[i] = spell(token)
    return pieces


def _sentencepiece_bytes(token: str) -> bytes:
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return bytes([int(token[3:5], 16)])
    return token.replace("▁", " ").encode()


def _byte_level_bytes(token: str) -> bytes:
    alphabet = byte_level_alphabet()
    return bytes(alphabet[c] for c in token)


@cache
def byte_level_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins for the 256 bytes, as byte-level BPE vocabularies spell their tokens."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    table = {chr(b): b for b in printable}
    table.update({chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in printable)})
    return table
