"""Single tensors of a model folder, without loading the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trainers.errors import ArtifactError

_INDEX = "model.safetensors.index.json"


def read_tensor(folder: str, name: str) -> Any:
    """The tensor `name` from a folder's safetensors files, sharded or not. Raises ArtifactError."""
    from safetensors import safe_open

    root = Path(folder)
    index = root / _INDEX
    if index.is_file():
        file = json.loads(index.read_text(encoding="utf-8"))["weight_map"].get(name)
    else:
        file = "model.safetensors"
    if file is None or not (root / file).is_file():
        raise ArtifactError(f"{folder} holds no tensor {name!r}")
    with safe_open(str(root / file), framework="pt") as tensors:
        if name not in tensors.keys():  # noqa: SIM118  it is no dict
            raise ArtifactError(f"{folder} holds no tensor {name!r}")
        return tensors.get_tensor(name)
