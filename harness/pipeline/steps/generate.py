"""The generate step: every sample of one model, on disk as soon as it is made."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from assay.harness.console import Task
from assay.harness.errors import BadInputError
from assay.harness.experiment import SamplingTable, SuiteTable
from assay.harness.experiment.tables import EngineTable
from assay.harness.files import read_json, recover_lines, write_json
from assay.harness.generation.batching import EngineGenerator
from assay.harness.generation.load import MeasuredGenerator, OneAdapter, load_adapters, load_generator
from assay.harness.generation.types import Generator, Request, Sample, Sampling
from assay.harness.pipeline.fingerprints import prompts_sha256, resolved_device
from assay.harness.pipeline.seals import is_own, sealed
from assay.harness.pipeline.steps import Context, StepKind
from assay.harness.pipeline.store import Record, Step
from assay.suites import Problem, Suite
from assay.suites.model import chat_messages, completion_prompt
from assay.trainers.artifact import Artifact, ArtifactKind
from assay.trainers.files import append_to
from assay.trainers.model.quantize import BASE_QUANTIZATION

LINES = "samples.jsonl"
TABLE = "samples.parquet"
COLUMNS = ("problem_id", "index", "seed", "prompt", "completion", "token_ids", "n_tokens", "finish_reason")
FORCE_EVERY_S = 1.0
BACKEND = "backend.json"
NOT_COUNTED = "the server does not tell how many tokens it wrote (its answers have no usage)"


@dataclass(frozen=True, slots=True)
class GenerateSpec:
    """The samples that are drawn: of `suite` (loaded as `table` says), `sampling.samples` a problem.

    `shares_base` lets adapters of one base be sampled from one load of it, which needs all of them to be made already.
    """

    suite: Suite
    table: SuiteTable
    sampling: SamplingTable
    seed: int
    engine: EngineTable
    shares_base: bool = True

    @property
    def stop(self) -> tuple[str, ...]:
        """The strings that end a completion; a chat answer ends itself."""
        return self.suite.stop if self.sampling.style == "completion" else ()

    def config(self) -> dict[str, Any]:
        return {
            "suite": self.suite.revision,
            "prompts": prompts_sha256(self.suite, self.sampling.style),
            "seed": self.seed,
            "sampling": self.sampling.model_dump(mode="json"),
            "stop": list(self.stop),
            "engine": {"device": resolved_device(self.engine.device), "dtype": self.engine.dtype},
        }


def seed_of(seed: int, problem_id: str, index: int) -> int:
    """Return the seed of one sample, from the experiment's seed, the problem and the index, not the variant.

    Variants thus draw with the same random numbers, which makes the paired comparison sharper, and a sample
    made again after a kill is the sample it would have been. Below 2^53, so that JSON readers keep it exact.
    """
    digest = hashlib.sha256(f"{seed}/{problem_id}/{index}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 11


def _generate(context: Context, step: Step, work: Path) -> Record:
    """Make the samples that `work` lacks; every sample, old or new, goes through `context.on_sample`."""
    spec: GenerateSpec = step.spec
    lines = recover_lines(work / LINES)
    strange = sum(not is_own(row, "sample", work.name) for row in lines)
    done = [_sample(row) for row in lines]
    for sample in done:
        context.on_sample(sample)
    present = {(sample.problem_id, sample.index) for sample in done}
    problems, samples = spec.suite.problems, range(spec.sampling.samples)
    missing = [(p, i) for p in problems for i in samples if (p.id, i) not in present]
    title, total = f"{doing(step)} {step.variant}", len(present) + len(missing)
    with context.progress.task(title, total=total, unit="samples") as task:
        timing = _produce(context, step, missing, work / LINES, task) if missing else _Timing()
    rows = recover_lines(work / LINES)
    order = {p.id: i for i, p in enumerate(problems)}
    rows.sort(key=lambda row: (order[row["problem_id"]], row["index"]))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    counted = bool(table["n_tokens"].notna().all())
    if not counted:  # a column that may lack integers, which pandas would otherwise make floats of
        table["n_tokens"] = table["n_tokens"].astype("Int64")
    table.to_parquet(work / TABLE, index=False)
    complete = len(missing) == len(rows)
    rate = timing.n_tokens / timing.seconds if complete and counted and timing.seconds > 0 else None
    return {
        "n_samples": len(rows),
        "n_tokens": sum(row["n_tokens"] for row in rows) if counted else None,
        # A resumed step saw only part of the generation: a rate of the rest would not be this variant's rate.
        "generate_s": timing.seconds if complete else None,
        "tok_per_s": rate,
        "load_s": timing.load_s if complete else None,
        "backend": read_json(work / BACKEND),
        **({"taken_over": f"{strange} of its samples were not written here as they are"} if strange else {}),
        "unmeasured": {} if counted else {"n_tokens": NOT_COUNTED, "tok_per_s": NOT_COUNTED},
    }


def doing(step: Step) -> str:
    """Return the word for what a step that samples or executes is at, as progress shows it."""
    return "sample" if step.label in ("sample", "verify") else "evaluate"


@dataclass(frozen=True, slots=True)
class _Timing:
    """Tokens made, the seconds that took, and the seconds of loading before."""

    n_tokens: int = 0
    seconds: float = 0.0
    load_s: float = 0.0


def _produce(
    context: Context, step: Step, missing: list[tuple[Problem, int]], lines: Path, task: Task
) -> _Timing:
    before = time.perf_counter()
    spec: GenerateSpec = step.spec
    with closing(_open(context, step)) as generator:
        write_json(lines.with_name(BACKEND), generator.backend)
        started = time.perf_counter()
        n_tokens, seconds = 0, 0.0
        first = spec.sampling.samples * len(spec.suite.problems) - len(missing) + 1
        for number, sample in enumerate(_flushed(_answers(spec, generator, missing), lines), start=first):
            n_tokens += len(sample.token_ids)
            seconds = time.perf_counter() - started
            context.on_sample(sample)
            rate = f"{n_tokens / max(seconds, 1e-9):,.0f} tok/s" if sample.counted else "tokens not counted"
            task.update(number, rate)
        # Once more: only when asked does a server say which settings it refuses.
        write_json(lines.with_name(BACKEND), generator.backend)
        return _Timing(n_tokens, time.perf_counter() - started, started - before)


def _open(context: Context, step: Step) -> MeasuredGenerator:
    artifact = context.artifact(step.inputs[0])
    if not step.spec.shares_base:
        return load(step.spec.engine, artifact)
    pool: ModelPool = context.engines
    pending = {
        s.variant: context.artifact(s.inputs[0])
        for s in context.plan.steps
        if s.kind == "generate" and s.spec.shares_base and context.store.record(s.name, s.id) is None
    }
    return pool.open(step.variant, artifact, pending)


def _answers(
    spec: GenerateSpec, generator: Generator, missing: list[tuple[Problem, int]]
) -> Iterator[Sample]:
    table = spec.sampling
    sampling = Sampling(**table.model_dump(exclude={"style", "samples"}), stop=spec.stop)
    problems = {p.id: p for p, _ in missing}
    prompts = {
        name: generator.render_chat(chat_messages(p)) if table.style == "chat" else completion_prompt(p)
        for name, p in problems.items()
    }
    requests = (Request(p.id, i, prompts[p.id], seed_of(spec.seed, p.id, i)) for p, i in missing)
    return generator.generate(requests, sampling)


def _flushed(samples: Iterator[Sample], path: Path) -> Iterator[Sample]:
    """Yield the same samples, each written before it is handed on, so that a kill loses none of them.

    The disk is forced about once a second, against a power cut.
    """
    last = time.monotonic()
    with os.fdopen(append_to(path), "a", encoding="utf-8") as file:
        for sample in samples:
            row = sealed(_row(sample), "sample", path.parent.name)
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
            file.flush()
            if time.monotonic() - last >= FORCE_EVERY_S:
                os.fsync(file.fileno())
                last = time.monotonic()
            yield sample
        os.fsync(file.fileno())


def _row(sample: Sample) -> dict[str, Any]:
    fields = {name: getattr(sample, name) for name in COLUMNS if name != "n_tokens"}
    return fields | {"n_tokens": len(sample.token_ids) if sample.counted else None}


def _sample(row: Mapping[Any, Any]) -> Sample:
    fields = {name: row[name] for name in COLUMNS if name != "n_tokens"}
    fields["token_ids"] = tuple(int(t) for t in row["token_ids"])
    return Sample(**fields, counted=bool(pd.notna(row["n_tokens"])))


def read_table(file: Path, columns: Collection[str] = COLUMNS) -> pd.DataFrame:
    """Return a table of a finished step. Raises BadInputError where it is none, or lacks columns."""
    try:
        table = pd.read_parquet(file)
    except FileNotFoundError:
        raise
    except Exception as error:  # pyarrow's own, and whatever a damaged file makes pandas raise
        reason = f"{type(error).__name__}: {str(error).strip()[:200]!r}"
        raise BadInputError(
            f"{file} is no table ({reason}): remove its folder to do the step again"
        ) from None
    if missing := sorted(set(columns) - set(table.columns)):
        raise BadInputError(
            f"{file} has no column {', '.join(missing)}: remove its folder to do the step again"
        )
    return table


def load_samples(folder: Path) -> Iterator[Sample]:
    """Yield the samples of a finished generate step, in the suite's order."""
    yield from map(_sample, read_table(folder / TABLE).to_dict("records"))


