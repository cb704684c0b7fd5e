"""The generate step: every sample of one variant, on disk as soon as it is made."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from assay.harness.console import Progress, Task
from assay.harness.files import read_json, recover_lines, write_json
from assay.harness.generation.load import MeasuredGenerator
from assay.harness.generation.types import Generator, Request, Sample, Sampling
from assay.harness.pipeline.plan import Plan
from assay.suites import Problem
from assay.suites.extraction.extract import Form
from assay.suites.model import chat_messages, completion_prompt
from assay.trainers.artifact import Artifact, ArtifactKind

if TYPE_CHECKING:
    from assay.harness.generation.batching import EngineGenerator
    from assay.harness.generation.load import MeasuredGenerator

LINES = "samples.jsonl"
TABLE = "samples.parquet"
COLUMNS = ("problem_id", "index", "seed", "prompt", "completion", "token_ids", "n_tokens", "finish_reason")
FORCE_EVERY_S = 1.0
BACKEND = "backend.json"
NOT_COUNTED = "the server does not tell how many tokens it wrote (its answers have no usage)"


def seed_of(seed: int, problem_id: str, index: int) -> int:
    """The seed of one sample: of the experiment's seed, the problem and the index, never of the variant.

    Variants thus draw with the same random numbers, which makes the paired comparison sharper, and a sample
    made again after a kill is the sample it would have been. Below 2^53, so that JSON readers keep it exact.
    """
    digest = hashlib.sha256(f"{seed}/{problem_id}/{index}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 11


def form_of(plan: Plan) -> Form:
    return "reply" if plan.experiment.sampling.style == "chat" else "completion"


def generate(
    plan: Plan,
    open_generator: Callable[[], MeasuredGenerator],
    work: Path,
    on_sample: Callable[[Sample], None],
    progress: Progress,
    title: str,
) -> dict[str, Any]:
    """Make the samples that `work` lacks and return the step's record; every sample, old or new, goes through
    `on_sample`, so that execution can run beside generation.
    """
    done = [_sample(row) for row in recover_lines(work / LINES)]
    for sample in done:
        on_sample(sample)
    have = {(sample.problem_id, sample.index) for sample in done}
    wanted = plan.experiment.sampling.samples
    missing = [(p, i) for p in plan.suite.problems for i in range(wanted) if (p.id, i) not in have]
    with progress.task(title, total=len(have) + len(missing), unit="samples") as task:
        made = _produce(plan, open_generator, missing, work / LINES, on_sample, task) if missing else _NOTHING
    rows = recover_lines(work / LINES)
    order = {p.id: i for i, p in enumerate(plan.suite.problems)}
    rows.sort(key=lambda row: (order[row["problem_id"]], row["index"]))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    counted = bool(table["n_tokens"].notna().all())
    if not counted:  # a column that may lack integers, which pandas would otherwise make floats of
        table["n_tokens"] = table["n_tokens"].astype("Int64")
    table.to_parquet(work / TABLE, index=False)
    whole = len(missing) == len(rows)
    return {
        "n_samples": len(rows),
        "n_tokens": sum(row["n_tokens"] for row in rows) if counted else None,
        # A resumed step saw only part of the generation: a rate of the rest would not be this variant's rate.
        "generate_s": made.seconds if whole else None,
        "tok_per_s": made.n_tokens / made.seconds if whole and counted and made.seconds > 0 else None,
        "load_s": made.load_s if whole else None,
        "backend": read_json(work / BACKEND),
        "unmeasured": {} if counted else {"n_tokens": NOT_COUNTED, "tok_per_s": NOT_COUNTED},
    }


@dataclass(frozen=True, slots=True)
class _Made:
    n_tokens: int
    seconds: float
    load_s: float


_NOTHING = _Made(0, 0.0, 0.0)


def _produce(
    plan: Plan,
    open_generator: Callable[[], MeasuredGenerator],
    missing: list[tuple[Problem, int]],
    lines: Path,
    on_sample: Callable[[Sample], None],
    task: Task,
) -> _Made:
    before = time.perf_counter()
    generator = open_generator()
    try:
        write_json(lines.with_name(BACKEND), generator.backend)
        started = time.perf_counter()
        n_tokens, seconds, first = (
            0,
            0.0,
            plan.experiment.sampling.samples * len(plan.suite.problems) - len(missing),
        )
        for number, sample in enumerate(_flushed(_answers(plan, generator, missing), lines), start=first + 1):
            n_tokens += len(sample.token_ids)
            seconds = time.perf_counter() - started
            on_sample(sample)
            rate = f"{n_tokens / max(seconds, 1e-9):,.0f} tok/s" if sample.counted else "tokens not counted"
            task.update(number, rate)
        # Once more: only when asked does a server say which settings it refuses.
        write_json(lines.with_name(BACKEND), generator.backend)
        return _Made(n_tokens, time.perf_counter() - started, started - before)
    finally:
        generator.close()


def _answers(plan: Plan, generator: Generator, missing: list[tuple[Problem, int]]) -> Iterator[Sample]:
    table = plan.experiment.sampling
    chat = table.style == "chat"
    sampling = Sampling(
        temperature=table.temperature,
        top_p=table.top_p,
        top_k=table.top_k,
        max_new_tokens=table.max_new_tokens,
        stop=() if chat else plan.suite.stop,
    )
    prompts: dict[str, str] = {}

    def prompt(problem: Problem) -> str:
        if problem.id not in prompts:
            prompts[problem.id] = (
                generator.render_chat(chat_messages(problem)) if chat else completion_prompt(problem)
            )
        return prompts[problem.id]

    seed = plan.experiment.seed
    requests = (Request(p.id, i, prompt(p), seed_of(seed, p.id, i)) for p, i in missing)
    return generator.generate(requests, sampling)


def _flushed(samples: Iterator[Sample], path: Path) -> Iterator[Sample]:
    """The same samples, each written before it is handed on, so that a kill loses none of them; the disk is forced
    about once a second, against a power cut."""
    last = time.monotonic()
    with path.open("a", encoding="utf-8") as file:
        for sample in samples:
            file.write(json.dumps(_row(sample), ensure_ascii=False, allow_nan=False) + "\n")
            file.flush()
            if time.monotonic() - last >= FORCE_EVERY_S:
                os.fsync(file.fileno())
                last = time.monotonic()
            yield sample
        os.fsync(file.fileno())


def _row(sample: Sample) -> dict[str, Any]:
    return {
        "problem_id": sample.problem_id,
        "index": sample.index,
        "seed": sample.seed,
        "prompt": sample.prompt,
        "completion": sample.completion,
        "token_ids": list(sample.token_ids),
        "n_tokens": len(sample.token_ids) if sample.counted else None,
        "finish_reason": sample.finish_reason,
    }


def _sample(row: dict[str, Any]) -> Sample:
    return Sample(
        problem_id=row["problem_id"],
        index=int(row["index"]),
        seed=int(row["seed"]),
        prompt=row["prompt"],
        completion=row["completion"],
        token_ids=tuple(int(t) for t in row["token_ids"]),
        finish_reason=row["finish_reason"],
        counted=bool(pd.notna(row["n_tokens"])),
    )


def load_samples(folder: Path) -> Iterator[Sample]:
    """The samples of a finished generate step, in the suite's order."""
    for row in pd.read_parquet(folder / TABLE).to_dict("records"):
        yield _sample({str(key): value for key, value in row.items()})


