"""A key-value cache of fixed places for the transformers backend, whose rows come and go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from assay.harness.errors import BadInputError

if TYPE_CHECKING:
    import torch


class SlotCache:
    """The keys and values of all rows, [rows, heads, capacity, width] a layer; row i holds `lengths[i]` tokens."""

    def __init__(self, rows: int, capacity: int) -> None:
        self._rows = rows
        self._capacity = capacity
        self._lengths: list[int] = []
        self._layers: list[Any] = []
        self.cache: Any = None

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values."""
        return sum(int(layer.keys.nbytes + layer.values.nbytes) for layer in self._layers)

    def append(self, prefilled: Any, which: Sequence[int], lengths: Sequence[int]) -> None:
        """Copy rows `which` of a prefilled cache behind the present rows; they hold `lengths` tokens."""
        import torch

        if self.cache is None:
            self._make(prefilled)
        first, count = len(self._lengths), len(which)
        for own, new in zip(self._layers, prefilled.layers, strict=True):
            index = torch.tensor(which, device=new.keys.device)
            width = new.keys.shape[2]
            own.keys[first : first + count, :, :width] = new.keys[index]
            own.values[first : first + count, :, :width] = new.values[index]
        self._lengths += lengths

    def before_step(self, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """Return each row's next position, and the additive mask [rows, 1, 1, longest] over the tokens it may read."""
        import torch

        device = self._layers[0].keys.device
        positions = torch.tensor(self._lengths, device=device)
        longest = max(self._lengths) + 1
        for layer in self._layers:
            layer.place(positions, longest)
        hidden = torch.arange(longest, device=device)[None, :] > positions[:, None]
        mask = torch.zeros(hidden.shape, dtype=dtype, device=device)
        return positions, mask.masked_fill_(hidden, torch.finfo(dtype).min)[:, None, None, :]

    def after_step(self) -> None:
        """Count the token that every row has read."""
        self._lengths = [n + 1 for n in self._lengths]

    def remove(self, row: int) -> None:
        """Forget a row; the last one takes its place."""
        last = len(self._lengths) - 1
        if row != last:
            n = self._lengths[last]
            for layer in self._layers:
                layer.keys[row, :, :n] = layer.keys[last, :, :n]
                layer.values[row, :, :n] = layer.values[last, :, :n]
            self._lengths[row] = n
        self._lengths.pop()

    def _make(self, prefilled: Any) -> None:
        from transformers.cache_utils import Cache

        for layer in prefilled.layers:
            if getattr(layer, "keys", None) is None or layer.keys.dim() != 4:
                raise BadInputError(
                    f"this model keeps a {type(layer).__name__} state; only attention caches can be generated from"
                )
        make = _slot_layer_class()
        self._layers = [
            make(layer.keys, layer.values, self._rows, self._capacity) for layer in prefilled.layers
        ]
        self.cache = Cache(layers=self._layers)


def _slot_layer_class() -> Any:
    """Return the class of cache layer that transformers' models write to.

    It must derive from a class of transformers, so it is made here, once transformers is loaded.
    """
    import torch
    from transformers.cache_utils import CacheLayerMixin

    class SlotLayer(CacheLayerMixin):  # type: ignore[misc]
        is_sliding = False

        def __init__(self, keys: torch.Tensor, values: torch.Tensor, rows: int, capacity: int) -> None:
            super().__init__()
            self.keys = keys.new_zeros((rows, keys.shape[1], capacity, keys.shape[3]))
            self.values = values.new_zeros((rows, values.shape[1], capacity, values.shape[3]))
            self.is_initialized = True
            self._every = torch.arange(rows, device=keys.device)
            self._positions = self._every[:0]
            self._longest = 0

        def place(self, positions: torch.Tensor, longest: int) -> None:
            self._positions, self._longest = positions, longest

        def update(
            self, keys: torch.Tensor, values: torch.Tensor, *_: Any, **__: Any
        ) -> tuple[torch.Tensor, torch.Tensor]:
            n = keys.shape[0]
            self.keys[self._every[:n], :, self._positions] = keys[:, :, 0]
            self.values[self._every[:n], :, self._positions] = values[:, :, 0]
            return self.keys[:n, :, : self._longest], self.values[:n, :, : self._longest]

        def lazy_initialization(self, keys: torch.Tensor, values: torch.Tensor) -> None:
            raise RuntimeError("a slot layer is allocated when it is made")

        def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
            return self._longest, 0

        def get_seq_length(self) -> int:
            return self._longest - 1

        def get_max_length(self) -> int:
            return int(self.keys.shape[2])

    return SlotLayer
