"""The generation benchmark still runs: every arm on a tiny model, its answers counted alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.trainers.gguf import export_gguf
from assay.trainers.templates import load_tokenizer
from benchmarks.generation import BASELINE, Subject, _until_end, arms_of, report, rounds_of
from tests.tiny import make_tiny_model

pytestmark = [pytest.mark.train, pytest.mark.gguf]
PROMPTS = ("def double(x):\n", "def add(a, b):\n    return")


def test_every_arm_answers_every_prompt_n_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = make_tiny_model(tmp_path / "tiny", [f"def f{i}(x):\n    return x + {i}\n" for i in range(40)])
    tokenizer = load_tokenizer(model)
    ids = tuple(tuple(tokenizer(p, add_special_tokens=False)["input_ids"]) for p in PROMPTS)
    subject = Subject("tiny", model, export_gguf(model, tmp_path / "tiny.gguf"), PROMPTS, ids, 6)
    with arms_of(subject, 1, "fp32") as arms:
        assert list(arms) == list(BASELINE)
        (runs,) = rounds_of(arms, 3, 1)
    assert [run.answers for run in runs] == [6] * 5
    assert all(run.tokens >= 6 for run in runs), runs
    # llama-cpp-python overlooks max_tokens behind half a character, which a random model writes now and then
    assert all(run.tokens <= 36 for run in runs if run.arm != "llama.cpp"), runs
    report("tiny", 3, [runs])
    assert "times as fast as the loop" in capsys.readouterr().out


def test_tokens_behind_the_end_are_not_counted() -> None:
    assert _until_end([5, 6, 2, 0, 0], {2, 3}) == 3
    assert _until_end([5, 6], {2}) == 2
