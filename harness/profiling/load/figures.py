"""The figures of a load's record, in the field's definitions (vLLM `bench serve`, GenAI-Perf), and their tables.

Of an answer that ended well:
- *TTFT*: request sent to the first event that brings text;
- *ITL*: the gaps between events that bring text, of all answers together. A server that sends several tokens in an
  event shows fewer and longer gaps; `tokens_per_event` tells;
- *E2E*: request sent to the last event that brings text or the finish reason;
- *TPOT*: (E2E - TTFT) / (tokens - 1), absent for answers of fewer than two tokens.
Of a level: *output tokens/s*, *total tokens/s* (prompts too) and *requests/s* are sums over answers that ended well,
divided by the seconds from the first request that counts to the end of the last, failed ones included.

Tokens are the server's own count. Where it gives none, what needs it is unmeasured; events are never taken for tokens.
A percentile is given where at least five values lie beyond it.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from assay.harness import formatting
from assay.harness.console import new_table
from assay.harness.profiling.load.client import DONE
from assay.harness.profiling.measure.summary import duration

if TYPE_CHECKING:
    from rich.console import RenderableType

PERCENTILES = (50, 90, 95, 99)
LATENCIES = {"ttft_s": "TTFT", "tpot_s": "TPOT", "itl_s": "ITL", "e2e_s": "E2E"}
TAIL = 5  # values that must lie beyond a percentile
NOT_COUNTED = "the server does not tell how many tokens it wrote (its answers have no usage)"


def summarise(events: Sequence[dict[str, Any]], raw: str) -> dict[str, Any]:
    """Return the summary of a load (schema 1): what was asked, and figures by level.

    What could not be measured is named with its reason.
    """
    start = events[0]
    workload = start["workload"]
    levels: list[dict[str, Any]] = []
    unmeasured: dict[str, str] = {}
    for concurrency in workload["levels"]:
        requests = [e for e in events if e["event"] == "request" and e["concurrency"] == concurrency]
        end = next((e for e in events if e["event"] == "level" and e["concurrency"] == concurrency), None)
        figures = of_level(concurrency, requests, end, workload["requests"])
        levels.append(figures)
        unmeasured |= {
            f"{what} at {concurrency}": reason for what, reason in figures.pop("unmeasured").items()
        }
    return {
        "schema": 1,
        "endpoint": start["endpoint"],
        "created": start["created"],
        "client": start["client"],
        "load_average": start["load_average"],
        "workload": workload,
        "levels": levels,
        "unmeasured": unmeasured,
        "raw": raw,
    }


def of_level(
    concurrency: int, requests: Sequence[dict[str, Any]], end: dict[str, Any] | None, expected: int
) -> dict[str, Any]:
    counted = [r for r in requests if not r["warmup"]]
    done = [r for r in counted if r["status"] == DONE]
    failed = [r for r in counted if r["status"] != DONE]
    figures: dict[str, Any] = {
        "concurrency": concurrency,
        "requests": len(counted),
        "not_sent": expected - len(counted),
        "warmup_dropped": len(requests) - len(counted),
        "warmup_failed": sum(r["warmup"] and r["status"] != DONE for r in requests),
        "done": len(done),
        "errors": dict(Counter(r["status"] for r in failed).most_common()),
        "error_example": next((r["detail"] for r in failed if r["detail"]), None),
        "given_up": None if end is None else end["given_up"],
        "seconds": None if end is None else end["seconds"],
        "unmeasured": {},
    }
    if end is None:
        figures["unmeasured"]["throughput"] = "the measurement was interrupted"
    if not done:
        reason = f"no request was answered: {figures['errors'] or 'none was sent'}"
        figures["unmeasured"] = {"latency": reason, "throughput": reason}
        return figures
    uncounted = sum(r["completion_tokens"] is None for r in done)
    figures |= _latency(done, uncounted == 0)
    if uncounted:
        figures["unmeasured"]["tokens"] = f"{NOT_COUNTED}: {uncounted} of {len(done)}"
    if end is not None:
        figures |= _throughput(done, end["seconds"], uncounted == 0)
    return figures


def _latency(done: Sequence[dict[str, Any]], counted: bool) -> dict[str, Any]:
    ttft = [r["pieces_s"][0] for r in done if r["pieces_s"]]
    gaps = [b - a for r in done for a, b in zip(r["pieces_s"], r["pieces_s"][1:], strict=False)]
    figures = {
        "ttft_s": spread(ttft),
        "itl_s": spread(gaps),
        "e2e_s": spread([r["end_s"] for r in done if r["end_s"] is not None]),
        "without_text": len(done) - len(ttft),
    }
    if counted:
        pairs = [(r, r["completion_tokens"]) for r in done if r["pieces_s"] and r["completion_tokens"] > 1]
        figures["tpot_s"] = spread([(r["end_s"] - r["pieces_s"][0]) / (n - 1) for r, n in pairs])
        events = sum(len(r["pieces_s"]) for r in done)
        figures["tokens_per_event"] = sum(r["completion_tokens"] for r in done) / events if events else None
    return figures


def _throughput(done: Sequence[dict[str, Any]], seconds: float, counted: bool) -> dict[str, Any]:
    figures: dict[str, Any] = {"requests_per_s": len(done) / seconds}
    if counted:
        new = sum(r["completion_tokens"] for r in done)
        prompts = [r["prompt_tokens"] for r in done]
        figures |= {"output_tokens": new, "output_tok_per_s": new / seconds}
        if None not in prompts:
            figures |= {"prompt_tokens": sum(prompts), "total_tok_per_s": (new + sum(prompts)) / seconds}
    return figures


def spread(values: Sequence[float]) -> dict[str, Any] | None:
    """Return count, mean, standard deviation, extremes and percentiles; None of nothing."""
    if not values:
        return None
    ordered, n = sorted(values), len(values)
    figures: dict[str, Any] = {
        "n": n,
        "mean": statistics.fmean(ordered),
        "sd": statistics.stdev(ordered) if n > 1 else None,
        "least": ordered[0],
        "most": ordered[-1],
    }
    return figures | {f"p{q}": percentile(ordered, q) for q in PERCENTILES}


def percentile(ordered: Sequence[float], q: int) -> float | None:
    """Return the value that q % do not exceed (nearest rank); None where fewer than TAIL values lie beyond.

    The median is always given.
    """
    n = len(ordered)
    rank = max(1, math.ceil(q / 100 * n))
    if q > 50 and n - rank < TAIL:
        return None
    return ordered[rank - 1]


def render(summary: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    w, client = summary["workload"], summary["client"]
    head = (
        f" at {summary['endpoint']['url']}: {w['requests']} requests at each level, {w['new_tokens']} new tokens at "
        f"most, temperature {w['temperature']:g}, closed loop; asked from {client['cpu']}, {client['cores']} cores, "
        f"load {summary['load_average'][0]:.1f}"
    )
    title = Text.assemble((summary["endpoint"]["model"], "bold"), head)
    return Group(title, _throughput_row(summary), _latency_row(summary), *map(Text, _remarks(summary)))


def _throughput_row(summary: Mapping[str, Any]) -> RenderableType:
    counts, rates = ("in flight", "done", "failed", "dropped"), ("requests/s", "output tok/s", "total tok/s")
    columns = (*counts, "seconds", *rates)
    table = new_table("Throughput", *columns, right=columns)
    for level in summary["levels"]:
        measured = (level.get(key) for key in ("requests_per_s", "output_tok_per_s", "total_tok_per_s"))
        table.add_row(
            str(level["concurrency"]),
            str(level["done"]),
            str(sum(level["errors"].values())),
            str(level["warmup_dropped"]),
            "" if level["seconds"] is None else formatting.seconds(level["seconds"]),
            *(formatting.UNMEASURED if rate is None else f"{rate:,.4g}" for rate in measured),
        )
    return table


def _latency_row(summary: Mapping[str, Any]) -> RenderableType:
    figures_of = ("mean", "sd", *(f"p{q}" for q in PERCENTILES), "most", "n")
    table = new_table("Latency", "in flight", "", *figures_of, right=("in flight", *figures_of))
    for level in summary["levels"]:
        for key, label in LATENCIES.items():
            s = level.get(key)
            if s is None:
                table.add_row(str(level["concurrency"]), label, formatting.UNMEASURED)
                continue
            figures = [s["mean"], s["sd"], *(s[f"p{q}"] for q in PERCENTILES), s["most"]]
            cells = ("" if figure is None else duration(figure) for figure in figures)
            table.add_row(str(level["concurrency"]), label, *cells, str(s["n"]))
    return table


def _remarks(summary: Mapping[str, Any]) -> Iterator[str]:
    for level in summary["levels"]:
        at = f"{level['concurrency']} in flight"
        for kind, n in level["errors"].items():
            yield f"{at}: {n} of {level['requests']} failed: {kind}"
        if level["error_example"]:
            yield f"{at}: for example: {level['error_example']}"
        if level["given_up"]:
            yield f"{at}: given up after failures in a row; {level['not_sent']} requests were never sent"
        if level.get("without_text"):
            yield f"{at}: {level['without_text']} answers ended without a text; they have no TTFT"
        if (level.get("tokens_per_event") or 1) > 1.5:
            yield f"{at}: {level['tokens_per_event']:.1f} tokens an event: ITL is of events, not of tokens"
    for what, reason in summary["unmeasured"].items():
        yield f"{what}: unmeasured: {reason}"
