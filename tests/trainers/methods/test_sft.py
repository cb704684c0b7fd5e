"""SFT: what is trained on, what comes out, and that a kill or a second run changes nothing."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from assay.trainers import (
    TRAINERS,
    Artifact,
    ArtifactKind,
    Records,
    SftConfig,
    TrainingError,
    TrainingStep,
    identify,
)
from assay.trainers.data import Message, TrainingRecord
from assay.trainers.methods.sft import build_trainer, train_sft
from assay.trainers.run.folder import LOG
from assay.trainers.run.log import read_steps

pytestmark = pytest.mark.train
Make = Callable[..., SftConfig]


def base_model(base: Artifact) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        str(base.path), dtype=torch.float32, attn_implementation="eager"
    )


def test_labels_are_the_assistants_tokens_and_no_others(
    tiny: Artifact, small_config: Make, tmp_path: Path
) -> None:
    """Token by token, over a chat of two answers: the expected spans are found here in the rendered text."""
    from transformers import AutoTokenizer

    answers = ("    return 1", "    return café")
    turns = ("system", "Be brief."), ("user", "One?"), ("assistant", answers[0]), ("user", "Two?")
    chat = tuple(Message(role, text) for role, text in (*turns, ("assistant", answers[1])))  # type: ignore[arg-type]
    records = Records((TrainingRecord(chat, "here"),), 1, "0" * 64)
    trainer = build_trainer(tiny, small_config(), records, tmp_path)
    row = trainer.train_dataset[0]

    tokenizer = AutoTokenizer.from_pretrained(str(tiny.path))
    text = "".join(f"<|im_start|>{m.role}\n{m.content}<|im_end|>\n" for m in chat)
    spans = []
    for answer in answers:
        begin = text.index(f"assistant\n{answer}") + len("assistant\n")
        spans.append((begin, begin + len(answer) + len("<|im_end|>")))
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    assert row["input_ids"] == encoded["input_ids"]
    inside = [any(b <= begin and end <= e for b, e in spans) for begin, end in encoded["offset_mapping"]]
    expected = [i if kept else -100 for i, kept in zip(row["input_ids"], inside, strict=True)]
    assert row["labels"] == expected
    assert tokenizer.decode([i for i in row["labels"] if i >= 0]) == "".join(
        f"{a}<|im_end|>" for a in answers
    )


def test_without_the_mask_every_token_is_trained_on(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    row = build_trainer(tiny, small_config(assistant_only_loss=False), chats, tmp_path).train_dataset[0]
    assert row["labels"] == row["input_ids"]


def test_the_adapter_learns_and_says_what_made_it(adapter: Artifact, tiny: Artifact) -> None:
    assert adapter.kind is ArtifactKind.ADAPTER
    assert adapter.parent == tiny
    assert "6 steps of 4x1 chats" in adapter.recipe
    assert identify(adapter.path) == adapter
    steps = read_steps(adapter.path / LOG)
    assert [s.step for s in steps] == [1, 2, 3, 4, 5, 6]
    assert steps[-1].loss < steps[0].loss
    assert all(
        s.total_steps == 6 and s.grad_norm > 0 and s.rss_bytes > 1 << 20 and s.tok_per_s > 0 for s in steps
    )
    tokens = [s.tokens for s in steps]
    assert tokens == sorted(set(tokens))
    assert not (adapter.path / "checkpoints").exists()


def test_a_fresh_adapter_changes_nothing(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path, logits_of: Callable[[Any], Any]
) -> None:
    """B is zero at first, so W + (alpha/r)·B·A is W exactly."""
    trainer = build_trainer(tiny, small_config(), chats, tmp_path)
    assert logits_of(trainer.model).equal(logits_of(base_model(tiny)))


def test_the_saved_adapter_answers_as_the_trained_one(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path, logits_of: Callable[[Any], Any]
) -> None:
    from peft import PeftModel

    trainer = build_trainer(tiny, small_config(), chats, tmp_path)
    trainer.train()
    trained = logits_of(trainer.model)
    trainer.model.save_pretrained(str(tmp_path / "saved"))
    loaded = PeftModel.from_pretrained(base_model(tiny), str(tmp_path / "saved"))
    assert logits_of(loaded).equal(trained)
    assert not trained.equal(logits_of(base_model(tiny)))


def test_w_plus_scaled_ba_is_what_peft_computes(adapter: Artifact, tiny: Artifact) -> None:
    import torch
    from peft import PeftModel

    model = PeftModel.from_pretrained(base_model(tiny), str(adapter.path))
    layer = model.base_model.model.model.layers[0].mlp.up_proj
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    x = torch.randn(5, a.shape[1], generator=torch.Generator().manual_seed(0))
    whole = layer.base_layer.weight + 32 / 16 * b @ a
    assert b.abs().max() > 0
    torch.testing.assert_close(layer(x), x @ whole.T, rtol=1e-4, atol=1e-5)


class KilledError(Exception):
    pass


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_adapter(
    adapter: Artifact, tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    """Killed after step 5 with the newest checkpoint at 4: the resumed run equals one that was never killed."""
    config = small_config(save_steps=2)

    def kill(step: TrainingStep) -> None:
        if step.step == 5:
            raise KilledError

    with pytest.raises(KilledError):
        train_sft(tiny, config, chats, tmp_path / "out", kill)
    newest = tmp_path / "out" / "checkpoints" / "checkpoint-4"
    assert newest.is_dir()
    half_written = newest.with_name("checkpoint-6")
    shutil.copytree(newest, half_written)
    (half_written / "trainer_state.json").write_text('{"best_global')
    seen: list[int] = []
    resumed = train_sft(tiny, config, chats, tmp_path / "out", lambda s: seen.append(s.step))
    assert seen == [5, 6]
    whole, log = read_steps(adapter.path / LOG), read_steps(resumed.path / LOG)
    assert [(s.step, s.loss, s.learning_rate, s.tokens) for s in log] == [
        (s.step, s.loss, s.learning_rate, s.tokens) for s in whole
    ]
    assert resumed.sha256 == adapter.sha256
    assert train_sft(tiny, config, chats, tmp_path / "out", kill) == resumed, "what is done is not done again"


@pytest.mark.slow
def test_the_seed_decides(
    adapter: Artifact, tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    random.seed(5)
    expected_draw = random.Random(5).random()
    again = train_sft(tiny, small_config(), chats, tmp_path / "again")
    other = train_sft(tiny, small_config(seed=1), chats, tmp_path / "other")
    assert random.random() == expected_draw, "the caller's generator is not ours to advance"
    assert again.sha256 == adapter.sha256
    assert other.sha256 != adapter.sha256


def test_chats_that_were_cut_are_counted(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    """Held against lengths counted here."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(tiny.path))
    texts = tokenizer.apply_chat_template([r.as_dicts() for r in chats.kept], tokenize=False)
    lengths = [len(ids) for ids in tokenizer(texts)["input_ids"]]
    limit = max(lengths) - 1
    cut = sum(n > limit for n in lengths)
    made = train_sft(tiny, small_config(max_length=limit, max_steps=1), chats, tmp_path / "out")
    assert made.recipe.endswith(f", {cut} of them longer than {limit} tokens")
    with pytest.raises(TrainingError, match="within max_length=3 tokens"):
        train_sft(tiny, small_config(max_length=3), chats, tmp_path / "none")


