"""Peak memory against sequence length: the same job at several lengths, each in a process of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.errors import BadInputError
from harness.profile.job import Job
from harness.report import words

if TYPE_CHECKING:
    from rich.console import RenderableType


def parse_lengths(text: str) -> tuple[int, ...]:
    """Lengths in tokens from "64,128,256", in ascending order. BadInputError names one that is none."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    bad = [part for part in parts if not part.isdigit() or int(part) < 1]
    if bad or not parts:
        raise BadInputError(
            f"--lengths takes numbers of tokens such as 256,512,1024; got {(bad or [text])[0]!r}"
        )
    return tuple(sorted({int(part) for part in parts}))


def at_length(job: Job, tokens: int) -> Job:
    return job.model_copy(update={"prompt_tokens": tokens, "name": f"{job.name}-{tokens}"})


def curve(summaries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A point for each length: predicted and measured peak in bytes, None with the reason in `detail`."""
    points = []
    for summary in summaries:
        row: Mapping[str, Any] = next((r for r in summary["comparison"] if r["kind"] == "peak"), {})
        whole = summary["status"] == "done"
        points.append(
            {
                "tokens": summary["workload"]["prompt_tokens"],
                "status": summary["status"],
                "detail": summary["detail"],
                "predicted_bytes": row.get("predicted_bytes"),
                "measured_bytes": row.get("measured_bytes") if whole else None,
                "error": row.get("error") if whole else None,
                "by": row.get("note", ""),
                "raw": summary["raw"],
            }
        )
    return points


def render_curve(name: str, points: Sequence[Mapping[str, Any]]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"{name}: peak memory against sequence length"), title_justify="left")
    for column in ("tokens", "predicted", "measured", "error", "beyond the length before"):
        table.add_column(column, justify="right")
    before: Mapping[str, Any] | None = None
    for point in points:
        predicted, measured, error = point["predicted_bytes"], point["measured_bytes"], point["error"]
        unmeasured = f"{words.UNMEASURED}: {point['status']}"
        table.add_row(
            f"{point['tokens']:,}",
            "not predicted" if predicted is None else words.size(predicted),
            Text(unmeasured) if measured is None else words.size(measured),
            "" if error is None else f"{100 * error:+.1f} %",
            _slope(before, point),
        )
        before = point
    return table


def _slope(before: Mapping[str, Any] | None, point: Mapping[str, Any]) -> str:
    """What one more token of length cost, between two measured points."""
    if before is None or before["measured_bytes"] is None or point["measured_bytes"] is None:
        return ""
    per_token = (point["measured_bytes"] - before["measured_bytes"]) / (point["tokens"] - before["tokens"])
    return f"{words.size(per_token)} a token"
