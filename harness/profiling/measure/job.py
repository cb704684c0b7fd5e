"""A profile's job, as it is handed to the measured process, and the raw record that its events make.

The record has one JSON object a line, written as things happen and read back to compute from: `start` (the job, the
machine), then from the measured process `begin`/`end` of each phase, `time` (one repeat), `fact` and `stop`, and
between them `memory` samples of the watcher. Times are seconds of the system's monotonic clock, which all processes
share. A job's `memory_limit_bytes` caps torch's CUDA allocator, and is refused where nothing would keep it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

from pydantic import BaseModel, ConfigDict, Field, model_validator

from assay.harness.errors import BadInputError
from assay.harness.profiling.measure.process_memory import host_memory, reset_peak
from assay.harness.profiling.memory.setup import checked_config, method_settings
from assay.trainers.artifact import Artifact, ArtifactKind
from assay.trainers.config import QuantizationTable, TrainConfig
from assay.trainers.config.common import Optimizer

Phase = Literal["load", "prefill", "decode", "generate", "train"]
FORMAT = 1  # of the record
OUT_OF_MEMORY, KILLED = "out of memory", "killed"  # how a measured process may end
PHASES: tuple[Phase, ...] = ("load", "prefill", "decode", "generate")
_NEVER = 10**9  # a step that no profile comes to
Positive = Annotated[int, Field(ge=1)]


class Source(BaseModel):
    """An artifact by its place; hashing it again in the measured process would be measured with it."""

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
    """A preset of a training table for the train phase: `objective` by its trainer, `method` as in `assay memory`.

    `Job.config` writes the table out, and the table says what cannot be. `rank` is the adapter's; full fine-tuning has
    none. `checkpointing` None and `attention` auto are the trainer's own choice. `base` is the table's `base_dtype`,
    `upcast` its `quantization.upcast_fp32`.
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
        if self.objective == "ppo" and self.attention != "auto":
            raise ValueError("attention: ppo draws and learns with sdpa")
        return self


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

    def config(self, steps: int = 1) -> TrainConfig:
        """Return the training's table of so many steps, as a user would write it.

        Nothing is saved, and the rate is so low that the loss moves little. Raises BadInputError for a table that
        cannot be.
        """
        training = self.training
        assert training is not None
        table: dict[str, Any] = method_settings(training.method, training.objective) | {
            "learning_rate": 1e-6,
            "scheduler": "constant",
            "batch_size": self.batch_size,
            "max_steps": steps,
            "dtype": self.dtype,
            "base_dtype": training.base,
            "optimizer": training.optimizer,
            "gradient_checkpointing": training.checkpointing,
            "save_steps": _NEVER,
            "seed": self.seed,
        }
        if training.method != "full":
            table["adapter"] = {"type": "lora", "r": training.rank, "alpha": 2 * training.rank}
        if "quantization" in table:
            table["quantization"] |= {"upcast_fp32": training.upcast}
        if training.objective != "ppo":
            return checked_config(table | {"max_length": self.prompt_tokens})
        rollout = {
            "prompts": self.batch_size,
            "samples": self.samples,
            "max_new_tokens": self.new_tokens,
            "style": "completion",
            "batch_size": self.batch_size * self.samples,
        }
        return checked_config(table | {"epochs": 1, "rollout": rollout})

    @property
    def quantization(self) -> QuantizationTable | None:
        """The type in which inference keeps the linear layers; the unquantised rest stays in the compute type."""
        if self.weights == "stored":
            return None
        return QuantizationTable(type=self.weights, upcast_fp32=False)


def refusal(limit_bytes: int, reason: str) -> str:
    return (
        f"a memory limit of {limit_bytes / 2**30:g} GiB cannot be kept: it caps torch's CUDA allocator, and {reason}; "
        "leave --memory-limit out, or limit the whole process from outside, by a control group"
    )


def check_limit(job: Job) -> None:
    """Raise BadInputError where the job has a limit and torch has no CUDA device. No context is made on one."""
    import torch

    if job.memory_limit_bytes is not None and not torch.cuda.is_available():
        raise BadInputError(refusal(job.memory_limit_bytes, "torch sees no CUDA device here"))