def test_packed_chats_do_not_see_each_other(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    """The logits of each chat in a packed batch are those of the chat alone."""
    import torch

    trainer = build_trainer(tiny, small_config(packing=True), chats, tmp_path)
    batch = next(iter(trainer.get_train_dataloader()))
    starts = [*(batch["position_ids"][0] == 0).nonzero()[:, 0].tolist(), batch["input_ids"].shape[1]]
    assert len(starts) > 8
    with torch.inference_mode():
        packed = trainer.model(**{k: v for k, v in batch.items() if k != "labels"}, use_cache=False).logits[0]
        for begin, end in pairwise(starts):
            alone = trainer.model(input_ids=batch["input_ids"][:, begin:end]).logits[0]
            torch.testing.assert_close(packed[begin:end], alone, rtol=1e-4, atol=1e-4)


def test_a_folder_begun_with_other_inputs_is_refused(
    adapter: Artifact, tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    shutil.copy(adapter.path / "inputs.json", begun)
    with pytest.raises(TrainingError, match="begun with another config"):
        train_sft(tiny, small_config(learning_rate=1e-4), chats, begun)
    fewer = replace(chats, kept=chats.kept[:4], sha256="1" * 64)
    with pytest.raises(TrainingError, match="begun with another records"):
        train_sft(tiny, small_config(), fewer, begun)


def test_a_loss_that_is_not_finite_stops_the_run(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(tiny.path, tmp_path / "broken"))
    (folder / "artifact.json").unlink()
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"][0, 0] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TrainingError, match="loss is nan at step 1"):
        train_sft(identify(folder), small_config(), chats, tmp_path / "out")
    assert not (tmp_path / "out" / "artifact.json").exists()


def test_only_a_whole_model_is_trained(
    adapter: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="is of kind adapter"):
        TRAINERS.get("sft")(adapter, small_config(), chats, tmp_path)


def test_training_says_nothing_on_the_terminal(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train_sft(tiny, small_config(max_steps=1), chats, tmp_path / "out")
    assert capfd.readouterr() == ("", "")


def test_an_unknown_module_is_an_error_that_lists_the_models_own(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    config = small_config(adapter={"target_modules": ["q_proj", "w_proj"]})
    with pytest.raises(
        TrainingError, match=r"w_proj.*down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj"
    ):
        train_sft(tiny, config, chats, tmp_path / "out")


def test_an_output_head_is_not_adapted(
    tiny: Artifact, tied: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    """TRL's losses read the head's weight itself: an adapter on it would be saved as it began."""
    config = small_config(adapter={"target_modules": ["q_proj", "lm_head"]})
    for base, why in ((tied, "tied to the embedding"), (tiny, "past an adapter, which would learn nothing")):
        with pytest.raises(TrainingError, match=f"lm_head is the output head: .*{why}"):
            train_sft(base, config, chats, tmp_path / base.sha256)


def test_the_log_is_plain_json_lines(adapter: Artifact) -> None:
    lines = (adapter.path / LOG).read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
