"""The folder of a training run: claimed, resumed after a kill, filled, and described when it is whole.

It is the same for every method; a method brings the trainer (`build`) and says in words what it did (`recipe`).
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from assay.trainers.artifact import Artifact, ArtifactKind, describe, identify, is_reward_model, record_path
from assay.trainers.config import CommonConfig
from assay.trainers.data.inputs import TrainingData
from assay.trainers.errors import MissingExtraError, TrainingError
from assay.trainers.model.precision import arithmetic
from assay.trainers.model.prepare import compute_dtype
from assay.trainers.model.qat import remove_fake_quantisation
from assay.trainers.model.quantize import save_base_quantization
from assay.trainers.preference.reward_report import REPORT
from assay.trainers.run.facts import measure, save_facts
from assay.trainers.run.isolation import RewardIsolation
from assay.trainers.run.log import EVAL_LOG, LOG, TrainingStep, keep_until, read_steps
from assay.trainers.run.runtime import bound_compiled_products, quiet_libraries

CHECKPOINTS = "checkpoints"
_INPUTS = "inputs.json"

OnStep = Callable[[TrainingStep], None]


def train_into(
    out: Path,
    base: Artifact,
    config: CommonConfig,
    records: TrainingData,
    build: Callable[[], Any],
    recipe: Callable[[Any], str],
    walls: RewardIsolation | None = None,
) -> Artifact:
    """Train what `build` returns (a transformers.Trainer), from the newest checkpoint on, and save it in `out`.

    `walls` are those of the sandbox which executes answers, where the method has one.
    """
    if base.kind not in (ArtifactKind.BASE, ArtifactKind.MERGED, ArtifactKind.TUNED):
        raise TrainingError(
            f"training starts from a base, tuned or merged model; {base.path} is of kind {base.kind}"
        )
    out.mkdir(parents=True, exist_ok=True)
    claim(out, base, config, records)
    if (whole := finished(out, base)) is not None:
        return whole
    started = time.perf_counter()
    bound_compiled_products()
    try:
        with quiet_libraries(), seeded(config.seed):
            checkpoint = newest_checkpoint(out / CHECKPOINTS, full=config.full)
            done = 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2])
            keep_until(out / LOG, done)
            keep_until(out / EVAL_LOG, done)
            trainer = build()
            ready = time.perf_counter()
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
            trained = time.perf_counter()
            if not trainer.state.global_step:
                raise TrainingError(
                    f"{config.method} made no step on {records.counts()}: nothing was learned, and nothing is kept"
                )
            said = recipe(trainer)
            save_weights(trainer, config, out)
    except ImportError as e:
        raise MissingExtraError(e.name or "a training package", "train") from e
    facts = measure(
        trainer,
        read_steps(out / LOG),
        config,
        records,
        base,
        resumed=checkpoint is not None,
        load_s=ready - started,
        train_s=trained - ready,
        walls=walls,
    )
    save_facts(out, facts)
    made = describe(ArtifactKind.TUNED if config.full else ArtifactKind.ADAPTER, out, base, said)
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    return made


def finished(out: Path, base: Artifact) -> Artifact | None:
    """What lies whole in `out`, by a call that was killed behind it; else None."""
    if not record_path(out).is_file():
        return None
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    return identify(out, base=base)


def save_weights(trainer: Any, config: CommonConfig, out: Path) -> None:
    if config.qat is not None:
        remove_fake_quantisation(trainer.model)
    trainer.model.save_pretrained(str(out))
    trainer.processing_class.save_pretrained(str(out))
    if config.quantization is not None:
        compute = compute_dtype(config, arithmetic(config))
        save_base_quantization(out, config.quantization, compute)


def claim(out: Path, base: Artifact, config: CommonConfig, records: TrainingData) -> None:
    """Mark `out` as belonging to these inputs; refuse a folder that other inputs have begun."""
    inputs = {
        "base": base.sha256,
        "records": records.sha256,
        "config": hashlib.sha256(by_content(config).model_dump_json().encode()).hexdigest(),
    }
    marker = out / _INPUTS
    if marker.is_file():
        found = json.loads(marker.read_text(encoding="utf-8"))
        if found != inputs:
            other = ", ".join(k for k in inputs if found.get(k) != inputs[k])
            raise TrainingError(
                f"{out} was begun with another {other}; remove it or train into another folder"
            )
    else:
        part = marker.with_name(f"{_INPUTS}.part")
        part.write_text(json.dumps(inputs, indent=2) + "\n", encoding="utf-8")
        part.replace(marker)


def newest_checkpoint(folder: Path, *, full: bool) -> Path | None:
    """The last checkpoint that is whole; one that a kill cut short is removed."""
    found = [(int(p.name.rpartition("-")[2]), p) for p in folder.glob("checkpoint-*")]
    for _, path in sorted(found, reverse=True):
        needed = (
            "model.safetensors" if full else "adapter_model.safetensors",
            "optimizer.pt",
            "scheduler.pt",
            "rng_state.pth",
            "trainer_state.json",
        )
        if all((path / name).is_file() for name in needed) and _is_json(path / "trainer_state.json"):
            return path
        shutil.rmtree(path)
    return None


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the generators that TRL and PEFT draw from, and give them back as they were afterwards."""
    import numpy as np
    import torch
    from transformers import set_seed

    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        set_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


# What of a training's table decides its result: a reward model by its content, and not by where it lies.

C = TypeVar("C", bound=CommonConfig)


def by_content(config: C) -> C:
    """The same table, for hashing only: the path in `reward.model` is replaced by the hash of what is there.

    Raises ArtifactError where nothing is there, TrainingError where it is no reward model.
    """
    reward = getattr(config, "reward", None)
    if reward is None or reward.model is None:
        return config
    reward = reward.model_copy(update={"model": Path(reward_model_sha256(reward.model))})
    return config.model_copy(update={"reward": reward})


def reward_model_sha256(folder: Path) -> str:
    """Of weights, configuration and tokenizer, and of the report, whose mean and spread its scores are read by."""
    artifact = identify(folder)
    if not is_reward_model(artifact):
        raise TrainingError(f'reward.model: {folder} is no reward model; train one with method = "reward"')
    digest = hashlib.sha256(artifact.sha256.encode())
    report = folder / REPORT
    digest.update(report.read_bytes() if report.is_file() else b"")
    return digest.hexdigest()
