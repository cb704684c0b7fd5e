"""The schema holds whatever a leaderboard.json has held: files on disk are read, and written again as they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from assay.harness.errors import BadInputError
from assay.harness.leaderboard.schema import Difference, Estimate, Leaderboard, Row, read_leaderboard

REFERENCE = Path(__file__).parents[3] / "results" / "reference"
FILES = sorted(REFERENCE.glob("*/leaderboard.json"))
BEFORE = {"hacking": {"training"}}  # keys of an earlier version, which the curves took the place of


@pytest.mark.parametrize("file", FILES, ids=[file.parent.name for file in FILES])
def test_a_measured_leaderboard_is_written_as_it_was_read(file: Path) -> None:
    """Same keys, same values, same order: the dump of the schema is the file of version 0.1."""
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    for key in BEFORE.get(file.parent.name, ()):
        del content[key]
    dumped = read_leaderboard(content).to_json()
    assert dumped == content
    assert list(dumped) == list(content)
    assert [list(row) for row in dumped["rows"]] == [list(row) for row in content["rows"]]


def test_there_are_measured_leaderboards() -> None:
    assert len(FILES) >= 9


def test_a_key_that_a_later_version_adds_is_let_through() -> None:
    board = {
        "schema": 1,
        "experiment": "e",
        "run": "r",
        "created": "?",
        "reference": "m",
        "suite": {"name": "jsonl", "new": 1},
        "rows": [{"variant": "m", "kind": "base", "pass@k": {"1": {"value": 0.5}}, "new": 2}],
    }
    assert read_leaderboard(board).rows[0].pass_at_k[1].value == 0.5
    with pytest.raises(BadInputError, match=r"schema: .*got 2"):
        read_leaderboard(board | {"schema": 2})


def test_a_figure_is_a_number_or_null() -> None:
    with pytest.raises(ValueError, match="finite"):
        Estimate(value=float("nan"))
    row = Row(variant="m", kind="base", pass_at_k={1: Estimate(value=None, reason="killed")})
    assert row.to_json()["pass@k"] == {"1": {"value": None, "reason": "killed"}}


def test_what_is_not_finite_is_not_hidden_in_a_free_part() -> None:
    """A NaN among facts that no field checks stays one, so that writing the file fails instead of saying null."""
    row = Row(variant="m", kind="base", pass_at_k={1: Estimate(value=0.5)})
    board = Leaderboard(
        schema_=1,
        experiment="e",
        run="r",
        created="?",
        reference="m",
        suite={"name": "s"},  # type: ignore[arg-type]
        rows=(row,),
        machine={"load": float("nan")},
    )
    with pytest.raises(ValueError, match="not JSON compliant"):
        json.dumps(board.to_json(), allow_nan=False)


def test_a_comparison_turned_round_says_the_opposite() -> None:
    better = Difference(a="x", b="y", difference=0.1, low=0.02, high=0.18, p=0.01, verdict="better")
    turned = better.turned()
    assert (turned.a, turned.b, turned.verdict) == ("y", "x", "worse")
    assert (turned.difference, turned.low, turned.high, turned.p) == (-0.1, -0.18, -0.02, 0.01)
    assert better.model_copy(update={"verdict": "equivalent"}).turned().verdict == "equivalent"
