"""The template that a model was trained with goes where the model goes; a model's own is left as it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from assay.trainers import Artifact, Records, SftConfig, TrainingError, identify, load_records
from assay.trainers.data import DataConfig
from assay.trainers.merge import merge_adapter
from assay.trainers.methods.sft import build_trainer, train_sft
from assay.trainers.templates import load_tokenizer, template_source

pytestmark = pytest.mark.train
Make = Callable[..., SftConfig]
PREAMBLE = "Below is an instruction that describes a task. Write a response"


@pytest.fixture
def plain(tiny: Artifact, tmp_path: Path) -> Artifact:
    """The tiny model without a chat template."""
    folder = Path(shutil.copytree(tiny.path, tmp_path / "plain"))
    (folder / "chat_template.jinja").unlink()
    (folder / "artifact.json").unlink()
    return identify(folder)


def test_a_models_own_template_is_saved_unchanged(adapter: Artifact, tiny: Artifact) -> None:
    name = "chat_template.jinja"
    assert (adapter.path / name).read_bytes() == (tiny.path / name).read_bytes()


@pytest.mark.slow
def test_another_template_is_what_the_adapter_and_its_merge_are_asked_with(
    plain: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="has no chat template of its own; choose one"):
        build_trainer(plain, small_config(), chats, tmp_path / "none")
    made = train_sft(
        plain, small_config(template="alpaca", max_steps=1, max_length=400), chats, tmp_path / "out"
    )
    assert "template alpaca, loss on assistant turns" in made.recipe
    saved = (made.path / "chat_template.jinja").read_text()
    assert "generation %}" not in saved
    assert saved == template_source("alpaca").replace("{%- generation -%}\n", "").replace(
        "{%- endgeneration -%}\n", ""
    )
    merged = merge_adapter(made, tmp_path / "merged")
    messages = [{"role": "user", "content": "Add 1 to x."}]
    for model in (made, merged):
        asked = load_tokenizer(model).apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        assert asked.startswith(PREAMBLE)
        assert asked.endswith("### Instruction:\nAdd 1 to x.\n\n### Response:")
        assert load_tokenizer(model).chat_template == saved


def test_an_alpaca_file_is_trained_on_as_stanfords_text(
    plain: Artifact, small_config: Make, tmp_path: Path
) -> None:
    """From the file's row to the tokens of the batch, labels on the output and the end of text only."""
    path = tmp_path / "alpaca.jsonl"
    path.write_text(json.dumps({"instruction": "Add.", "input": "1 2", "output": "3"}) + "\n")
    config = small_config(template="alpaca", max_length=400)
    trainer = build_trainer(plain, config, load_records(DataConfig(file=path)), tmp_path / "out")
    row, tokenizer = trainer.train_dataset[0], trainer.processing_class
    text = tokenizer.decode(row["input_ids"])
    assert text.startswith("Below is an instruction that describes a task, paired with an input")
    assert text.endswith("### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:3<|im_end|>")
    assert tokenizer.decode([i for i in row["labels"] if i >= 0]) == "3<|im_end|>"


@pytest.mark.parametrize(
    ("flags", "trained"),
    [
        ({}, "a<|im_end|>b<|im_end|>"),
        ({"completion_only_loss": True}, "b<|im_end|>"),
        ({"assistant_only_loss": False}, None),
    ],
)
def test_the_loss_flags_decide_the_labels(
    flags: dict[str, bool], trained: str | None, tiny: Artifact, small_config: Make, tmp_path: Path
) -> None:
    turns = [("user", "x"), ("assistant", "a"), ("user", "y"), ("assistant", "b")]
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps({"messages": [{"role": r, "content": c} for r, c in turns]}) + "\n")
    records = load_records(DataConfig(file=path))
    row = build_trainer(tiny, small_config(**flags), records, tmp_path / "out").train_dataset[0]
    if trained is None:
        assert row["labels"] == row["input_ids"]
    else:
        tokenizer = load_tokenizer(tiny)
        assert tokenizer.decode([i for i in row["labels"] if i >= 0]) == trained
