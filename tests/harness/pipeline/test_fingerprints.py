"""A step's id follows what decides its result: an edit of the extractor redoes executions and no generation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from assay.harness.experiment import Experiment
from assay.harness.pipeline.fingerprints import JUDGES, judging_sha256, prompts_sha256
from assay.harness.pipeline.plan import make_plan
from assay.sandbox.host import cache
from assay.sandbox.host.cache import sources_sha256
from assay.suites import Problem, Suite
from assay.suites.evalplus.build import make_oracle
from assay.suites.evalplus.profile import PROFILES

EXPERIMENT = Experiment.model_validate(
    {
        "name": "ids",
        "suite": {"name": "pocket", "split": "dev", "limit": 2},
        "score": {"reference": "base"},
        "variant": [{"name": "base", "model": "pocket"}],
    }
)
PROBLEM = Problem("t/0", "def f(x):\n", "f", ("assert f(1) == 2",), lead="Add one.\n")
SUITE = Suite("one", "0", (PROBLEM,))


def ids() -> dict[str, str]:
    return {step.kind: step.id for step in make_plan(EXPERIMENT).steps}


@pytest.fixture
def edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function that makes a module's source another than it is."""
    sources_of = cache._sources

    def edit(module: str) -> None:
        other = tmp_path / "other.py"
        other.write_text("# edited\n")

        def sources(name: str):
            yield from sources_of(name)
            if name == module:
                yield Path(name), other

        monkeypatch.setattr(cache, "_sources", sources)
        sources_sha256.cache_clear()

    yield edit
    sources_sha256.cache_clear()


@pytest.mark.parametrize("module", JUDGES)
def test_an_edit_of_what_judges_redoes_the_execution_alone(module: str, edited) -> None:
    before = ids()
    edited(module)
    after = ids()
    assert after["execute"] != before["execute"]
    assert (after["take"], after["generate"]) == (before["take"], before["generate"])


def test_what_makes_checks_of_answers_counts_where_a_suite_has_such(edited) -> None:
    oracle = make_oracle(
        suite="mbpp",
        program="def f(x):\n    return x\n",
        entry_point="f",
        base=[[1]],
        plus=[],
        atol=0,
        profile=next(iter(PROFILES.values())),
    )
    late = replace(SUITE, problems=(replace(PROBLEM, oracle=oracle),))
    before = judging_sha256(SUITE, "embedded"), judging_sha256(late, "embedded")
    assert before[0] != before[1]
    edited("assay.suites.evalplus")
    assert judging_sha256(SUITE, "embedded") == before[0]
    assert judging_sha256(late, "embedded") != before[1]


def test_a_changed_check_is_judged_again_and_a_changed_prompt_sampled_again() -> None:
    def both(problem: Problem) -> tuple[str, str, str]:
        suite = replace(SUITE, problems=(problem,))
        prompts = (prompts_sha256(suite, style) for style in ("chat", "completion"))
        return judging_sha256(suite, "embedded"), *prompts

    judging, chat, completion = both(PROBLEM)
    checks = both(replace(PROBLEM, checks=("assert f(1) == 3",)))
    assert checks[0] != judging
    assert checks[1:] == (chat, completion)
    assert both(replace(PROBLEM, lead="Add 1.\n")) != (judging, chat, completion)
    assert both(replace(PROBLEM, lead="Add 1.\n"))[:2] == (judging, chat)
    assert both(replace(PROBLEM, instruction="Write f.\n"))[1] != chat
