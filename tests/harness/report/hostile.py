"""A run in which every string that a model or a user can choose is an attack on its reader."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from tests.harness.report.conftest import SyntheticRun
from tests.harness.report.synthetic_run import paid_answers, ppo_curves, reward_model, training_row

HOSTILE = (
    "</script></style></title><script>document.title='pwned'</script>"
    "<img src=x onerror=\"document.title='pwned'\">\"' onmouseover='document.title=1' <!-- ]]> ${7*7} {{7*7}} "
    "| `x` [a](javascript:alert(1)) \u202e\x00\x1b[31m\ud800\u2028 "
)
NAME = HOSTILE.replace("\ud800", "")  # a lone surrogate in a leaderboard is refused at the edge


def make_hostile(run: SyntheticRun) -> SyntheticRun:
    """The same run with HOSTILE in front of every name, recipe, reason, program and output."""
    board = run.leaderboard

    def bad(text: str | None) -> str | None:
        return None if text is None else NAME + text

    for row in board["rows"]:
        row |= {
            "variant": bad(row["variant"]),
            "parent": bad(row["parent"]),
            "recipe": NAME,
            "path": NAME,
        }
        row |= {"kind": NAME, "sha256": NAME, "modes": {NAME: 3}, "extraction": {NAME: 3}}
        row["families"] = {bad(name): e for name, e in row["families"].items()}
        row["unmeasured"] = {"make_s": NAME, NAME: NAME}
        row["make_s"] = None
        for e in row["pass@k"].values():
            e["method"] = NAME
    for c in board["comparisons"]:
        c |= {"a": bad(c["a"]), "b": bad(c["b"]), "method": NAME}
    board |= {
        "experiment": NAME,
        "run": NAME,
        "created": NAME,
        "reference": bad(board["reference"]),
        "suite": {"name": NAME, "split": NAME, "revision": NAME, "n_problems": 3},
        "machine": {NAME: NAME, "cpu": NAME, "packages": {NAME: NAME}},
        "isolation": {"label": NAME},
        "steps": [{"id": NAME, "name": NAME, "seconds": 1.0}],
        "curves": {bad(v): hostile_curves() for v in board["curves"]},
        "trainings": [
            training_row(bad(v), NAME, unmeasured={"kl": NAME, NAME: NAME}) for v in board["curves"]
        ],
        "reward_models": {NAME: hostile_reward_model()},
        "answers": {bad(v): hostile_answers() for v in board["curves"]},
    }
    problems = {
        NAME + p.id: replace(
            p,
            id=NAME + p.id,
            prompt=HOSTILE + p.prompt,
            instruction=HOSTILE + p.instruction,
            family=NAME + p.family,
            checks=(HOSTILE,),
        )
        for p in run.problems.values()
    }
    samples = {NAME + variant: _spoil(frame) for variant, frame in run.samples.items()}
    return SyntheticRun(board, samples, problems)


def _spoil(frame: pd.DataFrame) -> pd.DataFrame:
    """As objects: pandas' own strings cannot hold the lone surrogate."""
    changed = dict.fromkeys(("prompt", "completion", "detail", "output", "rule", "mode"), HOSTILE)
    changed |= {"program": HOSTILE + "program"}
    columns = {name: pd.Series([text] * len(frame), dtype=object) for name, text in changed.items()}
    ids = pd.Series([NAME + problem for problem in frame["problem_id"]], dtype=object)
    return frame.assign(problem_id=ids, **columns)


def hostile_reward_model() -> dict[str, Any]:
    found = reward_model()
    return found | {"runs": [found["runs"][0] | {"file": NAME}, {"seed": 1, "unmeasured": NAME}]}


def hostile_answers() -> dict[str, Any]:
    """What a policy writes for a reward is as hostile as any completion."""
    spoiled = {"problem_id": NAME, "outcome": NAME, "why": NAME, "text": NAME}
    found = paid_answers()
    shown = [row | spoiled | {"components": {NAME: 1.0}} for row in found["shown"]]
    return found | {"file": NAME, "weights": {NAME: 1.0}, "shown": shown}


def hostile_curves() -> dict[str, Any]:
    """A training whose components, alarms and reasons are named with ill will."""
    found = ppo_curves(honest=False, seeds=2)
    for run in found["runs"]:
        run["train"]["series"][f"component/{NAME}"] = run["train"]["series"]["gap"]
        run["alarms"] = {"3": NAME}
    return found | {
        "step": NAME,
        "weights": {NAME: 1.0, "passed": 1.0},
        "unmeasured": {"value": NAME, NAME: NAME},
    }
