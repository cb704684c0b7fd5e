"""Rates, accumulation, checkpoints and kills: a run is what its settings say, however it was cut into pieces."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.trainers import Artifact, Records, SftConfig, TrainingError, load_records
from assay.trainers.data import DataConfig
from assay.trainers.methods.sft import build_trainer, train_sft
from assay.trainers.run.log import EVAL_LOG, LOG, read_evals, read_steps

pytestmark = pytest.mark.train
Make = Callable[..., SftConfig]


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Records:
    """32 chats whose answers have between one and about forty tokens, a quarter of them held out."""
    path = tmp_path_factory.mktemp("data") / "uneven.jsonl"
    rows = [{"prompt": f"Add {i}.", "completion": f"x + {i}" + " + 1" * (i * 7 % 13)} for i in range(32)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_records(DataConfig(file=path, eval_fraction=0.25))


W, T, RATE = 4, 12, 3e-3
SCHEDULES: dict[str, Callable[[int], float]] = {
    "constant": lambda s: 1.0,
    "constant_with_warmup": lambda s: min(1.0, s / W),
    "linear": lambda s: s / W if s < W else (T - s) / (T - W),
    "cosine": lambda s: s / W if s < W else 0.5 * (1 + math.cos(math.pi * (s - W) / (T - W))),
}


@pytest.mark.parametrize("by_ratio", [False, True])
@pytest.mark.parametrize("name", SCHEDULES)
def test_the_rate_follows_its_closed_form(
    name: str, by_ratio: bool, tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    """At every s of 0…T, with w = 4 of T = 12 (a third) for warm-up: the rate of the step after s steps."""
    warm = {"warmup_ratio": 0.33} if by_ratio else {"warmup_steps": W}
    config = small_config(scheduler=name, learning_rate=RATE, max_steps=T, **warm)
    trainer = build_trainer(tiny, config, chats, tmp_path)
    trainer.create_optimizer_and_scheduler(num_training_steps=T)
    assert {g["initial_lr"] for g in trainer.optimizer.param_groups} == {RATE}
    for s in range(T + 1):
        assert trainer.lr_scheduler.lr_lambdas[0](s) == pytest.approx(SCHEDULES[name](s)), s


@pytest.mark.slow
def test_the_logged_rates_are_those_of_the_steps(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    config = small_config(scheduler="linear", learning_rate=RATE, warmup_steps=2, max_steps=6)
    train_sft(tiny, config, chats, tmp_path / "out")
    rates = [s.learning_rate / RATE for s in read_steps(tmp_path / "out" / LOG)]
    assert rates == pytest.approx([0.0, 0.5, 1.0, 0.75, 0.5, 0.25])


@pytest.mark.slow
def test_accumulated_gradients_weigh_every_token_alike(
    tiny: Artifact, uneven: Records, small_config: Make, tmp_path: Path
) -> None:
    """4 × 4 is 16: same loss, same gradient norm and, a step of plain SGD later, the same weights. Averaging the
    four parts' means instead would be off by what is asserted at the end."""
    from safetensors.torch import load_file

    made: dict[str, Any] = {}
    for name, batch, parts in (("whole", 16, 1), ("parts", 4, 4)):
        config = small_config(
            batch_size=batch, gradient_accumulation_steps=parts, optimizer="sgd", learning_rate=0.5, max_grad_norm=1e9,
            scheduler="constant", max_steps=3,
        )  # fmt: skip
        out = train_sft(tiny, config, uneven, tmp_path / name).path
        made[name] = read_steps(out / LOG), load_file(out / "adapter_model.safetensors")
    (steps, weights), (steps_of_parts, weights_of_parts) = made["whole"], made["parts"]
    for one, other in zip(steps, steps_of_parts, strict=True):
        assert other.loss == pytest.approx(one.loss, rel=1e-5)
        assert other.grad_norm == pytest.approx(one.grad_norm, rel=1e-4)
        assert other.tokens == one.tokens
    for key, value in weights.items():
        assert (weights_of_parts[key] - value).abs().max() <= 1e-5 * max(1.0, float(value.abs().max())), key
    assert abs(_mean_of_means(tiny, uneven, small_config, tmp_path) / steps[0].loss - 1) > 1e-3


def _mean_of_means(tiny: Artifact, records: Records, make: Make, tmp_path: Path) -> float:
    """What the first step's loss would be if its four parts counted alike, however many tokens they train on."""
    import torch
    from torch.nn.functional import cross_entropy

    trainer = build_trainer(
        tiny, make(batch_size=4, gradient_accumulation_steps=4), records, tmp_path / "means"
    )
    batches = iter(trainer.get_train_dataloader())
    means = []
    for _ in range(4):
        batch = next(batches)
        with torch.inference_mode():
            logits = trainer.model(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
            ).logits
        means.append(
            float(cross_entropy(logits[:, :-1].flatten(0, 1).float(), batch["labels"][:, 1:].flatten()))
        )
    return sum(means) / len(means)


KILLS = 5


