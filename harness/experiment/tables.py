"""The tables of an experiment file that every variant shares: suite, sampling, engine, sandbox, scoring, profile."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from assay.suites.validation import Words

Name = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=64),
    Words(
        "a name of at most 64 lower-case letters, digits, dots, underscores and hyphens that begins with a letter or a "
        "digit"
    ),
]


class Table(BaseModel):
    """The base of all tables: unknown keys are refused, and the text under a field is its description."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class SuiteTable(Table):
    """The problems that every variant answers."""

    name: str
    """The suite: humaneval, humaneval+, mbpp, mbpp-sanitized, mbpp+, pocket, jsonl, or a plugin's."""
    path: Path | None = None
    """The suite's file or folder, relative to the experiment file, or `hub:ID@REVISION` to load it from the hub."""
    split: str | None = None
    """The split, such as train, dev or test, for a suite that has splits."""
    limit: int | None = Field(default=None, ge=1)
    """Take only this many problems, the first ones."""
    options: dict[str, str] = Field(default_factory=dict)
    """The suite's own options, such as `style` of mbpp and `compat` of humaneval+ and mbpp+."""


class SamplingTable(Table):
    """The settings of sampling, the same for every variant."""

    style: Literal["chat", "completion"] = "chat"
    """The form of a prompt: chat uses the model's chat template, completion continues the problem's code."""
    samples: int = Field(default=1, ge=1)
    """Samples drawn for each problem."""
    temperature: float = Field(default=0.0, ge=0)
    """Sampling temperature; 0 is greedy decoding."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Nucleus sampling: the share of probability that is kept; 1 turns it off."""
    top_k: int = Field(default=0, ge=0)
    """Sample from this many likeliest tokens; 0 turns it off."""
    max_new_tokens: int = Field(default=512, ge=1)
    """Tokens that a completion may have at most."""

    @model_validator(mode="after")
    def _greedy_once(self) -> SamplingTable:
        if self.temperature == 0 and self.samples > 1:
            raise ValueError(f"temperature 0 gives the same sample {self.samples} times: set samples = 1")
        return self


class EngineTable(Table):
    """The settings of generation. Only `device` and `dtype` change answers; batch and threads change the speed."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """The device to generate on; auto is the CUDA device on a machine that has one, else the CPU."""
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """The type to compute in; auto is the type the weights are stored in. A GGUF file always has its own."""
    batch_size: int = Field(default=64, ge=1)
    """Samples that are decoded at the same time."""
    threads: int = Field(default=0, ge=0)
    """CPU threads of generation; 0 is one per core."""


class SandboxTable(Table):
    """The settings of execution."""

    backend: Literal["embedded", "docker"] = "embedded"
    """The place that programs run in: embedded is this machine, docker a hardened container."""
    mode: Literal["split", "shared"] = "split"
    """The judging of a program: split keeps checks and program in two processes, shared in one, which can be forged."""
    isolation: Literal["cell", "fresh"] = "cell"
    """cell isolates once for many programs; fresh gives each program a PID and a mount namespace, at a lower rate."""
    workers: int = Field(default=0, ge=0)
    """Programs that run at the same time; 0 is one per core."""
    cpu_s: float | None = Field(default=None, gt=0, le=86_400)
    """CPU seconds that a program may use; left out, 5, or more where the reference is slow; given, never more."""
    wall_s: float = Field(default=20.0, gt=0, le=86_400)
    """Seconds of wall-clock time that a program may take."""
    memory_mb: int = Field(default=1024, ge=64)
    """MiB of memory that a program may use."""


class ScoreTable(Table):
    """The settings of scores and comparisons."""

    k: tuple[int, ...] = Field(default=(1,), min_length=1)
    """The k of each pass@k to report, from 1 to `sampling.samples`."""
    reference: str = "base"
    """The variant that the others are compared with."""
    margin: float = Field(default=0.05, gt=0, lt=1)
    """The difference of pass@1 that does not matter, for tests of equivalence."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """The confidence level of intervals and tests."""


class CompareTable(Table):
    """Compare each merge, export and compression with the model it was made from."""

    texts: int = Field(default=48, ge=1)
    """Solutions of the suite whose token distributions are compared."""
    greedy_tokens: int = Field(default=64, ge=1)
    """Tokens of each greedy answer that is compared."""


class ProfileTable(Table):
    """Measure each variant's memory and speed, alone in a process of its own.

    Off without the table: each model is loaded once more, and the figures hold only on a machine that has nothing else
    to do. Of a variant with several training seeds the first is measured: neither figure depends on the seed.
    """

    batch_size: int = Field(default=1, ge=1)
    """Prompts in a batch."""
    prompt_tokens: int = Field(default=128, ge=1)
    """Tokens of each prompt."""
    new_tokens: int = Field(default=64, ge=2)
    """Tokens generated for each prompt."""
    samples: int = Field(default=1, ge=1)
    """Samples drawn for each prompt."""
    repeats: int = Field(default=3, ge=1)
    """Measurements, of which the median is reported."""
    warmup: int = Field(default=1, ge=0)
    """Measurements before these that are not counted."""
