"""Counters and histograms in Prometheus' text format, version 0.0.4."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate

from assay.harness.serving.scheduler import Scheduler, Ticket

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
TTFT_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
TPOT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
LATENCY_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Histogram:
    """Counts by upper border, sum and number of what was seen."""

    def __init__(self, borders: tuple[float, ...]) -> None:
        self._borders = borders
        self._counts = [0] * (len(borders) + 1)
        self._sum = 0.0
        self._lock = threading.Lock()

    def see(self, value: float | None) -> None:
        """None, a time that there is none of, is not counted."""
        if value is None:
            return
        at = next((i for i, border in enumerate(self._borders) if value <= border), len(self._borders))
        with self._lock:
            self._counts[at] += 1
            self._sum += value

    def lines(self, name: str, help_text: str) -> Iterator[str]:
        with self._lock:
            counts, total = list(accumulate(self._counts)), self._sum
        yield from head(name, help_text, "histogram")
        for border, count in zip((*map(repr, self._borders), "+Inf"), counts, strict=True):
            yield f'{name}_bucket{{le="{border}"}} {count}'
        yield f"{name}_sum {total!r}"
        yield f"{name}_count {counts[-1]}"


class Metrics:
    """What a server has done."""

    def __init__(self) -> None:
        self._responses: Counter[tuple[str, int]] = Counter()
        self._ttft, self._tpot, self._latency = Histogram(TTFT_S), Histogram(TPOT_S), Histogram(LATENCY_S)

    def responded(self, path: str, status: int) -> None:
        self._responses[path, status] += 1

    def finished(self, ticket: Ticket) -> None:
        times = ticket.times
        self._ttft.see(times.ttft_s)
        self._tpot.see(times.tpot_s(len(ticket.ids)))
        self._latency.see(None if times.last is None else times.last - times.asked)

    def render(self, scheduler: Scheduler) -> str:
        return "\n".join([*self._lines(scheduler), ""])

    def _lines(self, scheduler: Scheduler) -> Iterator[str]:
        counts = scheduler.counts
        yield from head("assay_http_responses_total", "Responses by path and status.", "counter")
        for (path, status), n in sorted(self._responses.items()):
            yield f'assay_http_responses_total{{path="{path}",status="{status}"}} {n}'
        yield from head("assay_requests_total", "Answers by how they ended.", "counter")
        for end in ("finished", "cancelled", "failed"):
            yield f'assay_requests_total{{end="{end}"}} {getattr(counts, end)}'
        for name, value, kind, told in (
            (
                "assay_prompt_tokens_total",
                counts.prompt_tokens,
                "counter",
                "Prompt tokens read; equal prompts once.",
            ),
            ("assay_generated_tokens_total", counts.new_tokens, "counter", "Tokens written."),
            ("assay_decode_steps_total", counts.steps, "counter", "Decode steps over the whole batch."),
            ("assay_requests_running", scheduler.running, "gauge", "Answers being written."),
            ("assay_requests_waiting", scheduler.waiting, "gauge", "Requests that wait for a place."),
        ):
            yield from head(name, told, kind)
            yield f"{name} {value}"
        yield from self._ttft.lines(
            "assay_time_to_first_token_seconds", "Asked to first token, waiting included."
        )
        yield from self._tpot.lines("assay_time_per_output_token_seconds", "Per token after the first.")
        yield from self._latency.lines(
            "assay_request_latency_seconds", "Asked to last token, waiting included."
        )


def head(name: str, help_text: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {help_text}"
    yield f"# TYPE {name} {kind}"