@pytest.mark.slow
def test_kills_leave_no_trace_in_the_losses(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    """A real process, killed with SIGKILL five times at random moments (steps, saves and the end among them), gives
    the losses, rates, tokens and weights of a run that was never killed, exactly."""
    config = small_config(max_steps=14, save_steps=2, batch_size=2, adapter={"dropout": 0.1})
    whole = train_sft(tiny, config, chats, tmp_path / "whole")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["assay.trainers.methods.sft", "torch", "trl", "peft", "transformers"])
    out, draw, seen = tmp_path / "killed", random.Random(7), []
    for _ in range(KILLS):
        process = context.Process(target=train_sft, args=(tiny, config, chats, out))
        process.start()
        seen.append(_kill_after(process, out / LOG, draw.randint(1, 4), draw.uniform(0, 0.03)))
    print("exits", seen)
    assert -signal.SIGKILL in seen, "no kill came before the end"
    process = context.Process(target=train_sft, args=(tiny, config, chats, out))
    process.start()
    process.join(120)
    assert process.exitcode == 0

    def logged(folder: Path) -> list[tuple[object, ...]]:
        return [(s.step, s.loss, s.learning_rate, s.grad_norm, s.tokens) for s in read_steps(folder / LOG)]

    assert logged(out) == logged(whole.path)
    assert (out / "adapter_model.safetensors").read_bytes() == (
        whole.path / "adapter_model.safetensors"
    ).read_bytes()


def _kill_after(process: Any, log: Path, steps: int, wait_s: float) -> int:
    """Kill once `steps` more steps than now are logged, or the process has ended; its exit code."""
    before = len(read_steps(log))
    goal = before + steps
    while process.is_alive() and len(read_steps(log)) < goal:
        if len(read_steps(log)) < before:  # cut back to the checkpoint that it goes on from
            goal -= before - len(read_steps(log))
            before = len(read_steps(log))
        time.sleep(0.002)
    time.sleep(wait_s)
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    return int(process.exitcode)


@pytest.mark.slow
def test_the_last_checkpoints_are_kept_and_the_log_has_its_cadence(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    found: list[set[str]] = []
    config = small_config(max_steps=12, save_steps=2, save_total_limit=3, logging_steps=3)
    train_sft(
        tiny, config, chats, tmp_path / "out",
        lambda s: found.append({p.name for p in (tmp_path / "out" / "checkpoints").glob("checkpoint-*")}),
    )  # fmt: skip
    assert [s.step for s in read_steps(tmp_path / "out" / LOG)] == [2, 3, 4, 6, 8, 9, 10, 12]
    assert found[-1] == {"checkpoint-6", "checkpoint-8", "checkpoint-10"}, "step 12's is not saved yet"


@pytest.mark.slow
def test_the_best_on_held_out_records_is_what_the_run_gives(
    tiny: Artifact, small_config: Make, tmp_path: Path
) -> None:
    """Held-out answers that contradict what is trained on: their loss goes up and down. The adapter is that of
    the lowest, which is not the last."""
    (tmp_path / "train.jsonl").write_text(_answers("x + 1"))
    (tmp_path / "held.jsonl").write_text(_answers("return y"))
    records = load_records(DataConfig(file=tmp_path / "train.jsonl", eval_file=tmp_path / "held.jsonl"))
    config = small_config(max_steps=12, save_steps=2, save_total_limit=1, keep_best=True, learning_rate=3e-2)
    made = train_sft(tiny, config, records, tmp_path / "out")
    points = read_evals(made.path / EVAL_LOG)
    assert [p.step for p in points] == [2, 4, 6, 8, 10, 12]
    best = min(points, key=lambda p: p.loss)
    assert best.step < 12
    lowest = [min((q.loss for q in points[:i]), default=math.inf) for i in range(len(points))]
    assert [p.best for p in points] == [p.loss < low for p, low in zip(points, lowest, strict=True)]
    assert f"the checkpoint of step {best.step} was best on the held-out records" in made.recipe
    assert "16 more held out" in made.recipe
    trainer = build_trainer(tiny, config, records, tmp_path / "again")
    trainer.model.load_adapter(str(made.path), "default")
    assert trainer.evaluate()["eval_loss"] == pytest.approx(best.loss, rel=1e-5)
    with pytest.raises(TrainingError, match="keep_best: no records are held out"):
        train_sft(tiny, config, load_records(DataConfig(suite="pocket", n=8)), tmp_path / "none")


def _answers(text: str) -> str:
    rows = [{"prompt": f"Add {i}.", "completion": text} for i in range(16)]
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.slow
def test_a_spike_stops_the_run_and_names_the_last_good_checkpoint(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    """A rate that grows until the loss jumps: planted, and caught."""
    config = small_config(
        max_steps=200, save_steps=3, scheduler="constant_with_warmup", warmup_steps=200, learning_rate=40.0,
        alarm={"spike_factor": 2.0, "patience": 1},
    )  # fmt: skip
    with pytest.raises(
        TrainingError, match=r"loss has jumped to .* at step \d+; .*the last good checkpoint is "
    ) as stopped:
        train_sft(tiny, config, chats, tmp_path / "out")
    steps = read_steps(tmp_path / "out" / LOG)
    named = Path(str(stopped.value).split("the last good checkpoint is ")[1].split(". Lower")[0])
    assert named.is_dir()
    assert int(named.name.rpartition("-")[2]) == (len(steps) - 1) // 3 * 3
    assert not (tmp_path / "out" / "artifact.json").exists()
