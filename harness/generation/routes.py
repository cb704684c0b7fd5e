"""Which adapter answers which row of a batch, in the terms of PEFT's forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.errors import BadInputError

BASE = "__base__"  # PEFT's name for no adapter


class AdapterRoutes:
    """Keeps the adapter of every row, in step with the rows of the cache.

    A batch of one adapter has it set as the active one, which every kind of adapter can do and costs nothing; a mixed
    batch passes PEFT's `adapter_names`, which LoRA layers (DoRA's apart) can.
    """

    def __init__(self, model: Any, names: Sequence[str]) -> None:
        self._model = model
        self._names = tuple(names)
        self._active = ""
        self._prompts: list[str] = []
        self._rows: list[str] = []
        self._mixes = bool(names) and all(_mixes(model.peft_config[name]) for name in names)

    def clear(self) -> None:
        self._prompts, self._rows = [], []

    def admit(self, adapters: Sequence[str], copies: Sequence[int]) -> None:
        known = (*self._names, BASE) if self._names else ("",)
        for name in adapters:
            if name not in known:
                held = ", ".join(self._names) or "none: its requests name no adapter"
                raise BadInputError(f"this generator holds no adapter {name!r}; it holds {held}")
        self._prompts = list(adapters)
        self._rows += [name for name, n in zip(adapters, copies, strict=True) for _ in range(n)]

    def remove(self, row: int) -> None:
        if self._names:
            self._rows[row] = self._rows[-1]
        if self._rows:
            self._rows.pop()

    def of_prompts(self) -> dict[str, Any]:
        return self._arguments(self._prompts)

    def of_rows(self) -> dict[str, Any]:
        return self._arguments(self._rows)

    def _arguments(self, adapters: Sequence[str]) -> dict[str, Any]:
        """Keyword arguments of the forward pass."""
        if not self._names:
            return {}
        distinct = set(adapters)
        if len(distinct) == 1 and distinct != {BASE}:
            (name,) = distinct
            if name != self._active:
                self._model.set_adapter(name)
                self._active = name
            return {}
        if not self._mixes:
            raise BadInputError(
                f"adapters {', '.join(sorted(distinct))} cannot share a batch: one of those held is no plain LoRA; "
                "ask them one after the other"
            )
        return {"adapter_names": list(adapters)}


def _mixes(config: Any) -> bool:
    kind = str(getattr(config.peft_type, "value", config.peft_type))
    return kind == "LORA" and not config.use_dora and config.bias == "none" and not config.modules_to_save
