"""The gates of a showcase: what is chosen, what follows from a failure, and the exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import BadInputError
from harness.memory import find_tier
from harness.progress import Progress
from harness.showcase import STEPS, Showcase, StepResult, _gain, check_steps, show


def test_no_step_and_an_unknown_step_are_refused() -> None:
    with pytest.raises(BadInputError, match="no step was chosen"):
        check_steps([])
    with pytest.raises(BadInputError, match="no step 'deploy'"):
        check_steps(["deploy"])


def test_a_step_brings_what_it_needs_in_order() -> None:
    assert check_steps(["gguf"]) == ("import", "train", "merge", "gguf")
    assert check_steps(STEPS) == STEPS
    assert check_steps(["profile", "import"]) == ("import", "profile")


def test_what_follows_a_failure_is_unmeasured_and_says_why(tmp_path: Path) -> None:
    done = show(
        find_tier("pocket"),
        check_steps(["merge"]),
        tmp_path,
        Progress(enabled=False),
        model=tmp_path / "no such folder",
    )
    assert [(r.step, r.status) for r in done.results] == [
        ("import", "fail"),
        ("train", "unmeasured"),
        ("merge", "unmeasured"),
    ]
    assert "no such folder" in done.results[0].said
    assert done.results[2].said == "it needs train: unmeasured"
    assert done.exit_code == 1


@pytest.mark.parametrize(
    ("statuses", "code"),
    [(["pass", "pass"], 0), (["pass", "unmeasured"], 2), (["unmeasured", "fail"], 1), ([], 2)],
)
def test_the_exit_code_is_the_worst_step(statuses: list[str], code: int) -> None:
    results = tuple(StepResult("import", status, "") for status in statuses)  # type: ignore[arg-type]
    assert Showcase("pocket", results, Path("x")).exit_code == code


def test_a_gain_is_the_heirs_whichever_way_the_pair_was_compared() -> None:
    pair = {"a": "base", "b": "adapter", "difference": -0.2, "verdict": "worse"}
    turned = {"a": "adapter", "b": "base", "difference": 0.2, "verdict": "better"}
    assert _gain([pair], "base", "adapter") == _gain([turned], "base", "adapter") == (0.2, "better")
