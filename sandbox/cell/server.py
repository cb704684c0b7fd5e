"""The fork server's loop: take a request, fork a sample, watch it, tidy up, answer."""

from __future__ import annotations

import os
import time
from functools import partial

from sandbox.cell import fork, runner, wire


def serve(desk: fork.Desk, incoming: int, outgoing: int) -> None:
    """Answer requests until the host closes the channel."""
    read = partial(os.read, incoming)
    while True:
        try:
            request = wire.read_request(read)
        except EOFError:
            return
        _send(outgoing, _run_shared(desk, request).pack())


def _send(descriptor: int, data: bytes) -> None:
    sent = os.write(descriptor, data)
    while sent < len(data):
        sent += os.write(descriptor, data[sent:])


def _run_shared(desk: fork.Desk, request: wire.Request) -> wire.Response:
    token = os.urandom(16)
    report_end, report = os.pipe()
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        fork.run_in_child(lambda: _shared_sample(desk, request, report, token))
    os.close(report)
    reason = desk.watch(pid, request, -1, started)
    usage = desk.reap(pid)
    wall_us = round((time.monotonic() - started) * 1e6)
    message = fork.read_report(report_end)
    os.close(report_end)
    code, passed, detail = wire.NO_REPORT, 0, b""
    if len(message) >= runner.REPORT.size:
        seal, its_code, its_passed, size = runner.REPORT.unpack_from(message)
        if seal == token:
            code, passed, detail = its_code, its_passed, message[runner.REPORT.size :][:size]
    written, shown = desk.collect_output()
    retire = 0 if desk.tidy() else 1
    return wire.Response(
        request.sequence,
        reason,
        code,
        usage.status,
        usage.cpu_us,
        wall_us,
        usage.peak,
        written,
        passed,
        retire,
        detail,
        shown,
    )


def _shared_sample(desk: fork.Desk, request: wire.Request, report: int, token: bytes) -> None:
    desk.dress(request, report, -1)
    runner.run_shared(request.body, token, fork.REPORT_FD)