# Which generator a generate step gets: its own, or one over a base that other variants' adapters share.


def sharing_key(artifact: Artifact) -> str | None:
    """The same for adapters that one load of their base can serve; None for every other model.

    Only plain LoRA shares: PEFT holds no two kinds of adapter over one base, takes no row-by-row choice among DoRA,
    and biases that were trained are the base's own. Adapters of a quantised base stay apart too: what they were trained
    on is not the base as it is stored.
    """
    from assay.trainers.model.quantize import BASE_QUANTIZATION

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
    """Opens generators by the experiment's `[engine]`. The last shared base stays loaded until another is needed."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._shared: EngineGenerator | None = None
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
        from assay.harness.generation.load import load_adapters

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
        from assay.harness.generation.load import OneAdapter

        assert self._shared is not None
        return OneAdapter(self._shared, self._held[variant], len(self._held) - 1)


def load(plan: Plan, artifact: Artifact) -> MeasuredGenerator:
    """A generator of one model, as the experiment's `[engine]` says."""
    from assay.harness.generation import load_generator

    engine = plan.experiment.engine
    return load_generator(
        artifact,
        batch_size=engine.batch_size,
        threads=engine.threads or len(os.sched_getaffinity(0)),
        device=engine.device,
        dtype="auto" if artifact.kind is ArtifactKind.GGUF else engine.dtype,
    )
