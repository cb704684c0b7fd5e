"""Checkpoints of a PPO run: whole or absent, by rename. What is in one decides every later step."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from trainers.rl.kl import KlController
from trainers.rl.policy import Policy, load_value_head, save_value_head

_POLICY = "policy.safetensors"
_OPTIMIZER = "optimizer.pt"
_STATE = "state.json"


def save_checkpoint(
    folder: Path, step: int, policy: Policy, optimizer: Any, controller: KlController, keep: int
) -> None:
    """Write `folder/checkpoint-<step>` and remove all but the newest `keep`."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".part-{step}"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    state = {name: tensor.cpu().contiguous() for name, tensor in policy.state().items()}
    save_file(state, str(part / _POLICY))
    save_value_head(policy, part)
    torch.save(optimizer.state_dict(), part / _OPTIMIZER)
    (part / _STATE).write_text(json.dumps({"step": step, "kl_coefficient": controller.coefficient}))
    final = folder / f"checkpoint-{step}"
    shutil.rmtree(final, ignore_errors=True)
    for file in part.rglob("*"):
        _sync(file)
    part.rename(final)
    _sync(folder)
    for _, old in _found(folder)[:-keep]:
        shutil.rmtree(old)


def load_newest(folder: Path, policy: Policy, optimizer: Any, controller: KlController) -> int:
    """Put everything back as it was after the newest checkpoint's step, and return that step; 0 where there is none."""
    import torch
    from safetensors.torch import load_file

    for part in folder.glob(".part-*"):
        shutil.rmtree(part)
    found = _found(folder)
    if not found:
        return 0
    step, newest = found[-1]
    policy.load_state(load_file(str(newest / _POLICY)))
    load_value_head(policy, newest)
    optimizer.load_state_dict(torch.load(newest / _OPTIMIZER, weights_only=True))
    controller.coefficient = float(json.loads((newest / _STATE).read_text())["kl_coefficient"])
    return step


def newest_step(folder: Path) -> int:
    found = _found(folder)
    return found[-1][0] if found else 0


def _found(folder: Path) -> list[tuple[int, Path]]:
    return sorted((int(p.name.rpartition("-")[2]), p) for p in folder.glob("checkpoint-*"))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
