"""Turn token ids into text as they come: the bytes of a token, where a completion ends, and which text is final."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from assay.harness.errors import BadInputError

# Tokens that end an answer even where a model's own configuration leaves them out.
END_TOKENS = frozenset(
    {
        *("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|end|>", "</s>"),
        *("<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<|eot|>", "<end_of_turn>"),
    }
)
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


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
        """Take one token, and return whether a stop string is now in the text, which has been cut before it."""
        piece = self._pieces[token_id]
        since = max(0, len(self._text) - self._longest + 1)
        self._text += piece
        if not self._stops or not piece:
            return False
        ends = [at for at in (self._text.find(s, since) for s in self._stops) if at >= 0]
        if ends:
            del self._text[min(ends) :]
        return bool(ends)

    def text(self) -> str:
        """Return the completion. Bytes that are no UTF-8, as a cut inside a character leaves, become U+FFFD."""
        return self._text.decode("utf-8", errors="replace")


class Deltas:
    """Cuts a growing text into pieces that can no longer change; all pieces together are the text.

    Withheld are the beginning of a stop string, which would be cut, and a character whose last bytes are missing.
    """

    __slots__ = ("_shown", "_stop")

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(stop)
        self._shown = 0

    def more(self, text: str) -> str:
        """Return what is new and certain in `text`, all that is written so far."""
        certain = text[: len(text) - _unfinished(text)]
        withheld = max((_begun(certain, stop) for stop in self._stop), default=0)
        return self._show(text, len(certain) - withheld)

    def rest(self, text: str) -> str:
        """Return the rest of the finished text."""
        return self._show(text, len(text))

    def _show(self, text: str, end: int) -> str:
        piece = text[self._shown : end]
        self._shown = max(self._shown, end)
        return piece


def _unfinished(text: str) -> int:
    """Count the characters at the end that may still become another: at most three bytes lack their last one."""
    n = 0
    while n < min(3, len(text)) and text[-1 - n] == _REPLACEMENT:
        n += 1
    return n


def _begun(text: str, stop: str) -> int:
    """Count the characters at the end of the text that a stop string begins with."""
    for n in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:n]):
            return n
    return 0


def token_pieces(tokenizer: Any, vocab_size: int) -> list[bytes]:
    """Return the bytes that each id of a Hugging Face tokenizer stands for: none for special and for missing ones.

    Byte-level BPE spells bytes in GPT-2's alphabet; SentencePiece-style vocabularies use `▁` and `<0x0A>`. Raises
    BadInputError for another decoder.
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
    """Return GPT-2's printable characters for the 256 bytes, as byte-level BPE vocabularies spell their tokens."""
    printable = [b for a, z in ("!~", "¡¬", "®ÿ") for b in range(ord(a), ord(z) + 1)]
    table = {chr(b): b for b in printable}
    table.update({chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in printable)})
    return table
