"""Verdicts in the order of their samples, whatever order they come in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from harness.samples import Sample
from sandbox import Outcome, Verdict

AHEAD = 8192  # samples that may be read past the oldest one without a verdict


class Judged(NamedTuple):
    """A sample (without its text) and its verdict (without its output); `cached` where it was not executed itself."""

    sample: Sample
    verdict: Verdict
    cached: bool

    def base_passed(self, base_checks: int) -> bool:
        """Whether the first `base_checks` checks held; such checks stop at the first that does not."""
        return 0 < base_checks <= self.verdict.checks_passed and self.verdict.outcome is not Outcome.INFRA

    def row(self) -> dict[str, Any]:
        """The line of a results file."""
        sample, verdict = self.sample, self.verdict
        return {
            "task_id": sample.task_id,
            "index": sample.index,
            "line": sample.line,
            "outcome": verdict.outcome.value,
            "passed": verdict.passed,
            "detail": verdict.detail,
            "cpu_s": round(verdict.cpu_s, 6),
            "wall_s": round(verdict.wall_s, 6),
            "mode": verdict.mode,
            "checks_passed": verdict.checks_passed,
            "checks_total": verdict.checks_total,
            "cached": self.cached,
        }


class InOrder:
    """Hands on verdicts in the order of the samples, holding back those that come early.

    `expect` is called by the thread that reads samples, and waits while that has run too far ahead: one endless
    program among a million verdicts from the cache must not hold all of them in memory.
    """

    def __init__(self, emit: Callable[[Judged], None]) -> None:
        self._emit = emit
        self._samples: dict[int, Sample] = {}
        self._early: dict[int, tuple[Verdict, bool]] = {}
        self._expected = 0
        self.written = 0
        self._closed = False
        self._moved = threading.Condition()

    def expect(self, sample: Sample) -> str | None:
        """The id that the sample's program is to have; None when nothing is wanted any more."""
        with self._moved:
            self._moved.wait_for(lambda: self._closed or self._expected - self.written < AHEAD)
            if self._closed:
                return None
            number, self._expected = self._expected, self._expected + 1
            self._samples[number] = replace(sample, text="")
        return str(number)

    def add(self, verdict: Verdict, cached: bool) -> None:
        self._early[int(verdict.id)] = replace(verdict, output=""), cached
        ready: list[Judged] = []
        with self._moved:
            while self.written + len(ready) in self._early:
                at = self.written + len(ready)
                ready.append(Judged(self._samples.pop(at), *self._early.pop(at)))
        for judged in ready:
            self._emit(judged)
        if ready:
            with self._moved:
                self.written += len(ready)
                self._moved.notify()

    def close(self) -> None:
        with self._moved:
            self._closed = True
            self._moved.notify_all()
