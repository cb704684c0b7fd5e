"""What is to be measured, as it is handed to the measured process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trainers.artifact import Artifact, ArtifactKind

Phase = Literal["load", "prefill", "decode", "generate"]
PHASES: tuple[Phase, ...] = ("load", "prefill", "decode", "generate")
Positive = Annotated[int, Field(ge=1)]


class Source(BaseModel):
    """An artifact by where it lies; hashing it again in the measured process would be measured with it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: ArtifactKind
    path: Path
    sha256: str
    parent: Source | None = None

    @classmethod
    def of(cls, artifact: Artifact) -> Source:
        parent = None if artifact.parent is None else cls.of(artifact.parent)
        return cls(kind=artifact.kind, path=artifact.path, sha256=artifact.sha256, parent=parent)

    def artifact(self) -> Artifact:
        parent = None if self.parent is None else self.parent.artifact()
        return Artifact(self.kind, self.path, self.sha256, parent)


class Job(BaseModel):
    """One measurement: a model, or the configuration of one to be filled with random weights, and a workload.

    `batch_size` sequences of `prompt_tokens` random tokens are read, then `new_tokens` of each are written, greedily
    and whatever they are: no end token ends them, so that every repeat does the same work. The generate phase draws
    `samples` of each prompt. Of each phase the first
    `warmup` repeats are counted and dropped. `memory_limit_bytes` caps the CUDA allocator.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    source: Source | None = None
    random_config: dict[str, Any] | None = None
    phases: tuple[Phase, ...] = PHASES
    batch_size: Positive = 1
    prompt_tokens: Positive = 512
    new_tokens: Annotated[int, Field(ge=2)] = 128
    samples: Positive = 1
    repeats: Positive = 5
    warmup: Annotated[int, Field(ge=0)] = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    threads: Annotated[int, Field(ge=0)] = 0
    memory_limit_bytes: Positive | None = None
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _one_model(self) -> Job:
        if (self.source is None) == (self.random_config is None):
            raise ValueError("a profile needs exactly one of a model and a configuration for random weights")
        return self
