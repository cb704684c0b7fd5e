"""What was not measured is measured by the next run; what was judged under weaker isolation is judged again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from assay.harness.console import Progress
from assay.harness.errors import MissingToolError, UnmeasuredError
from assay.harness.experiment import Experiment
from assay.harness.files import append_lines
from assay.harness.leaderboard.build import build_leaderboard
from assay.harness.pipeline.plan import Plan, make_plan
from assay.harness.pipeline.runner import Run, run
from assay.harness.pipeline.seals import FILES, hashes_of, sealed
from assay.harness.pipeline.steps.execute import load_tables

pytest.importorskip("torch", reason="needs the train extra: pip install 'assay[train]'")
pytestmark = [pytest.mark.train, pytest.mark.isolated]


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    from tests.tiny import make_tiny_model

    folder = tmp_path_factory.mktemp("tiny")
    rows = [
        {"id": f"t/{i}", "prompt": "def f(x):\n", "entry_point": "f", "checks": ["assert f(1) == 2"]}
        for i in range(4)
    ]
    (folder / "suite.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    make_tiny_model(folder / "model", ["def f(x):\n    return x + 1\n"] * 20)
    return make_plan(
        Experiment.model_validate(
            {
                "name": "tiny",
                "suite": {"name": "jsonl", "path": folder / "suite.jsonl"},
                "sampling": {"samples": 2, "temperature": 1.0, "max_new_tokens": 8, "style": "completion"},
                "engine": {"dtype": "fp32", "threads": 1, "device": "cpu"},
                "score": {"k": [1, 2], "reference": "v1.0"},
                "variant": [{"name": "v1.0", "model": str(folder / "model")}],
            }
        )
    )


def rewrite(results: Path, change: Callable[[pd.DataFrame], None], **record: object) -> None:
    """Change what a finished execute step holds, as another hour might have left it: its record says so too."""
    (folder,) = (p for p in results.glob("tiny/steps/execute-*") if p.is_dir())
    table = pd.read_parquet(folder / "verdicts.parquet")
    change(table)
    table.to_parquet(folder / "verdicts.parquet", index=False)
    file = folder / "step.json"
    changed = json.loads(file.read_text()) | record | {FILES: hashes_of(folder, ("step.json",))}
    file.write_text(json.dumps(sealed(changed, "step")))


def verdicts(done: Run) -> pd.DataFrame:
    return load_tables(done.store, done.plan)["v1.0"]


def test_infra_is_retried_by_the_next_run_and_nothing_else_is(plan: Plan, tmp_path: Path) -> None:
    first = verdicts(run(plan, tmp_path, Progress(enabled=False)))

    def spoil(table: pd.DataFrame) -> None:
        table.loc[3, ["outcome", "detail"]] = ["infra", "the machine went away"]
        table.loc[0, "detail"] = "kept as it was"

    rewrite(tmp_path, spoil, outcomes={"infra": 1, "error": 7})
    again = run(plan, tmp_path, Progress(enabled=False))
    assert again.did == ("execute-v1.0",)
    table = verdicts(again)
    assert table.loc[3, "outcome"] == first.loc[3, "outcome"]
    assert table.loc[0, "detail"] == "kept as it was"
    assert run(plan, tmp_path, Progress(enabled=False)).did == ()


def test_infra_left_over_is_left_out_of_each_k_and_counted(plan: Plan, tmp_path: Path) -> None:
    done = run(plan, tmp_path, Progress(enabled=False))

    def spoil(table: pd.DataFrame) -> None:
        table.loc[3, "outcome"] = "infra"

    rewrite(tmp_path, spoil)
    (row,) = build_leaderboard(done, load_tables(done.store, plan)).to_json()["rows"]
    assert (row["pass@k"]["1"]["n"], row["pass@k"]["2"]["n"]) == (4, 3)
    assert row["outcomes"]["infra"] == 1

    def ruin(table: pd.DataFrame) -> None:
        table.loc[:, "outcome"] = "infra"

    rewrite(tmp_path, ruin)
    with pytest.raises(UnmeasuredError, match="run again to retry"):
        build_leaderboard(done, load_tables(done.store, plan))


def test_weak_verdicts_are_used_only_by_a_run_that_allows_them(plan: Plan, tmp_path: Path) -> None:
    run(plan, tmp_path, Progress(enabled=False))

    def weaken(table: pd.DataFrame) -> None:
        table.loc[:, ["isolation", "isolation_level"]] = ["embedded, weak isolation", "weak"]

    weak = {"label": "embedded, weak isolation", "levels": ["weak"], "backend": "embedded"}
    rewrite(tmp_path, weaken, isolation=weak)
    allowed = run(plan, tmp_path, Progress(enabled=False), allow_weak=True)
    assert allowed.did == ()
    assert build_leaderboard(allowed, load_tables(allowed.store, plan)).isolation["levels"] == ["weak"]
    strict = run(plan, tmp_path, Progress(enabled=False))
    assert strict.did == ("execute-v1.0",)
    assert build_leaderboard(strict, load_tables(strict.store, plan)).isolation["levels"] == ["full"]


def test_a_strict_run_takes_no_weak_verdicts_from_a_run_that_was_killed(plan: Plan, tmp_path: Path) -> None:
    done = run(plan, tmp_path, Progress(enabled=False), allow_weak=True)
    step = plan.step("execute-v1.0")
    folder = done.store.path(step.name, step.id)
    rows = [
        row | {"isolation": "embedded, weak isolation", "isolation_level": "weak", "detail": "weak"}
        for row in pd.read_parquet(folder / "verdicts.parquet").to_dict("records")
    ]
    work = done.store.work(step.name, step.id)
    (work / "made_from.json").write_bytes((folder / "made_from.json").read_bytes())
    append_lines(work / "verdicts.jsonl", [sealed(row, "verdict", work.name) for row in rows[:3]])
    done.store.reopen(step.name, step.id)
    table = verdicts(run(plan, tmp_path, Progress(enabled=False)))
    assert set(table["isolation_level"]) == {"full"}
    assert "weak" not in set(table["detail"])


def test_a_machine_that_cannot_isolate_says_so_before_anything_is_made(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assay.sandbox.host import embedded
    from assay.sandbox.host.cells import StepFailedError

    def refuse(*_: object) -> object:
        raise StepFailedError("user and PID namespaces", "[Errno 1] Operation not permitted")

    monkeypatch.setattr(embedded, "_start", refuse)
    with pytest.raises(MissingToolError, match=r"cannot be isolated here.*--allow-weak"):
        run(plan, tmp_path, Progress(enabled=False))
    assert not list((tmp_path / "tiny").glob("steps/*/step.json"))
