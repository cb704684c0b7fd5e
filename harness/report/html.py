"""Render the report as one HTML file that needs nothing else, neither network nor server.

Its content security policy admits exactly two inline texts, this package's style and script, by their hashes. A
completion that got past the escaping could still run nothing.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from assay.harness import formatting
from assay.harness.errors import BadInputError
from assay.harness.leaderboard.schema import Leaderboard
from assay.harness.report import charts
from assay.harness.report.blocks import Document, Samples
from assay.harness.report.markdown import render_markdown
from assay.harness.report.sample_browser import check_samples, packed, page_data
from assay.harness.report.sections import sections
from assay.harness.report.sections.findings import setting, verdict
from assay.harness.report.wording import one_line, visible
from assay.suites import Problem
from assay.trainers.files import write_bytes, write_text


def render_page(board: Leaderboard, data: Mapping[str, Any]) -> str:
    """Return the whole document; `data` is what `sample_browser.page_data` returned."""
    machine = board.machine
    where = machine.get("gpu") or machine.get("cpu") or machine.get("device") or ""
    return render_document(
        Document(
            board.experiment, verdict(board), setting(board), tuple(sections(board, _samples(data))),
            (f"run {board.run[:12]}", formatting.day(board.created), where),
        ),
        packed(data) if data["variants"] else "",
    )  # fmt: skip


def render_document(document: Document, data: str = "") -> str:
    """Return a document as a page; `data` is what its sample browser shows."""
    style, script = _asset("style.css"), _asset("script.js")
    return _templates().get_template("page.html.jinja").render(
        title=document.title,
        policy=f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'",
        style=Markup(style),
        script=Markup(script),
        data=data,
        stamp=" · ".join(part for part in document.stamp if part),
        verdict=document.verdict,
        setting=document.setting,
        sections=document.shown,
    )  # fmt: skip


def _samples(data: Mapping[str, Any]) -> Samples | None:
    """Return the sample browser, which names what the page has no room for; None where there are no samples."""
    if not data["variants"]:
        return None
    if data["kept_per_problem"] is None:
        return Samples("")
    share = f"{formatting.count(data['embedded'])} of {formatting.count(data['total'])} samples"
    return Samples(
        f"{share} are in this page, the first {data['kept_per_problem']} of each problem; all of them are in the run's "
        "samples."
    )


@cache
def _templates() -> jinja2.Environment:
    """Return the templates, in which every value that is no markup is made visible and escaped."""
    folder = resources.files("assay.harness.report").joinpath("templates")

    def load(name: str) -> str:
        """Read a template and join its lines, which are broken and indented for its readers."""
        return re.sub(r"\n\s*", "", folder.joinpath(name).read_text(encoding="utf-8"))

    templates = jinja2.Environment(
        loader=jinja2.FunctionLoader(load),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: value if hasattr(value, "__html__") else visible(str(value)),
    )
    templates.filters["one_line"] = one_line
    templates.globals |= {
        "stacked_bar": charts.stacked_bar,
        "count": formatting.count,
        "block_kind": lambda block: type(block).__name__,
    }
    return templates


@cache
def _asset(name: str) -> str:
    return resources.files("assay.harness.report").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def write_report(
    run_dir: Path, board: Leaderboard, samples: Mapping[str, pd.DataFrame], problems: Mapping[str, Problem]
) -> None:
    """Write the report's four files into `run_dir`, each whole or not at all.

    They are `leaderboard.json`, `leaderboard.md`, `report.html`, and `verdicts.parquet` with a row a sample (variant,
    training_seed, problem_id, index, outcome), from which every figure of the leaderboard can be computed again. All
    are made before the first is written, so that malformed input leaves a former report as it was.
    Raises BadInputError for a leaderboard or samples that do not fit together, OSError when a write fails.
    """
    check_samples(board, samples)
    try:
        as_json = json.dumps(board.to_json(), indent=1, allow_nan=False) + "\n"
    except ValueError as error:
        raise BadInputError(
            f"leaderboard: {error}; a figure that was not measured is null, never NaN"
        ) from error
    files = {
        "leaderboard.json": as_json,
        "leaderboard.md": render_markdown(board),
        "report.html": render_page(board, page_data(board, samples, problems)),
    }
    verdicts = _verdicts(samples)
    run_dir.mkdir(parents=True, exist_ok=True)
    write_bytes(run_dir / "verdicts.parquet", verdicts)
    for name, text in files.items():
        write_text(run_dir / name, text)


def _verdicts(samples: Mapping[str, pd.DataFrame]) -> bytes:
    columns = ["variant", "training_seed", "problem_id", "index", "outcome"]
    parts = [pd.DataFrame(columns=columns)]
    for variant, table in samples.items():
        part = table.reindex(columns=["training_seed", "problem_id", "index", "outcome"])
        parts.append(part.assign(training_seed=part["training_seed"].astype("Int64"), variant=variant))
    buffer = io.BytesIO()
    pd.concat(parts if len(parts) == 1 else parts[1:], ignore_index=True)[columns].to_parquet(
        buffer, index=False
    )
    return buffer.getvalue()
