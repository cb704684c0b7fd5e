"""Writing the three files of a report."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from harness.errors import BadInputError
from harness.report.data import page_data
from harness.report.markdown import render_markdown
from harness.report.model import check_samples, read_leaderboard
from harness.report.page import render_page
from suites import Problem


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
