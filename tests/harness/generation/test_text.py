"""Where a completion ends: stop strings across token borders, cut bytes, the byte-level alphabet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.harness.generation.text import TextTail, byte_level_alphabet

BYTES = [bytes([i]) for i in range(256)]


def feed(data: bytes, stop: tuple[str, ...], sizes: list[int] | None = None) -> tuple[str, int]:
    """The text after feeding `data` in pieces of `sizes` (or byte by byte), and how many pieces were taken."""
    pieces: list[bytes] = []
    at = 0
    for size in sizes or []:
        pieces.append(data[at : at + size])
        at += size
    pieces += [data[i : i + 1] for i in range(at, len(data))]
    tail = TextTail(pieces, stop)
    for i in range(len(pieces)):
        if tail.push(i):
            return tail.text(), i + 1
    return tail.text(), len(pieces)


@pytest.mark.parametrize(
    ("data", "stop", "text"),
    [
        (b"abc\ndef f", ("\ndef",), "abc"),
        (b"abc\ndef f", ("\nclass", "\ndef"), "abc"),
        (b"stop", ("stop",), ""),
        (b"ab", ("abc",), "ab"),
        (b"aab", ("ab",), "a"),
        ("caf\u00e9|x".encode(), ("\u00e9|",), "caf"),
        (b"one two", (), "one two"),
    ],
)
def test_cut_before_the_stop_string(data: bytes, stop: tuple[str, ...], text: str) -> None:
    assert feed(data, stop)[0] == text


@given(st.text("ab\n", max_size=30), st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3), st.data())
def test_token_borders_do_not_matter(text: str, stops: list[str], data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(0, 5), max_size=10))
    found, _ = feed(text.encode(), tuple(stops), sizes)
    # The first stop string to be complete ends it; with several in one piece, the earliest cuts.
    ends = [text.find(s) for s in stops if s in text]
    if not ends:
        assert found == text
    else:
        assert text.startswith(found)
        assert not any(s in found for s in stops)
        assert any(text[len(found) :].startswith(s) for s in stops)


def test_one_piece_with_two_stops_is_cut_at_the_earlier() -> None:
    assert feed(b"a STOP b END c", ("END", "STOP"), [14]) == ("a ", 1)


def test_it_stops_with_the_token_that_completes_the_stop_string() -> None:
    assert feed(b"ab##cd", ("##",)) == ("ab", 4)


def test_a_cut_character_becomes_a_replacement_mark() -> None:
    assert feed("né".encode()[:-1], ())[0] == "n\ufffd"


def test_the_alphabet_covers_every_byte_once() -> None:
    table = byte_level_alphabet()
    assert sorted(table.values()) == list(range(256))
    assert table["Ġ"] == 0x20
    assert table["Ċ"] == 0x0A
    assert table["a"] == 0x61
