"""The gates of a showcase: what is chosen, what follows from a failure, and the exit code; and one that passes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.harness.cli import app
from assay.harness.console import Progress
from assay.harness.errors import BadInputError, MissingToolError, UnmeasuredError
from assay.harness.pipeline.showcase import (
    LINKS,
    STEPS,
    Showcase,
    StepName,
    StepResult,
    _gain,
    answers_gate,
    check_steps,
    gains_gate,
    show,
)
from assay.harness.pipeline.tier_settings import PRESETS
from assay.harness.profiling.memory import find_tier
from assay.harness.profiling.memory.devices import Device, find_device

QUIET = Progress(enabled=False)


@pytest.fixture
def card() -> Device:
    return find_device("h100")


def test_no_step_and_an_unknown_step_are_refused() -> None:
    with pytest.raises(BadInputError, match="no step was chosen"):
        check_steps([])
    with pytest.raises(BadInputError, match="no step 'deploy'"):
        check_steps(["deploy"])


def test_a_step_brings_what_it_needs_in_order() -> None:
    assert check_steps(["gguf"]) == ("import", "train", "merge", "gguf")
    assert check_steps(STEPS) == STEPS
    assert check_steps(["profile", "import"]) == ("import", "profile")


def test_what_follows_a_failure_is_unmeasured_and_says_why(tmp_path: Path, card: Device) -> None:
    gone = tmp_path / "no such folder"
    done = show(find_tier("pocket"), check_steps(["merge"]), tmp_path, QUIET, model=gone, device=card)
    assert [(r.step, r.status) for r in done.results] == [
        ("import", "fail"),
        ("train", "unmeasured"),
        ("merge", "unmeasured"),
    ]
    assert "no such folder" in done.results[0].message
    assert done.results[2].message == "it needs train: unmeasured"
    assert done.exit_code == 1


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Every run of the experiment ends so."""

    def run(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr("assay.harness.pipeline.showcase.run", run)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
            "RuntimeError: CUDA out of memory. Tried",
        ),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_whatever_a_step_raises_is_its_failure_and_the_others_are_still_told(
    tmp_path: Path, card: Device, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    raising(monkeypatch, error)
    done = show(find_tier("pocket"), check_steps(["merge"]), tmp_path, QUIET, device=card)
    assert [(r.step, r.status) for r in done.results] == [
        ("import", "pass"),
        ("train", "fail"),
        ("merge", "unmeasured"),
    ]
    assert done.results[1].message.startswith(said)
    assert "raise error" in done.results[1].figures["traceback"]
    assert done.results[2].message == "it needs train: fail"
    assert done.exit_code == 1
    json.dumps(done.to_json())


@pytest.mark.train
def test_the_command_prints_every_step_where_one_broke(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raising(monkeypatch, RuntimeError("CUDA out of memory"))
    given = ["showcase", "--tier", "pocket", "--steps", "infer,merge", "--results", str(tmp_path), "-q"]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 1
    rows = [line.split()[:2] for line in done.stdout.splitlines()]
    for row in (["import", "pass"], ["infer", "fail"], ["train", "fail"], ["merge", "unmeasured"]):
        assert row in rows
    assert "RuntimeError: CUDA out of memory" in done.stdout


@pytest.mark.parametrize(
    "error", [UnmeasuredError("no isolation"), MissingToolError("pip install 'assay[gguf]'")]
)
def test_what_this_machine_cannot_do_is_unmeasured(
    tmp_path: Path, card: Device, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    raising(monkeypatch, error)
    done = show(find_tier("pocket"), check_steps(["infer"]), tmp_path, QUIET, device=card)
    assert (done.results[1].status, done.results[1].message) == ("unmeasured", str(error))
    assert done.exit_code == 2


def test_the_user_ends_a_showcase(tmp_path: Path, card: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        show(find_tier("pocket"), check_steps(["infer"]), tmp_path, QUIET, device=card)


def test_a_model_that_cannot_be_fetched_is_unmeasured(
    tmp_path: Path, card: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants", reason="needs the train extra")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    done = show(find_tier("small"), STEPS, tmp_path / "runs", QUIET, device=card)
    assert {r.status for r in done.results} == {"unmeasured"}
    assert "not whole in the local hub cache and HF_HUB_OFFLINE is set" in done.results[0].message
    assert done.exit_code == 2


def test_a_tier_that_fits_no_way_is_told_before_it_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    monkeypatch.setattr("assay.harness.models.hub.import_model", lambda name, _: fetched.append(name))
    done = show(find_tier("large"), STEPS, tmp_path, QUIET, device=find_device("t4"))
    assert {r.status for r in done.results} == {"unmeasured"}
    assert done.results[0].message.startswith("large does not fit the 15.00 GiB of NVIDIA T4")
    assert fetched == []
    assert done.exit_code == 2


def test_a_model_too_large_for_the_hosts_memory_is_not_merged(
    tmp_path: Path, card: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Device("CPU", 1 << 20, 1 << 30, False, None, "a little")
    monkeypatch.setattr("assay.harness.pipeline.showcase.cpu_device", lambda: host)
    monkeypatch.setattr(
        "assay.harness.pipeline.showcase._Stage._train",
        lambda _: StepResult("train", "pass", "as if it had been"),
    )
    raising(monkeypatch, AssertionError("it was merged"))
    done = show(find_tier("pocket"), check_steps(["gguf"]), tmp_path, QUIET, device=card)
    assert [r.status for r in done.results] == ["pass", "pass", "unmeasured", "unmeasured"]
    assert "2 copies of the model in fp32 in host memory" in done.results[2].message
    assert "this machine has 1.0 MiB (a little)" in done.results[2].message


@pytest.mark.parametrize(
    ("statuses", "code"),
    [(["pass", "pass"], 0), (["pass", "unmeasured"], 2), (["unmeasured", "fail"], 1), ([], 2)],
)
def test_the_exit_code_is_the_worst_step(statuses: list[str], code: int) -> None:
    results = tuple(StepResult("import", status, "") for status in statuses)  # type: ignore[arg-type]
    assert Showcase("pocket", results, Path("x")).exit_code == code


def compared(*pairs: tuple[float, str]) -> list[dict[str, Any]]:
    """Of each link in turn, the heir held against its parent: the difference and the verdict."""
    return [
        {
            "a": heir,
            "b": parent,
            "difference": difference,
            "low": difference - 0.1,
            "high": difference + 0.1,
            "n": 20,
            "verdict": verdict,
        }
        for (parent, heir), (difference, verdict) in zip(LINKS, pairs, strict=True)
    ]


@pytest.mark.parametrize(
    ("pairs", "status"),
    [
        ([(0.2, "better"), (0.0, "equivalent"), (0.0, "equivalent")], "pass"),
        ([(-0.3, "undecided")] * 3, "unmeasured"),
        ([(0.2, "better"), (0.0, "equivalent"), (0.0, "undecided")], "unmeasured"),
        ([(0.2, "better"), (-0.3, "worse"), (0.0, "equivalent")], "fail"),
        ([(-0.3, "undecided"), (-0.3, "worse"), (0.0, "undecided")], "fail"),
    ],
)
def test_a_loss_that_the_test_cannot_exclude_is_not_passed(
    pairs: list[tuple[float, str]], status: str
) -> None:
    found, said = gains_gate(compared(*pairs), 0.05)
    assert found == status
    assert all(
        f"{a} → {b} {100 * d:+.1f} points" in said for (a, b), (d, _) in zip(LINKS, pairs, strict=True)
    )
    assert said.endswith("20 problems do not tell whether a loss is within the margin of 5 points") is (
        status == "unmeasured"
    )


def test_a_link_that_was_not_compared_is_unmeasured() -> None:
    with pytest.raises(UnmeasuredError, match="gguf was not compared with merged"):
        gains_gate(compared((0.2, "better"), (0.0, "equivalent"), (0.0, "equivalent"))[:2], 0.05)


def row(n_samples: int, infra: int, rate: float) -> dict[str, Any]:
    return {"n_samples": n_samples, "outcomes": {"infra": infra, "pass": 0}, "pass@k": {"1": {"value": rate}}}


def test_answers_pass_by_having_been_executed_and_that_is_said() -> None:
    asked = "4 of 4 samples executed, which is all that is asked here"
    assert answers_gate(row(4, 0, 0.0), 4) == ("pass", f"{asked}; pass@1 0.0 %")
    assert answers_gate(row(4, 0, 0.5), 4) == ("pass", f"{asked}; pass@1 50.0 %")
    status, said = answers_gate(row(4, 1, 0.5), 4)
    assert (status, said.split(",")[0]) == ("unmeasured", "3 of 4 samples executed")
    assert answers_gate(row(3, 0, 0.5), 4)[0] == "unmeasured"
    assert answers_gate(row(4, 4, 0.0), 4)[1].endswith("pass@1 unmeasured")
    assert answers_gate(row(0, 0, 0.0), 0)[0] == "unmeasured"


def test_a_gain_is_the_childs_whichever_way_the_pair_was_compared() -> None:
    more = {"low": -0.3, "high": -0.1, "n": 50}
    pair = {"a": "base", "b": "adapter", "difference": -0.2, "verdict": "worse"} | more
    turned = {
        "a": "adapter",
        "b": "base",
        "difference": 0.2,
        "verdict": "better",
        "low": 0.1,
        "high": 0.3,
        "n": 50,
    }
    gain = {"difference": 0.2, "low": 0.1, "high": 0.3, "n": 50, "verdict": "better"}
    assert _gain([pair], "base", "adapter") == _gain([turned], "base", "adapter") == gain


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    from assay.suites.pocket import pocket_sft_records
    from tests.tiny import make_tiny_model

    texts = [m["content"] for record in pocket_sft_records(100) for m in record["messages"]]
    return make_tiny_model(tmp_path / "model", texts).path


@pytest.mark.train
@pytest.mark.gguf
@pytest.mark.isolated
@pytest.mark.slow
def test_a_toy_passes_every_step(toy: Path, tmp_path: Path) -> None:
    """A random model, which solves nothing before or after: 60 problems are enough to tell that it lost nothing."""
    pytest.importorskip("llama_cpp", reason="needs the gguf extra: pip install 'assay[gguf]'")
    given = ["showcase", "--tier", "pocket", "--auto-verify", "--model", str(toy), "--limit", "60"]
    done = CliRunner().invoke(app, [*given, "--results", str(tmp_path / "runs"), "--json", "-q"])
    made = json.loads(done.stdout)
    steps: dict[StepName, dict[str, Any]] = {step["step"]: step for step in made["steps"]}
    assert {name: step["status"] for name, step in steps.items()} == dict.fromkeys(STEPS, "pass"), done.stdout
    assert (done.exit_code, made["exit_code"]) == (0, 0)
    assert "chosen: LoRA, 16 x 1 sequences a step, lr 0.001" in steps["import"]["said"]
    assert steps["infer"]["said"].startswith("60 of 60 samples executed")
    assert steps["train"]["figures"]["last"] < steps["train"]["figures"]["first"]
    assert steps["merge"]["figures"]["link"]["verdict"] == "equivalent"
    assert steps["infer-gguf"]["figures"]["n_samples"] == 60
    assert steps["profile"]["figures"]["speed"]["decode"]["tok_per_s"]["median"] > 0
    assert "at batch 1 in fp32" in steps["profile"]["said"]
    folder = Path(made["folder"])
    assert (folder / "leaderboard.json").exists()
    assert list(folder.glob("profile-*.jsonl"))


@pytest.mark.train
@pytest.mark.isolated
@pytest.mark.slow
def test_an_adapter_of_a_quantised_base_is_merged_into_what_it_was_trained_on(
    toy: Path, tmp_path: Path, card: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QLoRA, as large tiers are trained: into the base as it is stored the merge would be another model."""
    pytest.importorskip("bitsandbytes", reason="needs the train extra: pip install 'assay[train]'")
    monkeypatch.setattr("assay.harness.pipeline.tier_settings.PRESETS", PRESETS[-1:])
    done = show(
        find_tier("tiny"), check_steps(["merge"]), tmp_path / "runs", QUIET, model=toy, limit=2, device=card
    )
    assert [r.status for r in done.results] == ["pass"] * 3, done.to_json()
    assert "chosen: QLoRA on nf4, 1 x 16 sequences a step, checkpointing" in done.results[0].message
    assert done.results[2].figures["link"]["verdict"] == "equivalent"
