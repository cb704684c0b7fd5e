"""The frames between the host and a cell: fixed binary headers, then bytes. Kept lean, for it runs between forks.

Host to cell: REQUEST, then the limits of single checks, the order of the questions, and a body of blobs (candidate,
then checks). Cell to host: HEAD, REPORT, the report's detail, and output.
The first frame a cell sends is READY: a length and a JSON object that says which isolation pieces are on, or
which step failed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

REQUEST = struct.Struct("!IIIQQQI?III")
HEAD = struct.Struct("!IBiQQQQIIQI")
REPORT = struct.Struct("!BII")  # what a sample's own runner says: code, checks passed, length of the detail
LENGTH = struct.Struct("!I")
_ORDER = struct.Struct("!QB")

# Why the cell stopped waiting for a sample.
ENDED, CPU_LIMIT, WALL_LIMIT, HUNG_UP = range(4)

# Bits of Response.flags: the cell is not as new any more; the kernel killed for memory; the wall limit came over a
# sample that wanted the CPU and did not have it; a judge that had judged others ran into a limit of its own.
RETIRE, OOM_KILLED, STARVED, USED_JUDGE = 1, 2, 4, 8

# Who speaks in Response.code, and what they say.
NO_REPORT, PASSED, FAILED, ERROR, OUT_OF_MEMORY, NOT_DATA, CANDIDATE_GONE, UNCONFIRMED, STATEFUL = range(9)
IN_DRAWN_ORDER = 16  # beside FAILED or ERROR: not in the order in which the checks are written

SHOWN_OUTPUT_BYTES = 16 << 10
DETAIL_BYTES = 2000


class QuestionOrder(NamedTuple):
    """What is drawn for a sample: a number, 0 for the order in which checks are written, and the turn. `calls` are
    questions that an earlier turn asked, to be asked in between in this one."""

    number: int = 0
    turn: int = 0
    calls: bytes = b""

    def pack(self) -> bytes:
        return _ORDER.pack(self.number, self.turn) + self.calls if self.number else b""

    @classmethod
    def unpack(cls, data: bytes) -> QuestionOrder:
        if not data:
            return cls()
        number, turn = _ORDER.unpack_from(data)
        return cls(number, turn, data[_ORDER.size :])


class Request(NamedTuple):
    """One sample to run. Times in milliseconds, sizes in bytes; `body` is what `join` packed. `check_cpu_ms` limits the
    CPU time of single checks, one for each; empty leaves them to `cpu_ms`. `order` is for a judge, a packed
    QuestionOrder; `new_judge` asks for one that judged nothing before."""

    sequence: int
    cpu_ms: int
    wall_ms: int
    memory: int
    output: int
    file: int
    processes: int
    body: bytes | memoryview
    check_cpu_ms: tuple[int, ...] = ()
    order: bytes = b""
    new_judge: bool = False

    def pack(self) -> bytes:
        sizes = len(self.check_cpu_ms), len(self.order), len(self.body)
        head = REQUEST.pack(*self[:7], self.new_judge, *sizes)
        limits = struct.pack(f"!{len(self.check_cpu_ms)}I", *self.check_cpu_ms)
        return head + limits + self.order + self.body


class Response(NamedTuple):
    """The end of one sample. `status` is the wait status; `code` is what the sample's own runner reported. `check` is
    the number of the check that used most of its own CPU limit, as far as was seen, and `check_cpu_us` what it used; 0
    where none has such a limit, or none ran for long."""

    sequence: int
    reason: int
    code: int
    status: int
    cpu_us: int
    wall_us: int
    peak: int
    written: int
    passed: int
    flags: int
    detail: bytes
    output: bytes
    check: int = 0
    check_cpu_us: int = 0

    def pack(self) -> bytes:
        head = HEAD.pack(
            self.sequence,
            self.reason,
            self.status,
            self.cpu_us,
            self.wall_us,
            self.peak,
            self.written,
            self.flags,
            self.check,
            self.check_cpu_us,
            len(self.output),
        )
        return head + REPORT.pack(self.code, self.passed, len(self.detail)) + self.detail + self.output


def join(blobs: Sequence[bytes]) -> bytes:
    count = len(blobs)
    return struct.pack(f"!I{count}I", count, *map(len, blobs)) + b"".join(blobs)


def split(body: bytes | memoryview) -> list[bytes]:
    (count,) = struct.unpack_from("!I", body)
    start = 4 + 4 * count
    blobs = []
    for size in struct.unpack_from(f"!{count}I", body, 4):
        blobs.append(bytes(body[start : start + size]))
        start += size
    return blobs


def read_exactly(read: Callable[[int], bytes], size: int) -> bytes:
    """`size` bytes from `read`, or EOFError."""
    data = read(size) if size else b""
    if len(data) == size:
        return data
    parts = [data]
    missing = size - len(data)
    while missing:
        if not parts[-1]:
            raise EOFError(f"the channel closed {missing} bytes before the end of a frame of {size}")
        parts.append(read(missing))
        missing -= len(parts[-1])
    return b"".join(parts)


def read_request(
    read: Callable[[int], bytes], read_body: Callable[[int], bytes | memoryview] | None = None
) -> Request:
    """The next request from `read`; `read_body` gives that many bytes as its body in another form."""
    *fields, new_judge, checks, order_size, size = REQUEST.unpack(read_exactly(read, REQUEST.size))
    limits = struct.unpack(f"!{checks}I", read_exactly(read, 4 * checks)) if checks else ()
    order = read_exactly(read, order_size)
    body = read_body(size) if read_body else read_exactly(read, size)
    return Request._make((*fields, body, limits, order, new_judge))


def parse_response(data: bytearray) -> tuple[Response, int] | None:
    """The response that `data` begins with, and its length in bytes; None while a part of it is missing."""
    start = HEAD.size + REPORT.size
    if len(data) < start:
        return None
    sequence, reason, status, cpu_us, wall_us, peak, written, flags, check, check_cpu_us, output = (
        HEAD.unpack_from(data)
    )
    code, passed, detail = REPORT.unpack_from(data, HEAD.size)
    middle, end = start + detail, start + detail + output
    if len(data) < end:
        return None
    texts = bytes(data[start:middle]), bytes(data[middle:end])
    fields = sequence, reason, code, status, cpu_us, wall_us, peak, written, passed, flags
    return Response._make((*fields, *texts, check, check_cpu_us)), end


def encode_text(source: str) -> bytes:
    """UTF-8 that also carries lone surrogates, which a model's bytes can decode to."""
    return source.encode("utf-8", "surrogatepass")


def decode_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
