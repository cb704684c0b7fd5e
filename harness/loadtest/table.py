"""A load's figures for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from harness.loadtest.figures import PERCENTILES
from harness.profile.table import duration
from harness.report import words

if TYPE_CHECKING:
    from rich.console import RenderableType

LATENCIES = {"ttft_s": "TTFT", "tpot_s": "TPOT", "itl_s": "ITL", "e2e_s": "E2E"}


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
    return Group(title, _throughput(summary), _latency(summary), *map(Text, _remarks(summary)))


def _throughput(summary: Mapping[str, Any]) -> RenderableType:
    from rich.table import Table

    table = Table(title="Throughput", title_justify="left")
    for column in (
        "in flight",
        "done",
        "failed",
        "dropped",
        "seconds",
        "requests/s",
        "output tok/s",
        "total tok/s",
    ):
        table.add_column(column, justify="right")
    for level in summary["levels"]:
        rates = (level.get(key) for key in ("requests_per_s", "output_tok_per_s", "total_tok_per_s"))
        table.add_row(
            str(level["concurrency"]),
            str(level["done"]),
            str(sum(level["errors"].values())),
            str(level["warmup_dropped"]),
            "" if level["seconds"] is None else words.seconds(level["seconds"]),
            *(words.UNMEASURED if rate is None else f"{rate:,.4g}" for rate in rates),
        )
    return table


def _latency(summary: Mapping[str, Any]) -> RenderableType:
    from rich.table import Table

    table = Table(title="Latency", title_justify="left")
    for column in ("in flight", "", "mean", "sd", *(f"p{q}" for q in PERCENTILES), "most", "n"):
        table.add_column(column, justify="left" if not column else "right")
    for level in summary["levels"]:
        for key, label in LATENCIES.items():
            s = level.get(key)
            if s is None:
                table.add_row(str(level["concurrency"]), label, words.UNMEASURED)
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
    for what, why in summary["unmeasured"].items():
        yield f"{what}: unmeasured: {why}"
