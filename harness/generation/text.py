"""From token ids to text, as they come: where a completion ends and what it says. One way for every backend."""

from __future__ import annotations

from collections.abc import Sequence

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
