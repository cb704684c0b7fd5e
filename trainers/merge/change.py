"""How far a merge moved the base: norms of weights and of their change, tensor by tensor."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

FILE = "merge.json"


def weight_change(base: Path, merged: Path) -> dict[str, Any]:
    """‖W' − W‖, ‖W‖ and their ratio (Frobenius) over the tensors that changed, and how many did."""
    old = dict(_files_of(base))
    moved, before, changed, total = 0.0, 0.0, 0, 0
    for name, tensor in tensors(merged):
        if name not in old:
            continue
        total += 1
        was = _read(old[name], name)
        difference = float((tensor - was).double().pow(2).sum())
        if difference > 0:
            changed += 1
            moved += difference
            before += float(was.double().pow(2).sum())
    return {
        "tensors": total,
        "tensors_changed": changed,
        "change_norm": math.sqrt(moved),
        "base_norm": math.sqrt(before),
        "relative_change": math.sqrt(moved / before) if before else 0.0,
    }


def save_change(folder: Path, values: dict[str, Any]) -> None:
    (folder / FILE).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def load_change(folder: Path) -> dict[str, Any] | None:
    """What `save_change` wrote; None for a folder that no merge of ours made."""
    file = folder / FILE
    if not file.is_file():
        return None
    values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return values


def tensors(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of a model folder as (name, fp32), one in memory at a time."""
    for name, file in _files_of(folder):
        yield name, _read(file, name)


def _files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(str(file), "pt") as opened:
            for name in opened.keys():  # noqa: SIM118  # not a dict
                yield name, file


def _read(file: Path, name: str) -> torch.Tensor:
    import torch
    from safetensors import safe_open

    with safe_open(str(file), "pt") as opened:
        tensor: torch.Tensor = opened.get_tensor(name)
    return tensor.to(torch.float32)
