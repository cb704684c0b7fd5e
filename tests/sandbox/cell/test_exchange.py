"""What a fork server takes of a sample's report, and sends on."""

from __future__ import annotations

import os

import pytest

from assay.sandbox.cell import exchange, wire

TOKEN = bytes(range(16))


def sent_on(*written: bytes) -> wire.Response:
    """Return what the host gets when a sample wrote this to its report pipe."""
    reading, writing = os.pipe()
    answers, answering = os.pipe()
    os.set_blocking(reading, False)
    reply = exchange.Reply()
    for data in written:
        os.write(writing, data)
    reply.take_report(reading, TOKEN)
    with pytest.raises(BlockingIOError):
        os.read(reading, 1)  # it is left empty
    reply.send(answering, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    parsed = wire.parse_response(bytearray(os.read(answers, 1 << 16)))
    assert parsed is not None
    for descriptor in (reading, writing, answers, answering):
        os.close(descriptor)
    assert not any(reply._view)
    return parsed[0]


def report(detail: bytes, size: int | None = None, token: bytes = TOKEN) -> bytes:
    return token + wire.REPORT.pack(wire.FAILED, 2, len(detail) if size is None else size) + detail


@pytest.mark.parametrize("after", [b"", b" and more", report(b"another"), b"x" * 50_000])
def test_a_detail_is_as_long_as_its_report_says(after: bytes) -> None:
    response = sent_on(report(b"the detail"), after)
    assert (response.code, response.passed) == (wire.FAILED, 2)
    assert (response.detail, response.output) == (b"the detail", b"")
    assert sent_on(report(b"") + after).detail == b""


def test_a_detail_is_no_longer_than_what_arrived() -> None:
    assert sent_on(report(b"short", size=1 << 31)).detail == b"short"
    longest = sent_on(report(b"y" * 60_000))
    assert longest.detail == b"y" * wire.DETAIL_BYTES


@pytest.mark.parametrize("data", [b"", b"no report", report(b"d", token=bytes(16)), report(b"")[:-1]])
def test_what_is_no_report_tells_nothing(data: bytes) -> None:
    response = sent_on(data)
    assert (response.code, response.passed, response.detail) == (wire.NO_REPORT, 0, b"")
