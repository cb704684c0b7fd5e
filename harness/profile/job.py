"""What is to be measured, as it is handed to the measured process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trainers.artifact import Artifact, ArtifactKind
from trainers.config.common import Optimizer

Phase = Literal["load", "prefill", "decode", "generate", "train"]
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


class Training(BaseModel):
    """How the train phase trains: `method` as in `assay plan`, an adapter of rank `rank` but for full fine-tuning."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["full", "lora", "qlora", "int8"]
    rank: Positive = 16
    optimizer: Optimizer = "adamw_torch"
    checkpointing: bool = False
    attention: Literal["sdpa", "eager"] = "sdpa"


class Job(BaseModel):
    """One measurement: a model, or the configuration of one to be filled with random weights, and a workload.

    `batch_size` sequences of `prompt_tokens` random tokens are read, then `new_tokens` of each are written, greedily
    and whatever they are: no end token ends them, so that every repeat does the same work. The generate phase draws
    `samples` of each prompt. With `training` there is one phase more, train: steps on `batch_size` sequences of
    `prompt_tokens`. Of each phase the first
    `warmup` repeats are counted and dropped. `memory_limit_bytes` caps the CUDA allocator.
    `exact_memory` makes glibc give back all that is freed at once: what is left is what the run holds, at the cost of
    speed; without it a CPU run's RSS counts the heap's fragmentation too.
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
    training: Training | None = None
    exact_memory: bool = False

    @model_validator(mode="after")
    def _one_model(self) -> Job:
        if (self.source is None) == (self.random_config is None):
            raise ValueError("a profile needs exactly one of a model and a configuration for random weights")
        if (self.training is not None) != ("train" in self.phases):
            raise ValueError("the train phase and the way it trains come together")
        if "train" in self.phases and set(self.phases) - {"load", "train"}:
            raise ValueError("training is profiled apart from inference: each would count the other's memory")
        if self.training is not None and self.source is not None and self.source.kind is ArtifactKind.GGUF:
            raise ValueError("a GGUF file cannot be trained")
        return self
