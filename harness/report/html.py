"""The HTML report: one file that needs nothing else, neither network nor server.

Its content security policy admits exactly two inline texts, this package's style and script, by their hashes. A
completion that got past the escaping could still run nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from assay.harness import formatting
from assay.harness.errors import BadInputError
from assay.harness.leaderboard.schema import Leaderboard, check_samples, read_leaderboard
from assay.harness.report.markdown import render_markdown
from assay.harness.report.sample_browser import page_data
from assay.harness.report.sections import answers, curves, learned, links, overlap, profiles, trainings
from assay.harness.report.sections import board as board_table
from assay.harness.report.sections import rewards as reward_models
from assay.harness.report.sections.findings import setting, verdict
from assay.harness.report.wording import escape, script_json
from assay.suites import Problem


def render_page(board: Leaderboard, data: Mapping[str, Any]) -> str:
    """The whole document; `data` is what `data.page_data` made."""
    style, script = _asset("style.css"), _asset("script.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = [
        ("leaderboard", "Leaderboard", board_table.section(board)),
        ("families", "By family", board_table.families(board)),
        ("comparisons", "Paired comparisons", board_table.comparisons(board)),
        ("links", "Chain", links.section(board)),
        ("profiles", "Memory and speed alone", profiles.section(board)),
        ("training", "Training", _training(board)),
        ("contamination", "Training set and suite", overlap.section(board)),
        ("samples", "Samples", _browser(data)),
        ("definitions", "What the figures mean", board_table.definitions(board)),
        ("provenance", "Provenance", board_table.provenance(board)),
    ]
    present = [(anchor, title, body) for anchor, title, body in parts if body]
    anchors = "".join(f'<a href="#{anchor}">{escape(title)}</a>' for anchor, title, _ in present)
    main = "".join(
        f'<section id="{anchor}" aria-labelledby="{anchor}-h"><h2 id="{anchor}-h">{escape(title)}</h2>{body}</section>'
        for anchor, title, body in present
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="generator" content="assay">\n'
        f"<title>{escape(board.experiment)} · Assay</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f"{_header(board, anchors)}<main>{main}</main>\n"
        '<dialog id="viewer" aria-label="One sample"></dialog>\n'
        f'<script type="application/json" id="data">{script_json(data)}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _training(board: Leaderboard) -> str:
    parts = (trainings, learned, reward_models, answers, curves)
    return "".join(part.section(board) for part in parts)


def _asset(name: str) -> str:
    return resources.files("assay.harness.report").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _header(board: Leaderboard, links: str) -> str:
    machine = board.machine
    where = machine.get("gpu") or machine.get("cpu") or machine.get("device") or ""
    stamp = " · ".join(
        escape(x) for x in (f"run {board.run[:12]}", formatting.day(board.created), where) if x
    )
    return (
        f'<header><p class="stamp"><b>Assay</b> {stamp}</p><h1>{escape(board.experiment)}</h1>'
        f'<p class="verdict">{escape(verdict(board))}</p><p class="setting">{escape(setting(board))}</p>'
        f'<nav aria-label="Sections">{links}</nav></header>\n'
    )


def _browser(data: Mapping[str, Any]) -> str:
    """The sample browser's frame; script.js fills it. Empty where there are no samples."""
    if not data["variants"]:
        return ""
    cut = ""
    if data["kept_per_problem"] is not None:
        share = f"{formatting.count(data['embedded'])} of {formatting.count(data['total'])} samples"
        cut = (
            f'<p class="note">{share} are in this page, '
            f"the first {data['kept_per_problem']} of each problem; all of them are in the run's samples.</p>"
        )
    return (
        f"{cut}<noscript><p class=note>The samples are in this page, but need JavaScript to be shown.</p></noscript>"
        '<form id="filters" role="search" aria-label="Filter samples" hidden></form>'
        '<p id="found" aria-live="polite"></p><div id="list" class="scroll"></div>'
        '<p class="hint" hidden>Arrow keys move between samples, Enter opens one.</p>'
    )


# Writing the three files of a report.


def write_report(
    run_dir: Path,
    leaderboard: Mapping[str, Any],
    samples: Mapping[str, pd.DataFrame],
    problems: Mapping[str, Problem],
) -> None:
    """Write `leaderboard.json`, `leaderboard.md` and `report.html` into `run_dir`, each whole or not at all.

    All three are made before the first is written, so that malformed input leaves a former report as it was.
    Raises BadInputError for a leaderboard or samples that do not fit together, OSError when a write fails.
    """
    board = read_leaderboard(leaderboard)
    check_samples(board, samples)
    try:
        as_json = json.dumps(leaderboard, indent=1, allow_nan=False) + "\n"
    except ValueError as error:
        raise BadInputError(
            f"leaderboard: {error}; a figure that was not measured is null, never NaN"
        ) from error
    files = {
        "leaderboard.json": as_json,
        "leaderboard.md": render_markdown(leaderboard),
        "report.html": render_page(board, page_data(board, samples, problems)),
    }
    run_dir.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        _write_whole(run_dir / name, text)


def _write_whole(path: Path, text: str) -> None:
    """Write beside the target, flush to disk, rename: a reader or a crash never meets half a file."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
