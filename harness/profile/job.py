"""What is to be measured, as it is handed to the measured process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.profile.limit import refusal
from trainers.artifact import Artifact, ArtifactKind
from trainers.config import QuantizationTable
from trainers.config.common import Optimizer

Phase = Literal["load", "prefill", "decode", "generate", "train"]
PHASES: tuple[Phase, ...] = ("load", "prefill", "decode", "generate")
QUANTISED: dict[str, Literal["nf4", "int8"]] = {"qlora": "nf4", "int8": "int8"}
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
    """How the train phase trains: by the trainer of `objective`, as `assay train` runs it, `method` as in `assay plan`.

    `rank` is the adapter's, but for full fine-tuning, which has none. `attention` auto is the trainer's own choice.
    `checkpointing` None is the training table's own choice too.
    `base` is the type of a frozen base that is not quantised, auto being the arithmetic's. `upcast` is what PEFT does
    to the unquantised rest of a quantised base.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["full", "lora", "qlora", "int8"]
    objective: Literal["sft", "dpo", "kto", "orpo", "ppo"] = "sft"
    rank: Positive = 16
    optimizer: Optimizer = "adamw_torch"
    checkpointing: bool | None = None
    attention: Literal["auto", "sdpa", "eager"] = "auto"
    base: Literal["auto", "fp32", "bf16"] = "auto"
    upcast: bool = True

    @model_validator(mode="after")
    def _possible(self) -> Training:
        if self.method != "lora" and self.base != "auto":
            raise ValueError(f"base: only lora has an unquantised frozen base; {self.method} has none")
        if self.objective == "ppo" and self.optimizer != "adamw_torch":
            raise ValueError(f"optimizer: ppo uses adamw_torch; {self.optimizer!r} is not supported")
        if self.objective == "ppo" and self.attention != "auto":
            raise ValueError("attention: ppo draws and learns with sdpa")
        return self

    @property
    def quantization(self) -> QuantizationTable | None:
        """What the method does to the base's linear layers."""
        if self.method not in QUANTISED:
            return None
        return QuantizationTable(type=QUANTISED[self.method], upcast_fp32=self.upcast)


class Job(BaseModel):
    """One measurement: a model, or the configuration of one to be filled with random weights, and a workload.

    `batch_size` sequences of `prompt_tokens` random tokens are read, then `new_tokens` of each are written, greedily
    and whatever they are: no end token ends them, so that every repeat does the same work. The generate phase draws
    `samples` of each prompt. `weights` other than stored are bitsandbytes' for the linear layers but the head.

    With `training` the phases are load and train: steps on `batch_size` sequences of `prompt_tokens` (of dpo and orpo:
    pairs of such), or of ppo updates on `samples` answers of `new_tokens` to each of `batch_size` prompts, learned from
    `batch_size` at a time. Of each phase the first `warmup` repeats are counted and dropped. `memory_limit_bytes` caps
    torch's CUDA allocator, and is refused where that is not used.
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
    weights: Literal["stored", "int8", "nf4", "fp4"] = "stored"
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
        kind = None if self.source is None else self.source.kind
        if self.training is not None and kind in (ArtifactKind.GGUF, ArtifactKind.ADAPTER):
            raise ValueError(f"training starts from a base or a merged model; this one is of kind {kind}")
        if self.weights != "stored" and self.training is not None:
            raise ValueError("weights: of inference; a training says by its method what its base is kept in")
        if self.weights != "stored" and kind in (ArtifactKind.GGUF, ArtifactKind.ADAPTER):
            raise ValueError(f"weights: {self.weights} is made of a base or merged model, not of kind {kind}")
        if self.memory_limit_bytes is not None and kind is ArtifactKind.GGUF:
            raise ValueError(
                refusal(self.memory_limit_bytes, "llama.cpp, which runs this GGUF file, has its own")
            )
        if self.memory_limit_bytes is not None and self.device == "cpu":
            raise ValueError(refusal(self.memory_limit_bytes, "device = 'cpu' does not use it"))
        return self

    @property
    def quantization(self) -> QuantizationTable | None:
        """Of inference; the unquantised rest stays in the compute type."""
        if self.weights == "stored":
            return None
        return QuantizationTable(type=self.weights, upcast_fp32=False)
