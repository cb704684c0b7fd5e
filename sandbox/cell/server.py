"""The fork server's loop: take a request, fork a sample, watch it, tidy up, answer.

One cell plays one role. "shared" runs a candidate together with its checks. In split mode the "judge" makes a
socket pair for each sample, keeps one end for its own sample and passes the other to the "candidate" cell over the
descriptor the two share; they take the host's requests in the same order.
"""

from __future__ import annotations

import importlib
import os
import socket
import struct
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

from assay.sandbox.cell import exchange, fork, progress, runner, wire

if TYPE_CHECKING:
    from assay.sandbox.cell import candidate, checks, judge, resident

Role = Literal["shared", "judge", "candidate"]
Body = Callable[[], None]


_OF_ROLE = {"shared": (), "judge": ("checks", "judge", "resident"), "candidate": ("candidate",)}


def load(role: Role) -> None:
    """Import what a role needs, and no more: whatever lies in the server's memory spreads what samples write to over
    more pages, which are copied for each of them."""
    for name in _OF_ROLE[role]:
        globals()[name] = importlib.import_module(f"{__package__}.{name}")


def warm_up_role(role: Role) -> None:
    """Do what a sample of this role does beyond running its program, as in `runner.warm_up`."""
    if role == "candidate":
        candidate.warm_up()


_SEQUENCE = struct.Struct("!I")


class PeerLostError(Exception):
    """The other cell of the pair is gone or out of step; this one is of no use without it."""


class Office(NamedTuple):
    """The part that answers requests: a role and what it needs. `fresh` gives each sample namespaces of its own
    first. An answer is put together in the desk's reply, and sent to `outgoing`."""

    role: Role
    link: socket.socket | None  # to the other cell of a pair
    bench: _Bench | None  # of a judge
    desk: fork.Desk
    outgoing: int
    fresh: Fresh | None

    def read(self, incoming: int) -> wire.Request:
        """The next request. Where candidates run, its body is in memory that is wiped after the answer."""
        read = partial(os.read, incoming)
        if self.role == "judge":
            return wire.read_request(read)
        return wire.read_request(read, partial(self.desk.bodies.read, incoming))

    def answer(self, request: wire.Request) -> None:
        if self.role == "shared":
            _shared(self.desk, request, self.outgoing)
        elif self.link is None:
            raise PeerLostError("a cell of a pair without its peer")
        elif self.bench is not None:
            _judge(self.desk, request, self.outgoing, self.link, self.bench)
        else:
            _candidate(self.desk, request, self.outgoing, self.link)


class Fresh(NamedTuple):
    """The way in which a sample gets namespaces of its own: `enter` gives the number of the process that is in them,
    there 0; `desk` makes that process's desk."""

    enter: Callable[[], int]
    desk: Callable[[], fork.Desk]


def serve(
    desk: fork.Desk, role: Role, incoming: int, outgoing: int, peer: int, fresh: Fresh | None = None
) -> None:
    """Answer requests until the host closes the channel."""
    link = socket.socket(fileno=peer) if peer >= 0 else None
    try:
        _share_progress(desk, role, link)
    except (OSError, PeerLostError):
        return
    office = Office(
        role, link, _Bench(desk, may_stay=fresh is None) if role == "judge" else None, desk, outgoing, fresh
    )
    while True:
        try:
            request = office.read(incoming)
            if fresh is None:
                office.answer(request)
            elif not _answer_afresh(office, fresh, request):
                return
        except (EOFError, PeerLostError):
            return
        desk.bodies.wipe()


def _share_progress(desk: fork.Desk, role: Role, link: socket.socket | None) -> None:
    """Settle on the file that says which check runs: of a pair it is the judge's, which the candidate's cell gets."""
    if role == "candidate" and link is not None:
        _, descriptors, _, _ = socket.recv_fds(link, 1, 1)
        if len(descriptors) != 1:
            raise PeerLostError("the judge is gone")
        os.dup2(descriptors[0], desk.progress, inheritable=False)
        os.close(descriptors[0])
        return
    progress.write_to(desk.progress)
    if link is not None:
        socket.send_fds(link, [b"\0"], [desk.progress])


def _answer_afresh(office: Office, fresh: Fresh, request: wire.Request) -> bool:
    """Have a process in new namespaces answer one request; everything there ends with it. False when it failed."""
    pid = fresh.enter()
    if pid == 0:
        try:
            desk = fresh.desk()
            os.dup2(office.desk.progress, desk.progress, inheritable=False)
            office._replace(desk=desk).answer(request)
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def warm_up(desk: fork.Desk) -> None:
    """One sample from request to response, to see which pages the server writes to."""
    body = wire.join([b"x = 1", b"assert x"])
    request = wire.Request(0, 1000, 5000, 1 << 30, 1 << 20, 1 << 20, 0, body)
    reading, writing = os.pipe()
    os.write(writing, request.pack())
    desk.warming = True
    office = Office("shared", None, None, desk, desk.null, None)
    office.answer(office.read(reading))
    desk.bodies.wipe()
    desk.warming = False
    os.close(reading)
    os.close(writing)


