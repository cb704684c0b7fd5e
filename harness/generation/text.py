"""From token ids to text, as they come: where a completion ends and what it says. One way for every backend."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from assay.harness.errors import BadInputError

# Tokens that end an answer even where a model's own configuration forgets to say so.
END_TOKENS = frozenset(
    {
        "<|im_end|>",
        "<|endoftext|>",
        "<|eot_id|>",
        "<|eom_id|>",
        "<|end_of_text|>",
        "<|end|>",
        "</s>",
        "<|fim_pad|>",
    }
    | {"<|repo_name|>", "<|file_sep|>", "<|eot|>", "<end_of_turn>"}
)


class TextTail:
    """The text of one completion as its bytes arrive.

    `pieces[i]` are the bytes of token id i (none for a control token). A stop string counts as soon as its last byte is
    there, wherever token borders fall; the text is cut before the earliest one.
    """

    __slots__ = ("_longest", "_pieces", "_stops", "_text")

    def __init__(self, pieces: Sequence[bytes], stop: Sequence[str]) -> None:
        self._pieces = pieces
        self._stops = [s.encode() for s in stop]
        self._longest = max(map(len, self._stops), default=0)
        self._text = bytearray()

    def push(self, token_id: int) -> bool:
        """Take one token; True when a stop string is now in the text, which has been cut before it."""
        piece = self._pieces[token_id]
        since = max(0, len(self._text) - self._longest + 1)
        self._text += piece
        if not self._stops or not piece:
            return False
        found = [at for at in (self._text.find(s, since) for s in self._stops) if at >= 0]
        if not found:
            return False
        del self._text[min(found) :]
        return True

    def text(self) -> str:
        """The completion. Bytes that are no UTF-8, as a cut inside a character leaves, become U+FFFD."""
        return self._text.decode("utf-8", errors="replace")


# The bytes that each token id of a Hugging Face tokenizer stands for.


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
