"""What a training's data come to, told beforehand, is what the trainers then make of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay.harness.models.resolve import POCKET_FOLDER
from assay.harness.training.dry_run import ALONE, NO_ROOM, TOO_LONG, Lengths, lengths_of
from assay.suites import load_suite
from assay.suites.model import chat_messages
from assay.trainers.artifact import identify
from assay.trainers.config import METHODS, TrainConfig
from assay.trainers.data.preferences import LabeledCompletion, Pair, Preferences, Text
from assay.trainers.data.problems import ProblemsConfig, load_environment
from assay.trainers.errors import TrainingError

pytestmark = pytest.mark.train
pytest.importorskip("trl", reason="needs the train extra: pip install 'assay[train]'")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(POCKET_FOLDER))


def pairs(*, chat: bool = True) -> Preferences:
    """Pairs whose prompts and answers are of many lengths; some answers are very long."""
    rows = []
    for number, problem in enumerate(load_suite("pocket", split="train", limit=9).problems):
        prompt: Text = tuple(chat_messages(problem)) if chat else problem.prompt
        good = problem.canonical_solution.rstrip() or "    return 0"
        rows.append(Pair(problem.id, "execution", prompt, good, "    return 1" + " + 1" * 20 * number))
    return Preferences(tuple(rows), "0" * 64, "here")


def config_of(method: str, max_length: int, batch_size: int = 4) -> TrainConfig:
    raw = {"method": method, "max_length": max_length, "batch_size": batch_size, "dtype": "fp32"}
    return METHODS[method].model_validate(raw)


def trained_rows(method: str, config: Any, data: Preferences, out: Path) -> int:
    """How many rows the method's real trainer learns from."""
    from assay.trainers.methods import dpo, kto, orpo, reward_model

    out.mkdir()
    build = {"dpo": dpo, "kto": kto, "orpo": orpo, "reward": reward_model}[method].build_trainer
    return len(build(identify(POCKET_FOLDER), config, data, out).train_dataset)


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("method", ["dpo", "kto", "orpo", "reward"])
def test_rows_that_are_left_out_are_those_that_the_trainer_leaves_out(
    method: str, chat: bool, tokenizer: Any, tmp_path: Path
) -> None:
    data = pairs(chat=chat)
    whole = lengths_of(config_of(method, 1000, batch_size=3), data, tokenizer)
    assert (whole.cut, whole.left_out) == (0, {})
    prompts = sorted(len(_asked(tokenizer, pair, chat)) for pair in data.pairs())
    limit = 150 if method == "reward" else prompts[4] + 1  # no room behind the longer prompts
    config = config_of(method, limit, batch_size=3)
    told = lengths_of(config, data, tokenizer)
    assert told.left_out
    assert told.rows == trained_rows(method, config, data, tmp_path / "out")
    assert told.longest <= config.max_length
    assert told.rows + sum(told.left_out.values()) == whole.rows


def _asked(tokenizer: Any, pair: Pair, chat: bool) -> list[int]:
    if not chat:
        return list(tokenizer(pair.prompt)["input_ids"])
    text = tokenizer.apply_chat_template(list(pair.prompt), tokenize=False, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def test_each_method_cuts_in_its_own_way(tokenizer: Any) -> None:
    found: dict[str, Lengths] = {
        m: lengths_of(config_of(m, 150), pairs(), tokenizer) for m in ("dpo", "reward")
    }
    assert found["dpo"].cut > 0
    assert found["dpo"].longest == 150
    assert NO_ROOM not in found["dpo"].left_out
    assert found["reward"].left_out[TOO_LONG] == found["dpo"].cut  # what DPO cuts, a reward model leaves out
    assert found["reward"].cut == 0
    assert lengths_of(config_of("kto", 1000, batch_size=17), pairs(), tokenizer).left_out == {ALONE: 1}


def test_examples_are_as_the_model_reads_them(tokenizer: Any) -> None:
    data = pairs()
    told = lengths_of(config_of("dpo", 512), data, tokenizer)
    assert len(told.examples) == 2
    first, pair = told.examples[0], data.pairs()[0]
    assert first["prompt"].endswith("<|im_start|>assistant\n")
    assert first["chosen"].startswith(pair.chosen)
    assert first["rejected"].startswith(pair.rejected)
    assert "<|im_end|>" in first["chosen"]
    opinions = tuple(LabeledCompletion(p.problem_id, p.prompt, p.chosen, True) for p in data.pairs())
    told = lengths_of(config_of("kto", 512), Preferences(opinions, "0" * 64, "here"), tokenizer)
    assert told.examples[0]["good"].startswith(pair.chosen)


def test_of_rewards_the_prompts_are_told_and_which_checks_pay(tokenizer: Any) -> None:
    from assay.trainers.config import PpoConfig

    config = PpoConfig.model_validate({"method": "ppo", "reward": {"checks": "half"}})
    environment = load_environment(ProblemsConfig(suite="pocket", n=5))
    told = lengths_of(config, environment, tokenizer)
    assert (told.unit, told.rows, told.cut) == ("problems", 5, 0)
    assert told.examples[0]["prompt"].endswith("<|im_start|>assistant\n")
    paid, held = (told.examples[0][part].splitlines() for part in ("checks that pay", "held out"))
    assert sorted(paid + held) == sorted(environment.kept[0].checks)


def test_data_of_which_nothing_is_left_are_refused(tokenizer: Any) -> None:
    with pytest.raises(TrainingError, match=r"max_length = 8 leaves none of 9 pairs .*; raise it"):
        lengths_of(config_of("dpo", 8), pairs(), tokenizer)
