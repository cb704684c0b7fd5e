"""The load: at each level as many workers as requests in flight, each sending its next when its last has ended.

That is a closed loop, as vLLM's `bench serve --max-concurrency` and GenAI-Perf's `--concurrency` drive one: a slow
server is asked less often, so latencies at a level are those of so many patient clients, not of a given arrival rate.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assay.harness.errors import BadInputError, UnmeasuredError
from assay.harness.hardware import describe_machine
from assay.harness.models.resolve import Endpoint
from assay.harness.profiling.load.client import DONE, Limits, Trace, ask
from assay.harness.profiling.measure import job

FORMAT = 1
GIVE_UP = 10  # failures one after the other, and at least two of each worker, end a level
OnEvent = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Workload:
    """A load: `requests` that count at each of the `levels` of concurrency, after `warmup` of each worker that do not.

    Every prompt begins with a line of its own, so that no server answers out of its prefix cache. `temperature` 0
    lets a server's speculation do its best; a seed makes sampled answers the same in a second measurement.
    """

    prompts: tuple[str, ...]
    levels: tuple[int, ...] = (1, 4, 16)
    requests: int = 64
    warmup: int = 1
    new_tokens: int = 128
    temperature: float = 0.0
    seed: int = 0
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not self.levels or min(self.levels) < 1:
            raise BadInputError(f"levels of concurrency are numbers from 1 up, got {list(self.levels)}")
        if self.requests < 1 or self.new_tokens < 1 or self.warmup < 0:
            raise BadInputError(
                "a load needs at least one request of at least one token, and no negative warm-up"
            )
        if not self.prompts:
            raise BadInputError("a load needs at least one prompt")

    def body(self, model: str, level: int, number: int) -> dict[str, Any]:
        """Return the body of request `number` of a level."""
        own = hashlib.sha256(f"{self.seed}/{level}/{number}".encode()).hexdigest()[:16]
        content = f"[{own}]\n{self.prompts[number % len(self.prompts)]}"
        return {
            "model": model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": self.new_tokens,
            "temperature": self.temperature,
            "seed": self.seed + number,
            "stream": True,
        }


def measure(
    endpoint: Endpoint, workload: Workload, raw: Path, on_event: OnEvent = lambda event: None
) -> None:
    """Drive every level, each request's trace a line of the new file `raw` as soon as it has ended.

    Raises BadInputError where `raw` exists or the server refuses such requests, UnmeasuredError where it answers none.
    """
    extra = _extras(endpoint, workload)
    lock = threading.Lock()

    def write(kind: str, **values: Any) -> None:
        event = {"event": kind, **values}
        with lock:
            out.write(json.dumps(event, allow_nan=False) + "\n")
            out.flush()
            on_event(event)

    with job.open_record(raw, "a measurement") as out:
        write(
            "start",
            format=FORMAT,
            created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            endpoint=asdict(endpoint),
            workload=asdict(workload) | {"prompts": len(workload.prompts)},
            asks_for_usage=bool(extra),
            client=describe_machine(),
            load_average=os.getloadavg(),
        )
        for level in workload.levels:
            _Level(endpoint, workload, level, extra, write).run()
        write("stop")


@dataclass
class _Level:
    """The requests at one concurrency; `extra` stands in the body of each."""

    _endpoint: Endpoint
    _workload: Workload
    _concurrency: int
    _extra: dict[str, Any]
    _write: Callable[..., None]

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._number = self._sent = self._failures = 0
        self._stopped = threading.Event()
        self._warm = threading.Barrier(self._concurrency, action=self._begin)
        self._began = 0.0
        self._errors: list[BaseException] = []

    def run(self) -> None:
        """Work until all is sent and answered. What a worker raises ends the level, and is raised here."""
        names = [f"assay-load-{i}" for i in range(self._concurrency)]
        workers = [threading.Thread(target=self._work, name=name, daemon=True) for name in names]
        try:
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
        except BaseException:  # Ctrl-C: no request is begun any more, and nobody is waited for
            self._stop()
            raise
        if self._errors:
            raise self._errors[0]
        self._write(
            "level",
            concurrency=self._concurrency,
            seconds=time.perf_counter() - self._began,
            given_up=self._failures >= self._patience,
        )

    def _stop(self) -> None:
        self._stopped.set()
        self._warm.abort()

    def _work(self) -> None:
        """Send until the level ends, and end it where this worker fails.

        A worker that died alone would leave the others at the barrier for ever, or fewer at work than is stated.
        """
        try:
            self._send()
        except threading.BrokenBarrierError:
            return  # another one has said why
        except BaseException as error:
            self._errors.append(error)
            self._stop()

    def _send(self) -> None:
        for _ in range(self._workload.warmup):
            if self._stopped.is_set():
                return
            self._one(warmup=True)
        self._warm.wait()
        while not self._stopped.is_set():
            with self._lock:
                if self._sent >= self._workload.requests:
                    return
                self._sent += 1
            self._one(warmup=False)

    def _begin(self) -> None:
        self._began, self._failures = time.perf_counter(), 0

    def _one(self, *, warmup: bool) -> None:
        with self._lock:
            number = self._number
            self._number += 1
        body = self._workload.body(self._endpoint.model, self._concurrency, number) | self._extra
        trace = ask(self._endpoint, body, self._workload.limits)
        with self._lock:
            self._failures = 0 if trace.status == DONE else self._failures + 1
            if self._failures >= self._patience and not warmup:
                self._stopped.set()
        self._write("request", concurrency=self._concurrency, number=number, warmup=warmup, **asdict(trace))

    @property
    def _patience(self) -> int:
        return max(GIVE_UP, 2 * self._concurrency)


def _extras(endpoint: Endpoint, workload: Workload) -> dict[str, Any]:
    """Return what makes the server count its tokens in a stream; nothing where it refuses to."""
    extra: dict[str, Any] = {"stream_options": {"include_usage": True}}
    body = workload.body(endpoint.model, 0, 0) | {"max_tokens": 1}
    trace = ask(endpoint, body | extra, workload.limits)
    if trace.status in ("status 400", "status 422") and "stream_options" in trace.detail:
        extra, trace = {}, ask(endpoint, body, workload.limits)
    _check(endpoint, trace)
    return extra


def _check(endpoint: Endpoint, trace: Trace) -> None:
    if trace.status == DONE:
        return
    message = f"{endpoint.url}/chat/completions does not answer a streamed request: {trace.status}"
    message += f": {trace.detail}" if trace.detail else ""
    if trace.status.startswith("status 4") and trace.status not in ("status 408", "status 429"):
        raise BadInputError(message)
    raise UnmeasuredError(message)


def read_events(raw: Path) -> list[dict[str, Any]]:
    """Return the record's events. Raises BadInputError as `assay.harness.profiling.measure.job.read_events`."""
    return job.read_events(raw, "a load measurement", FORMAT)
