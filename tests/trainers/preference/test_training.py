"""Preference methods end to end on a tiny model: what comes out, that it says what made it, and that it resumes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from assay.trainers import TRAINERS, Artifact, ArtifactKind, TrainingError, identify  # noqa: E402
from assay.trainers.config import METHODS  # noqa: E402
from assay.trainers.data.preferences import Preferences  # noqa: E402
from assay.trainers.methods._trl import METRICS, reference_bytes  # noqa: E402
from assay.trainers.methods.reward_model import load_reward_model  # noqa: E402
from assay.trainers.preference.reward_report import HELD_OUT, load_report  # noqa: E402
from assay.trainers.run.log import LOG, read_steps  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.train]


def config_of(method: str, **changes: Any) -> Any:
    values = {
        "method": method,
        "adapter": {"r": 8, "alpha": 16},
        "batch_size": 6,
        "max_steps": 6,
        "learning_rate": 5e-3,
        "scheduler": "constant",
        "dtype": "fp32",
        "max_length": 128,
        "save_steps": 3,
    }
    return METHODS[method].model_validate(values | changes)


def margins(folder: Path) -> list[float]:
    rows = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
    return [r["rewards/margins"] for r in rows if not r["eval"] and "rewards/margins" in r]


@pytest.mark.parametrize(
    ("method", "first", "said"),
    [
        ("dpo", math.log(2), "log-probabilities summed over an answer's tokens"),
        ("ipo", 25.0, "log-probabilities averaged over an answer's tokens"),
        ("kto", 0.5, "log-probabilities summed"),
        ("orpo", None, "log-probabilities averaged, no reference model"),
    ],
)
def test_it_learns_and_says_what_it_did(
    base: Artifact, preferences: Preferences, tmp_path: Path, method: str, first: float | None, said: str
) -> None:
    made = TRAINERS.get(method)(base, config_of(method), preferences, tmp_path / "out", None)
    assert made.kind is ArtifactKind.ADAPTER
    assert identify(made.path) == made
    assert said in made.recipe
    assert ("reference: the adapter switched off, no memory of its own" in made.recipe) is (method != "orpo")
    assert "18 pairs on 18 problems" in made.recipe
    steps = read_steps(made.path / LOG)
    assert [s.step for s in steps] == [1, 2, 3, 4, 5, 6]
    read = [s.tokens for s in steps]
    assert 0 < read[0] < read[1] < read[2]
    if method != "kto":  # which shuffles answers beforehand; three batches are all pairs, and then all again
        assert read[5] == 2 * read[2]
    if first is not None:
        assert steps[0].loss == pytest.approx(first, abs=1e-4)
    assert steps[-1].loss < steps[0].loss
    assert not (made.path / "checkpoints").exists()
    if method in ("dpo", "ipo"):
        assert margins(made.path)[0] == pytest.approx(0, abs=1e-5)
        assert margins(made.path)[-1] > 0
    again = TRAINERS.get(method)(base, config_of(method), preferences, tmp_path / "out", None)
    assert again == made  # done already: not done again


def test_orpos_held_out_figures_are_of_the_held_out_pairs(
    base: Artifact, preferences: Preferences, tmp_path: Path
) -> None:
    """Six held-out pairs in two batches of 3: the parts logged add up to the loss that transformers reports."""
    config = config_of("orpo", beta=0.5, batch_size=3, max_steps=2)
    made = TRAINERS.get("orpo")(base, config, preferences, tmp_path / "out", None)
    rows = [json.loads(line) for line in (made.path / METRICS).read_text().splitlines()]
    held = [r for r in rows if r["eval"]]
    assert len(held) == 1
    row = held[0]
    assert row["eval_nll"] + 0.5 * row["eval_odds_ratio_loss"] == pytest.approx(row["eval_loss"], rel=1e-5)
    assert 6 * row["eval_rewards/accuracies"] == pytest.approx(round(6 * row["eval_rewards/accuracies"]))
    assert "nll" not in row
    assert all("nll" in r for r in rows if not r["eval"])


@pytest.mark.parametrize("method", ["dpo", "ipo", "kto", "orpo", "reward"])
def test_the_best_checkpoint_needs_pairs_held_out(
    base: Artifact, preferences: Preferences, tmp_path: Path, method: str
) -> None:
    alone = replace(preferences, evaluation=None)
    with pytest.raises(TrainingError, match="keep_best: no records are held out"):
        TRAINERS.get(method)(base, config_of(method, keep_best=True), alone, tmp_path / "out", None)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("dpo", "; 1 of 3 pairs left out: no room within 128 tokens, eval_steps unused: nothing is held out"),
        (
            "kto",
            "; 2 of 6 answers left out: no room within 128 tokens, eval_steps unused",
        ),
        ("orpo", "; 1 of 3 pairs left out: no room within 128 tokens"),
        ("reward", "; 1 of 3 pairs left out: no room within 128 tokens"),
    ],
)
def test_pairs_without_room_are_counted(
    base: Artifact, preferences: Preferences, tmp_path: Path, method: str, said: str
) -> None:
    first, second, third = preferences.pairs()[:3]
    long = replace(third, prompt=({"role": "user", "content": "Add 1 to x. " * 200},))
    few = replace(preferences, kept=(first, second, long), evaluation=None)
    config = config_of(method, max_steps=1, batch_size=2, eval_steps=3)
    made = TRAINERS.get(method)(base, config, few, tmp_path / "out", None)
    assert said in made.recipe


def test_an_answer_alone_in_its_batch_is_counted(
    base: Artifact, preferences: Preferences, tmp_path: Path
) -> None:
    few = replace(preferences, kept=preferences.pairs()[:3], evaluation=None)
    made = TRAINERS.get("kto")(base, config_of("kto", max_steps=1, batch_size=5), few, tmp_path / "out", None)
    assert made.recipe.endswith("; 1 of 6 answers left out: alone in the last batch")


@pytest.mark.slow
def test_a_dpo_run_that_was_stopped_comes_to_the_same_curve(
    base: Artifact, preferences: Preferences, tmp_path: Path
) -> None:
    class StoppedError(Exception):
        pass

    def stop(step: Any) -> None:
        if step.step == 5:
            raise StoppedError

    train = TRAINERS.get("dpo")
    whole = train(base, config_of("dpo"), preferences, tmp_path / "whole", None)
    with pytest.raises(StoppedError):
        train(base, config_of("dpo"), preferences, tmp_path / "part", stop)
    rest = train(base, config_of("dpo"), preferences, tmp_path / "part", None)
    assert [s.loss for s in read_steps(rest.path / LOG)] == [s.loss for s in read_steps(whole.path / LOG)]
    assert margins(rest.path) == margins(whole.path)
    assert rest.sha256 == whole.sha256


def test_other_pairs_are_refused_in_a_folder_begun_with_these(
    base: Artifact, preferences: Preferences, tmp_path: Path
) -> None:
    train = TRAINERS.get("dpo")
    train(base, config_of("dpo", max_steps=1), preferences, tmp_path / "out", None)
    assert preferences.evaluation is not None
    with pytest.raises(TrainingError, match="begun with another records"):
        train(base, config_of("dpo", max_steps=1), preferences.evaluation, tmp_path / "out", None)


def test_a_reward_model_is_measured_reloaded_and_judges(
    base: Artifact, preferences: Preferences, tmp_path: Path
) -> None:
    """The pairs differ in a way that a score head can learn at once; problems held out are ranked too."""
    config = config_of("reward", max_steps=20, learning_rate=1e-2, save_steps=50)
    made = TRAINERS.get("reward")(base, config, preferences, tmp_path / "out", None)
    assert read_steps(made.path / LOG)[-1].loss < 0.2
    report = load_report(made.path)
    assert report is not None
    assert report.accuracy is not None
    assert (report.pairs, report.problems) == (6, 6)
    assert report.accuracy.value == 1  # which six problems do not tell from a coin: the bound is at 48 %
    rows = [json.loads(line) for line in (made.path / HELD_OUT).read_text().splitlines()]
    model = load_reward_model(made.path)
    assert preferences.evaluation is not None
    held = preferences.evaluation.pairs()
    scores = model.score([(p.prompt, p.chosen) for p in held])
    assert scores == pytest.approx([r["chosen"] for r in rows], abs=1e-5)
    alone = [model.score([(p.prompt, p.chosen)])[0] for p in held]
    assert alone == pytest.approx(scores, abs=1e-4)  # padding says nothing
    p = held[0]
    assert model.prefer(p.prompt, p.chosen, p.rejected) > 0.5
    assert model.prefer(p.prompt, p.chosen, p.rejected) + model.prefer(
        p.prompt, p.rejected, p.chosen
    ) == pytest.approx(1)
    with pytest.raises(TrainingError, match="is no reward model"):
        load_reward_model(base.path)


@pytest.mark.bf16
@pytest.mark.parametrize("method", ["dpo", "ipo", "kto", "orpo", "reward"])
def test_a_base_in_bf16_is_half_of_one_in_fp32_and_its_adapter_fp32(
    base: Artifact, preferences: Preferences, tmp_path: Path, method: str
) -> None:
    from safetensors.torch import load_file

    config = config_of(method, dtype="bf16", max_steps=2)
    made = TRAINERS.get(method)(base, config, preferences, tmp_path / "out", None)
    assert "on a base in bf16" in made.recipe
    assert all(math.isfinite(step.loss) for step in read_steps(made.path / LOG))
    assert {t.dtype for t in load_file(str(made.path / "adapter_model.safetensors")).values()} == {
        torch.float32
    }


@pytest.mark.bf16
def test_a_reference_of_its_own_is_kept_as_the_base_is(
    base: Artifact, preferences: Preferences, tmp_path: Path
) -> None:
    from assay.trainers.methods.dpo import build_trainer

    sizes = {}
    for kept in ("fp32", "bf16"):
        (tmp_path / kept).mkdir()
        config = config_of("dpo", dtype="bf16", base_dtype=kept, reference="copy")
        sizes[kept] = reference_bytes(build_trainer(base, config, preferences, tmp_path / kept))
    assert sizes["fp32"] == 2 * sizes["bf16"] > 0