def _shared(desk: fork.Desk, request: wire.Request, outgoing: int) -> None:
    token = os.urandom(exchange.TOKEN_BYTES)
    progress.clear()
    _report(
        desk, request, outgoing, -1, token, lambda: runner.run_shared(request.body, token, fork.REPORT_FD)
    )


class _Bench:
    """The judge role's belongings between samples."""

    def __init__(self, desk: fork.Desk, *, may_stay: bool) -> None:
        """`may_stay` allows a judge that stays."""
        self.may_stay = may_stay
        self.checks = checks.Cache()
        self.resident = resident.Resident(desk, self.checks)

    def is_pure(self, questions: checks.Checks) -> bool:
        if not self.may_stay:
            return False
        if questions.pure is None:
            questions.pure = resident.is_pure(questions.sources)
        return questions.pure


def _judge(desk: fork.Desk, request: wire.Request, outgoing: int, peer: socket.socket, bench: _Bench) -> None:
    ours, other = socket.socketpair()
    progress.begin(0)
    try:
        socket.send_fds(peer, [_SEQUENCE.pack(request.sequence)], [other.fileno()])
    except OSError as error:
        raise PeerLostError(str(error)) from error
    finally:
        other.close()
    questions = bench.checks.get(bytes(request.body))
    if not request.new_judge and bench.is_pure(questions):
        _judge_in_resident(desk, request, outgoing, ours, bench)
        return
    bench.resident.stop()
    questions.compile()
    token = os.urandom(exchange.TOKEN_BYTES)
    order = wire.QuestionOrder.unpack(request.order)
    _report(desk, request, outgoing, ours.detach(), token, lambda: judge.run(questions, token, order))


def _judge_in_resident(
    desk: fork.Desk, request: wire.Request, outgoing: int, channel: socket.socket, bench: _Bench
) -> None:
    started = time.monotonic()
    with channel:
        outcome = bench.resident.judge(request, channel.fileno())
    wall_us = round((time.monotonic() - started) * 1e6)
    desk.reply.set_report(outcome.code, outcome.passed, outcome.detail)
    # Pure checks can print, but have no means to touch the scratch folder or the output's flags.
    written = desk.take_output() if desk.has_output() else 0
    flags = wire.OOM_KILLED if desk.ran_out_of_memory() else 0
    if outcome.judge_was_used and (outcome.at_limit or flags):
        flags |= wire.USED_JUDGE
    desk.reply.send(
        outgoing, request.sequence, outcome.reason, 0, outcome.cpu_us, wall_us, 0, written, flags, 0, 0
    )


def _candidate(desk: fork.Desk, request: wire.Request, outgoing: int, peer: socket.socket) -> None:
    message, descriptors, _, _ = socket.recv_fds(peer, _SEQUENCE.size, 1)
    if message != _SEQUENCE.pack(request.sequence) or len(descriptors) != 1:
        raise PeerLostError("the judge sent another sample's channel")
    (channel,) = descriptors
    started = time.monotonic()
    pid = _fork(desk, request, -1, channel, lambda: candidate.run(request.body))
    reason, usage, watch = desk.attend(pid, request, channel, started)
    os.close(channel)
    _answer(desk, request, outgoing, reason, usage, started, watch)


def _report(
    desk: fork.Desk, request: wire.Request, outgoing: int, channel: int, token: bytes, body: Body
) -> None:
    """Run a sample that reports over the pipe; `channel`, if any, is closed here once it has it."""
    started = time.monotonic()
    pid = _fork(desk, request, desk.report, channel, body)
    if channel >= 0:
        os.close(channel)
    reason, usage, watch = desk.attend(pid, request, -1, started)
    desk.take_report(token)
    _answer(desk, request, outgoing, reason, usage, started, watch)


def _fork(desk: fork.Desk, request: wire.Request, report: int, channel: int, body: Body) -> int:
    pid = desk.fork()
    if pid == 0:
        try:
            desk.apply_limits(request, report, channel)
            body()
        finally:
            os._exit(1)
    return pid


def _answer(
    desk: fork.Desk,
    request: wire.Request,
    outgoing: int,
    reason: int,
    usage: fork.Usage,
    started: float,
    watch: progress.Watch | None,
) -> None:
    wall_us = round((time.monotonic() - started) * 1e6)
    starved = wire.STARVED if reason == wire.WALL_LIMIT and desk.was_starved(usage) else 0
    written = desk.take_output()
    flags = (0 if desk.tidy() else wire.RETIRE) | (wire.OOM_KILLED if desk.ran_out_of_memory() else 0)
    flags |= starved
    desk.reply.send(
        outgoing,
        request.sequence,
        reason,
        usage.status,
        usage.cpu_us,
        wall_us,
        usage.peak,
        written,
        flags,
        watch.number if watch else 0,
        round(watch.used_s * 1e6) if watch else 0,
    )
