"""The watcher: starts the measured process, samples its memory from outside, writes down all that happens.

It imports no torch, so it neither shares the measured process's interpreter lock nor adds to its memory.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from assay.harness.hardware import ORDER, describe_machine
from assay.harness.profiling.measure.job import (
    FORMAT,
    KILLED,
    Job,
    Record,
    how_it_ended,
    open_record,
    read_record,
)
from assay.harness.profiling.measure.process_memory import Device, host_memory, open_device
from assay.harness.profiling.memory.devices import available_bytes

PERIOD_S = 0.02  # between two samples of memory
_PIPE_BYTES = 1 << 20  # no pipe holds more unless it is asked to, so that one read empties it

# From this size on an allocation is a mapping of its own; glibc raises the bound by itself unless it is set. At its own
# bound of 128 KiB, freed tensors of a small model lay between living ones on the heap: 5 MiB of 43 in a step of PPO.
_EXACT = {"MALLOC_MMAP_THRESHOLD_": str(32 << 10), "MALLOC_MMAP_MAX_": str(1 << 30)}

OnEvent = Callable[[dict[str, Any]], None]


def profile(job: Job, raw: Path, on_event: OnEvent = lambda event: None) -> Record:
    """Run the job in a process of its own, its raw record in the new file `raw`, and return what was recorded.

    The measured process's end is recorded as `stop` with a status: done, out of memory, killed, or failed with its
    reason. Raises BadInputError where `raw` exists.
    """
    with open_record(raw, "a profile") as out:
        write = _writer(out, on_event)
        write(
            {
                "event": "start",
                "format": FORMAT,
                "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "job": job.model_dump(mode="json"),
                "machine": describe_machine(),
                "load_average": os.getloadavg(),
                "period_s": PERIOD_S,
            }
        )
        _watch(job, write)
    return read_record(raw)


def environment(job: Job, ours: Mapping[str, str]) -> dict[str, str]:
    """Return the measured process's environment.

    The trainers take every GPU that they see: it sees the one that is watched, or none.
    """
    first = ours.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    seen = {"CUDA_VISIBLE_DEVICES": "" if job.device == "cpu" else first}
    return {**ORDER, **ours, **(_EXACT if job.exact_memory else {}), **seen}


def _writer(out: TextIO, on_event: OnEvent) -> OnEvent:
    def write(event: dict[str, Any]) -> None:
        out.write(json.dumps(event, allow_nan=False) + "\n")
        if event["event"] != "memory":
            out.flush()
        on_event(event)

    return write


def _watch(job: Job, write: OnEvent) -> None:
    inlet, outlet = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "assay.harness.profiling.measure.worker", str(outlet)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=[outlet],
        env=environment(job, os.environ),
    )
    os.close(outlet)
    device = None
    try:
        assert child.stdin is not None
        if job.device != "cpu":
            device = open_device(child.pid)
        with suppress(BrokenPipeError), child.stdin:  # it ended before it read: it is told below how
            child.stdin.write(job.model_dump_json().encode())  # until then it waits
        status = _follow(child, inlet, device, write)
    finally:
        os.close(inlet)
        if device is not None:
            device.close()
        if child.poll() is None:
            child.kill()
        child.wait()
        if child.stderr is not None:
            child.stderr.close()
    write(status)


def _follow(
    child: subprocess.Popen[bytes], inlet: int, device: Device | None, write: OnEvent
) -> dict[str, Any]:
    """Write events and samples until the process ends, and return its end.

    Its end is asked for, not read off its pipes: what it started may hold them open for longer than it lives.
    """
    assert child.stderr is not None
    stderr_tail, buffer = bytearray(), b""
    stop: dict[str, Any] | None = None
    with selectors.DefaultSelector() as ready:
        ready.register(inlet, selectors.EVENT_READ)
        ready.register(child.stderr, selectors.EVENT_READ)
        due, ended = time.monotonic(), False
        while ready.get_map() and not ended:
            ended = child.poll() is not None  # if so, what it wrote is all there, and is read once more
            for key, _ in ready.select(0.0 if ended else max(0.0, due - time.monotonic())):
                chunk = os.read(key.fd, _PIPE_BYTES)
                if not chunk:
                    ready.unregister(key.fileobj)
                elif key.fd == inlet:
                    *lines, buffer = (buffer + chunk).split(b"\n")
                    for line in lines:
                        event = json.loads(line)
                        if event["event"] == "stop":
                            stop = event
                        else:
                            write(event)
                else:
                    stderr_tail = (stderr_tail + chunk)[-4000:]
            if not ended and time.monotonic() >= due:
                due = time.monotonic() + PERIOD_S
                sample = host_memory(child.pid) | (device.sample() if device else {})
                if sample:
                    write({"event": "memory", "t": time.monotonic(), **sample})
    code = child.wait()
    return stop or _unsaid(code, bytes(stderr_tail))


def _unsaid(code: int, stderr_tail: bytes) -> dict[str, Any]:
    """Return the stop of a process that ended without one of its own."""
    if code == -signal.SIGKILL:
        free = available_bytes()
        host = (
            "free memory is unknown" if free is None else f"{free / 2**30:.1f} GiB were available just after"
        )
        detail = "by SIGKILL, from outside; the kernel does that to the largest process when memory runs out"
        return {"event": "stop", "status": KILLED, "detail": f"{detail} ({host})"}
    detail = how_it_ended(code, stderr_tail.decode(errors="replace"))
    return {"event": "stop", "status": "failed", "detail": detail}