def sharing_key(artifact: Artifact) -> str | None:
    """Return a key that adapters share which one load of their base can serve; None for every other model.

    Only plain LoRA shares: PEFT holds no two kinds of adapter over one base, takes no row-by-row choice among DoRA,
    and biases that were trained are the base's own. Adapters of a quantised base stay apart too: what they were trained
    on is not the base as it is stored.
    """
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


class ModelPool:
    """Opens generators as `[engine]` says. The last shared base stays loaded until another is needed."""

    def __init__(self, engine: EngineTable) -> None:
        self._engine = engine
        self._shared: EngineGenerator | None = None
        self._adapters: dict[str, str] = {}  # PEFT's name of each variant's adapter

    def open(self, variant: str, artifact: Artifact, pending: Mapping[str, Artifact]) -> MeasuredGenerator:
        """Return the variant's generator.

        `pending` are the models of all variants still to be generated from, itself among them: those that can share
        its base are loaded with it.
        """
        if self.serves(variant):
            return self._one(variant)
        self.close()
        key = sharing_key(artifact)
        group = {name: other for name, other in pending.items() if key and sharing_key(other) == key}
        if len(group) < 2:
            return load(self._engine, artifact)
        # PEFT makes module names of an adapter's: a variant's may hold a dot, which those must not
        self._adapters = {name: f"a{i}" for i, name in enumerate(group)}
        adapters = {self._adapters[name]: other for name, other in group.items()}
        self._shared = load_adapters(adapters, **_loading(self._engine))
        return self._one(variant)

    def serves(self, variant: str) -> bool:
        """Return whether the base that is loaded has the variant's adapter on it."""
        return variant in self._adapters

    def close(self) -> None:
        if self._shared is not None:
            self._shared.close()
        self._shared, self._adapters = None, {}

    def _one(self, variant: str) -> MeasuredGenerator:
        assert self._shared is not None
        return OneAdapter(self._shared, self._adapters[variant], len(self._adapters) - 1)


def load(engine: EngineTable, artifact: Artifact) -> MeasuredGenerator:
    """Return a generator of one model, as `[engine]` says."""
    own_type = {"dtype": "auto"} if artifact.kind is ArtifactKind.GGUF else {}
    return load_generator(artifact, **_loading(engine) | own_type)


def _loading(engine: EngineTable) -> dict[str, Any]:
    """Return the arguments by which `[engine]` loads a model."""
    return engine.model_dump() | {"threads": engine.threads or len(os.sched_getaffinity(0))}


GENERATE = StepKind("generate", _generate, scratch=(LINES,), title=lambda _: "")