def cap_allocator(job: Job) -> int | None:
    """Cap this process's allocator and return the bytes that it may take, or None where the job has no limit.

    Raises BadInputError as `check_limit`.
    """
    check_limit(job)
    if job.memory_limit_bytes is None:
        return None
    import torch

    total = int(torch.cuda.get_device_properties(0).total_memory)
    cap = min(job.memory_limit_bytes, total)
    torch.cuda.set_per_process_memory_fraction(cap / total)
    return cap


@dataclass(frozen=True, slots=True)
class Record:
    """All events of one profile in order."""

    path: Path
    events: tuple[dict[str, Any], ...]

    def of(self, kind: str, phase: str | None = None) -> Iterator[dict[str, Any]]:
        for event in self.events:
            if event["event"] == kind and phase in (None, event.get("phase")):
                yield event

    def first(self, kind: str, phase: str | None = None) -> dict[str, Any] | None:
        return next(self.of(kind, phase), None)

    @property
    def start(self) -> dict[str, Any]:
        return self.events[0]


def read_record(path: Path) -> Record:
    """Read a record back; a last line cut by a kill is left out. Raises BadInputError that names file and line."""
    return Record(path, tuple(read_events(path, "a profile", FORMAT)))


def open_record(path: Path, measurement: str) -> TextIO:
    """Return the new file of a record, opened for writing. Raises BadInputError where it exists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return path.open("x", encoding="utf-8")
    except FileExistsError:
        raise BadInputError(f"{path} exists; {measurement} is never written over") from None


def how_it_ended(code: int, stderr: str) -> str:
    """Return the end of a process in words: its signal or exit status, and the last line that it wrote to stderr."""
    last = stderr.strip().splitlines()
    ended = f"signal {-code}" if code < 0 else f"status {code}"
    return f"{ended}: {last[-1] if last else 'it wrote nothing'}"


def read_events(path: Path, measurement: str, version: int) -> list[dict[str, Any]]:
    """Return the events of a record, one JSON object a line, whose first is `start` with the format's version.

    A last line cut by a kill is left out. Raises BadInputError that names file and line, and the `measurement` that it
    should be of.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {error.strerror}") from None
    events: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            event = json.loads(line)
            event["event"]
        except (ValueError, KeyError, TypeError):
            if number == len(lines):
                break
            raise BadInputError(f"{path}:{number}: not an event of {measurement}") from None
        events.append(event)
    if not events or events[0]["event"] != "start" or events[0].get("format") != version:
        raise BadInputError(f"{path} is not {measurement} of format {version}")
    return events


class Recorder:
    """The measured process's writer of events, which knows the phase that is on.

    `device_memory` gives the CUDA allocator's own figures, where there is one.
    """

    def __init__(self, fd: int) -> None:
        self._out = os.fdopen(fd, "w", encoding="utf-8", buffering=1)
        self.phase_on = ""
        self.device_memory: Callable[[], dict[str, int]] = dict
        self.reset_device_peak: Callable[[], None] = lambda: None
        self.wait: Callable[[], None] = lambda: None  # for the device to finish what it was given

    def write(self, kind: str, **values: Any) -> None:
        self._out.write(json.dumps({"event": kind, "t": time.monotonic(), **values}) + "\n")

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Record a phase: the most host memory that it held, and what it left."""
        self.phase_on = name
        counted = reset_peak()
        self.reset_device_peak()
        self.write("begin", phase=name)
        yield
        self.wait()
        memory = host_memory(os.getpid())
        if not counted:
            memory.pop("rss_peak_bytes", None)
        self.write("end", phase=name, **memory, **self.device_memory())

    def time(self, repeat: int, warm: bool, **seconds: Any) -> None:
        """Record one repeat's raw seconds."""
        self.write("time", phase=self.phase_on, repeat=repeat, warmup=not warm, **seconds)

    def fact(self, **facts: Any) -> None:
        self.write("fact", **facts)

    def stop(self, status: str, detail: str = "", **more: Any) -> None:
        self.write("stop", status=status, detail=detail, phase=self.phase_on, **more)
