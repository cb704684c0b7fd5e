"""The folder of a training run: claimed by its inputs, resumed after a kill, filled with weights.

Every method uses it in the same way (`assay.trainers.methods._trl.train_into`). The folder holds

    inputs.json       the hashes of base, data and configuration; a folder that other inputs have begun is refused
    isolation.json    the weakest isolation under which answers were executed, where the method executes any
    checkpoints/      while the run lasts; a run that was killed resumes from the newest complete one
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from assay.sandbox import Isolation
from assay.sandbox.host.isolation import Level
from assay.trainers.artifact import MODEL_FOLDERS, Artifact, identify, is_reward_model, record_path
from assay.trainers.config import CommonConfig
from assay.trainers.data.inputs import TrainingData
from assay.trainers.errors import TrainingError
from assay.trainers.files import check_tree, write_text
from assay.trainers.model.precision import arithmetic, compute_dtype
from assay.trainers.model.quantize import remove_fake_quantisation, save_base_quantization
from assay.trainers.preference.reward_report import REPORT
from assay.trainers.run.log import EVAL_LOG, LOG, keep_until

CHECKPOINTS = "checkpoints"
INPUTS = "inputs.json"
ISOLATION_FILE = "isolation.json"
# The files of a complete transformers checkpoint, beside the weights.
_TRAINER_FILES = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")

C = TypeVar("C", bound=CommonConfig)


def claim(out: Path, base: Artifact, config: CommonConfig, data: TrainingData) -> Artifact | None:
    """Mark `out` as belonging to these inputs; return the artifact in it where a run has finished already.

    Raises TrainingError for a base that cannot be trained and for a folder that other inputs have begun.
    """
    if base.kind not in MODEL_FOLDERS:
        raise TrainingError(
            f"training starts from a base, tuned or merged model; {base.path} is of kind {base.kind}"
        )
    out.mkdir(parents=True, exist_ok=True)
    check_tree(out)  # a folder that was begun is gone on with, and may be somebody else's
    inputs = {
        "base": base.sha256,
        "records": data.sha256,
        "config": hashlib.sha256(by_content(config).model_dump_json().encode()).hexdigest(),
    }
    marker = out / INPUTS
    if not marker.is_file():
        write_text(marker, json.dumps(inputs, indent=2) + "\n")
    elif (begun := json.loads(marker.read_text(encoding="utf-8"))) != inputs:
        other = ", ".join(k for k in inputs if begun.get(k) != inputs[k])
        raise TrainingError(f"{out} was begun with another {other}; remove it or train into another folder")
    if not record_path(out).is_file():
        return None
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)  # of a call that was killed after its last step
    return identify(out, base=base)


def resume_point(out: Path, config: CommonConfig, files: Sequence[str] | None = None) -> Path | None:
    """Return the newest complete checkpoint, with the logs cut back to its step; None where the run starts anew.

    `files` are those of a complete checkpoint; by default transformers' own. A checkpoint that a kill cut short is
    removed.
    """
    weights = "model.safetensors" if config.full else "adapter_model.safetensors"
    checkpoint = newest_checkpoint(out / CHECKPOINTS, files or (weights, *_TRAINER_FILES))
    step = 0 if checkpoint is None else step_of(checkpoint)
    keep_until(out / LOG, step)
    keep_until(out / EVAL_LOG, step)
    return checkpoint


def newest_checkpoint(folder: Path, files: Sequence[str]) -> Path | None:
    """Return the last checkpoint in `folder` that has all `files`; later ones, which a kill cut short, are removed."""
    for path in sorted(folder.glob("checkpoint-*"), key=step_of, reverse=True):
        if all((path / name).is_file() and _readable(path / name) for name in files):
            return path
        shutil.rmtree(path)
    return None


def step_of(checkpoint: Path) -> int:
    """Return the step of a folder `checkpoint-STEP`."""
    return int(checkpoint.name.rpartition("-")[2])


def _readable(path: Path) -> bool:
    """Return False for a JSON file that was cut short; other files are taken as they are."""
    try:
        return path.suffix != ".json" or json.loads(path.read_text(encoding="utf-8")) is not None
    except ValueError:
        return False


def save_weights(trainer: Any, config: CommonConfig, out: Path) -> None:
    """Save the trainer's model (adapter or every weight) and tokenizer, and how its base was quantised."""
    if config.qat is not None:
        remove_fake_quantisation(trainer.model)
    trainer.model.save_pretrained(str(out))
    trainer.processing_class.save_pretrained(str(out))
    if config.quantization is not None:
        save_base_quantization(out, config.quantization, compute_dtype(config, arithmetic(config)))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the generators that TRL and PEFT draw from, and restore their states afterwards."""
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


def by_content(config: C) -> C:
    """Return the same table for hashing: the path in `reward.model` is replaced by the hash of the model there.

    A training's result depends on a reward model's content and not on where it lies. Raises ArtifactError where
    nothing is there, TrainingError where it is not a reward model.
    """
    reward = getattr(config, "reward", None)
    if reward is None or reward.model is None:
        return config
    reward = reward.model_copy(update={"model": Path(reward_model_sha256(reward.model))})
    return config.model_copy(update={"reward": reward})


def reward_model_sha256(folder: Path) -> str:
    """Return the hash of weights, configuration, tokenizer and of the report, by whose mean and spread its scores are
    standardised."""
    artifact = identify(folder)
    if not is_reward_model(artifact):
        raise TrainingError(f'reward.model: {folder} is no reward model; train one with method = "reward"')
    digest = hashlib.sha256(artifact.sha256.encode())
    report = folder / REPORT
    digest.update(report.read_bytes() if report.is_file() else b"")
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class RewardIsolation:
    """The isolation under which answers were executed: its level, and a label for people."""

    level: Level
    label: str


def refuse_weak(out: Path, *, allow_weak: bool) -> None:
    """Raise TrainingError where rewards in `out` were computed under weaker isolation than this call asks for."""
    recorded = _read_isolation(out)
    if recorded is not None and recorded.level != "full" and not allow_weak:
        raise TrainingError(
            f"{out}: its rewards were computed under {recorded.label}, weaker than this call asks for; remove it, "
            "train into another folder, or pass --allow-weak"
        )


def record_isolation(out: Path, now: Isolation) -> RewardIsolation:
    """Record in `out` that answers are executed under `now`; return the weakest isolation that the folder ever had.

    A reward is as good as the sandbox that gave it, and a killed run may resume under another call with another
    isolation.
    """
    recorded = _read_isolation(out)
    if recorded is not None and recorded.level != "full":
        return recorded
    isolation = RewardIsolation(now.level, now.label)
    write_text(out / ISOLATION_FILE, json.dumps(asdict(isolation), indent=2) + "\n")
    return isolation


def _read_isolation(out: Path) -> RewardIsolation | None:
    path = out / ISOLATION_FILE
    return RewardIsolation(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None
