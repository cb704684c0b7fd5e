"""What `assay plan` and the leaderboard say of an experiment's precision."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from assay.harness.cli.app import app
from assay.harness.leaderboard import precision
from assay.harness.stats import power

FILE = """
name = "seeded"
[suite]
name = "pocket"
split = "dev"
[sampling]
samples = 2
temperature = 0.8
[score]
margin = 0.07
[[variant]]
name = "base"
model = "pocket"
[[variant]]
name = "lora"
train = "base"
config = { method = "sft", max_steps = 2 }
data = { suite = "pocket", n = 8 }
"""


def planned(tmp_path: Path, seeds: str) -> dict[str, object]:
    file = tmp_path / "e.toml"
    file.write_text(FILE.replace('name = "seeded"', f'name = "seeded"\n{seeds}', 1))
    shared = ["plan", str(file), "--results", str(tmp_path), "--no-memory"]
    done = CliRunner().invoke(app, [*shared, "--json"])
    assert done.exit_code == 0, done.output
    text = CliRunner().invoke(app, shared).output
    return json.loads(done.stdout) | {"text": " ".join(text.split())}


def test_plan_counts_the_seeds(tmp_path: Path) -> None:
    """It said 5.9 points where the run's own figure was 13.8: seeds stood in the file and not in the formula."""
    once, thrice = planned(tmp_path, ""), planned(tmp_path, "seeds = [0, 1, 2]")
    assert once["precision"]["size"]["seeds"] == [1, 1]
    assert thrice["precision"]["size"]["seeds"] == [3, 1]
    assert thrice["precision"]["split"]["seeds"] > 0
    assert "3 training seeds" in thrice["text"]
    assert "from training seeds" in thrice["text"]
    assert "training seeds in place of 3" in thrice["text"]
    assert "seeds" not in once["text"].partition("A pass@1 difference")[2]
    assert 0 < thrice["detectable_difference"] == thrice["precision"]["effect"]


def test_a_finished_run_says_where_its_noise_comes_from() -> None:
    rng = np.random.default_rng(0)
    names = [f"p{i}" for i in range(120)]
    rate = rng.beta(0.7, 0.7, size=120)

    def run(shift: float) -> dict[str, tuple[int, int]]:
        passes = rng.binomial(4, np.clip(rate + shift, 0, 1))
        return {name: (4, int(c)) for name, c in zip(names, passes, strict=True)}

    runs = {"sft": [run(0.2), run(-0.1), run(0.1)], "base": [run(0.0)]}
    shown = precision.measured(runs, "sft", "base", margin=0.02)
    assert shown is not None
    assert shown.size == power.Size(120, 4, (3, 1))
    assert shown.split.seeds > shown.split.sampling > 0
    assert sum(shown.parts().values()) == pytest.approx(1)
    assert shown.purchase.target == 0.02
    single = {v: [{p: (1, int(c > 2)) for p, (_, c) in r.items()} for r in rows] for v, rows in runs.items()}
    assert precision.measured(single, "sft", "base", margin=0.02) is None
