"""Bytes of tensors that are alive, counted by storage as operations make them and Python and autograd let them go."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Within the block: `now` bytes in storages made since it began, and the highest, `peak`. `known` are tensors from
    before. What a kernel allocates and frees inside itself is not seen."""

    def __init__(self, known: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._alive = {storage_of(tensor): 0 for tensor in known}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._take(tensor.untyped_storage())
        return out

    def _take(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._alive and storage.nbytes():
            self._alive[key] = storage.nbytes()
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._gone, key)

    def _gone(self, key: int) -> None:
        self.now -= self._alive.pop(key, 0)


class SavedBytes:
    """Within the block: the storages that autograd keeps for the backward pass, each once, `known` ones left out."""

    def __init__(self, known: Iterable[torch.Tensor]) -> None:
        self._known = {storage_of(tensor) for tensor in known}
        self._kept: dict[int, torch.UntypedStorage] = {}  # held, so that no address is used twice
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor)

    def __enter__(self) -> SavedBytes:
        self._hooks.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._hooks.__exit__(*raised)

    @property
    def total(self) -> int:
        return sum(storage.nbytes() for storage in self._kept.values())

    def _pack(self, tensor: torch.Tensor) -> torch.Tensor:
        if storage_of(tensor) not in self._known:
            self._kept.setdefault(storage_of(tensor), tensor.untyped_storage())
        return tensor


def storage_of(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata
