"""The measured process: `python -m harness.profile.worker FD` reads a job from stdin and writes events to FD."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.profile.job import Job
from harness.profile.memory import host_memory, reset_peak
from harness.profile.snapshot import snapshot

OUT_OF_MEMORY = "out of memory"
KILLED = "killed"
DONE = "done"


class Recorder:
    """Writes events; knows which phase is on. `device_memory` gives the allocator's own figures, where it has any."""

    def __init__(self, fd: int) -> None:
        self._out = os.fdopen(fd, "w", encoding="utf-8", buffering=1)
        self.phase_on = ""
        self.device_memory: Callable[[], dict[str, int]] = dict
        self.reset_device_peak: Callable[[], None] = lambda: None
        self.wait: Callable[[], None] = lambda: None  # for the device to finish what it was given

    def write(self, kind: str, **values: Any) -> None:
        self._out.write(json.dumps({"event": kind, "t": time.monotonic(), **values}) + "\n")

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A phase, with the most host memory that it held and what it left."""
        self.phase_on = name
        counted = reset_peak()
        self.reset_device_peak()
        self.write("begin", phase=name)
        yield
        self.wait()
        memory = host_memory(os.getpid())
        if not counted:
            memory.pop("rss_peak_bytes", None)
        self.write("end", phase=name, **memory, **self.device_memory())

    def time(self, repeat: int, warm: bool, **seconds: Any) -> None:
        """One repeat's raw seconds."""
        self.write("time", phase=self.phase_on, repeat=repeat, warmup=not warm, **seconds)

    def fact(self, **facts: Any) -> None:
        self.write("fact", **facts)

    def stop(self, status: str, detail: str = "", **more: Any) -> None:
        self.write("stop", status=status, detail=detail, phase=self.phase_on, **more)


def main() -> None:
    recorder = Recorder(int(sys.argv[1]))
    job = Job.model_validate_json(sys.stdin.read())
    from harness.errors import AssayError
    from harness.profile.inference import measure_inference
    from harness.profile.training import measure_training

    try:
        (measure_inference if job.training is None else measure_training)(job, recorder)
    except MemoryError as error:
        recorder.stop(OUT_OF_MEMORY, str(error) or "the host has no more", snapshot=snapshot())
    except AssayError as error:
        recorder.stop("failed", str(error), exit_code=error.exit_code)
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        recorder.stop(OUT_OF_MEMORY, str(error).splitlines()[0], snapshot=snapshot())
    else:
        recorder.stop(DONE)


def _is_out_of_memory(error: RuntimeError) -> bool:
    """torch has a class for the device's; the host's is a RuntimeError known by its words."""
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)


if __name__ == "__main__":
    main()
