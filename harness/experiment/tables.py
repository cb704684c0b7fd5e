"""The tables of an experiment file that say how everything is done: the suite, sampling, engine, sandbox, scoring."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=64)]


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SuiteTable(Table):
    """Which problems. `path` is relative to the experiment file, or `hub:id`; `options` are the suite's own."""

    name: str
    path: Path | None = None
    split: str | None = None
    limit: int | None = Field(default=None, ge=1)
    options: dict[str, str] = Field(default_factory=dict)


class SamplingTable(Table):
    """How samples are drawn; the same for every variant."""

    style: Literal["chat", "completion"] = "chat"
    samples: int = Field(default=1, ge=1)
    temperature: float = Field(default=0.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    max_new_tokens: int = Field(default=512, ge=1)

    @model_validator(mode="after")
    def _greedy_once(self) -> SamplingTable:
        if self.temperature == 0 and self.samples > 1:
            raise ValueError(f"temperature 0 gives the same sample {self.samples} times: set samples = 1")
        return self


class EngineTable(Table):
    """How generation runs. Only `device` and `dtype` can change an answer; batch and threads change its speed.

    `device` auto is the CUDA device where there is one; `dtype` auto is the type the weights are stored in, and a
    GGUF file always has its own.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    batch_size: int = Field(default=64, ge=1)
    threads: int = Field(default=0, ge=0, description="0: one per core")


class SandboxTable(Table):
    backend: Literal["embedded", "docker"] = "embedded"
    mode: Literal["split", "shared"] = "split"
    isolation: Literal["cell", "fresh"] = Field(
        default="cell", description="fresh: a PID and a mount namespace for each program, at a lower rate"
    )
    workers: int = Field(default=0, ge=0, description="0: one per core")
    cpu_s: float = Field(default=5.0, gt=0, le=86_400)
    wall_s: float = Field(default=20.0, gt=0, le=86_400)
    memory_mb: int = Field(default=1024, ge=64)


class ScoreTable(Table):
    """`margin` is the pass@1 difference that does not matter; `reference` the variant that others are held to."""

    k: tuple[int, ...] = Field(default=(1,), min_length=1)
    reference: str = "base"
    margin: float = Field(default=0.05, gt=0, lt=1)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)


class CompareTable(Table):
    """Hold each merge, export and compression against what it was made from, on `texts` of the suite's solutions."""

    texts: int = Field(default=48, ge=1)
    greedy_tokens: int = Field(default=64, ge=1)


class ProfileTable(Table):
    """`[profile]`: each variant's memory and speed, measured alone in a process of its own.

    Off without the table: each model is loaded once more, and the figures hold only where the machine has nothing else
    to do. Of a variant with several training seeds the first is measured: neither figure depends on the seed.
    """

    batch_size: int = Field(default=1, ge=1)
    prompt_tokens: int = Field(default=128, ge=1)
    new_tokens: int = Field(default=64, ge=2)
    samples: int = Field(default=1, ge=1)
    repeats: int = Field(default=3, ge=1)
    warmup: int = Field(default=1, ge=0)
