"""Which generator a generate step gets: its own, or one over a base that other variants' adapters share."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.plan import Plan
from trainers.artifact import Artifact, ArtifactKind

if TYPE_CHECKING:
    from harness.generation.hf import TransformersGenerator
    from harness.generation.load import MeasuredGenerator


def sharing_key(artifact: Artifact) -> str | None:
    """The same for adapters that one load of their base can serve; None for every other model.

    Only plain LoRA shares: PEFT holds no two kinds of adapter over one base, takes no row-by-row choice among DoRA,
    and biases that were trained are the base's own. Adapters of a quantised base stay apart too: what they were trained
    on is not the base as it is stored.
    """
    from trainers.quantize import BASE_QUANTIZATION

    if artifact.kind is not ArtifactKind.ADAPTER or artifact.parent is None:
        return None
    if (artifact.path / BASE_QUANTIZATION).is_file() or not _is_plain_lora(artifact.path):
        return None
    return artifact.parent.sha256


def _is_plain_lora(folder: Path) -> bool:
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    return (
        config.get("peft_type") == "LORA"
        and not config.get("use_dora")
        and config.get("bias", "none") == "none"
        and not config.get("modules_to_save")
    )


class Loads:
    """Opens generators by the experiment's `[engine]`. The last shared base stays loaded until another is needed."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._shared: TransformersGenerator | None = None
        self._held: dict[str, str] = {}

    def open(self, variant: str, artifact: Artifact, pending: Mapping[str, Artifact]) -> MeasuredGenerator:
        """The variant's generator; `pending` are the models of all variants still to be generated from, itself among
        them: what can share its base is loaded with it."""
        if variant in self._held:
            return self._one(variant)
        self.close()
        key = sharing_key(artifact)
        group = {name: other for name, other in pending.items() if key and sharing_key(other) == key}
        if len(group) < 2:
            return load(self._plan, artifact)
        from harness.generation.shared import load_adapters

        # PEFT makes module names of an adapter's: a variant's may hold a dot, which those must not
        self._held = {name: f"a{i}" for i, name in enumerate(group)}
        engine = self._plan.experiment.engine
        self._shared = load_adapters(
            {self._held[name]: other for name, other in group.items()},
            batch_size=engine.batch_size,
            threads=engine.threads or len(os.sched_getaffinity(0)),
            device=engine.device,
            dtype=engine.dtype,
        )
        return self._one(variant)

    def close(self) -> None:
        if self._shared is not None:
            self._shared.close()
        self._shared, self._held = None, {}

    def _one(self, variant: str) -> MeasuredGenerator:
        from harness.generation.shared import OneAdapter

        assert self._shared is not None
        return OneAdapter(self._shared, self._held[variant], len(self._held) - 1)


def load(plan: Plan, artifact: Artifact) -> MeasuredGenerator:
    """A generator of one model, as the experiment's `[engine]` says."""
    from harness.generation import load_generator

    engine = plan.experiment.engine
    return load_generator(
        artifact,
        batch_size=engine.batch_size,
        threads=engine.threads or len(os.sched_getaffinity(0)),
        device=engine.device,
        dtype="auto" if artifact.kind is ArtifactKind.GGUF else engine.dtype,
    )
