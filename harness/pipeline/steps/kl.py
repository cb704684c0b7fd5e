"""How far a training moved its model: KL(trained‖start) on the trained model's own answers to held-out problems.

The prefixes are drawn from the trained model (its samples in this run), and at each of an answer's tokens the whole
distributions of both are compared, so that no draw of that token adds noise: the sum over an answer's tokens is what
reinforcement methods charge for and what DPO's β holds down. In nats an answer, at temperature 1.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from assay.harness.console import Progress
from assay.harness.equivalence.measures import log_softmax
from assay.harness.files import read_json, write_json
from assay.harness.generation import load_generator
from assay.harness.generation.load import MeasuredGenerator
from assay.harness.models.resolve import in_house_errors
from assay.harness.pipeline.plan import Plan, Step
from assay.harness.pipeline.steps.generate import TABLE
from assay.harness.pipeline.store import Store
from assay.trainers.artifact import Artifact

FOLDER = "distances"
FORMAT = 1  # raised when what is measured changes
NO_TABLE = "the experiment has no [compare] table, which asks for it"
_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Distance:
    """`kl` nats an answer with its 95 % interval over answers (bootstrap), `kl_token` nats a token, of `answers`
    answers with `tokens` tokens. Answers that fill the model's context are left out."""

    kl: float
    kl_low: float
    kl_high: float
    kl_token: float
    answers: int
    tokens: int


def write_distances(
    store: Store, plan: Plan, artifact_of: Callable[[Step], Artifact], progress: Progress
) -> None:
    """Measure what is not measured yet, on as many problems as `[compare]` has texts; nothing without that table."""
    table = plan.experiment.compare
    missing = [s for s in _trained(plan) if not _file(store, plan, s).exists()] if table else []
    if table is None or not missing:
        return
    with progress.task("distances", total=len(missing), unit="trainings") as task, in_house_errors():
        for number, step in enumerate(missing):
            task.update(number, step.variant)
            answers = _answers(store, plan, step, table.texts)
            start, trained = artifact_of(plan.step(step.inputs[0])), artifact_of(step)
            found = _measure(start, trained, answers, plan.experiment.engine.threads, plan.experiment.seed)
            file = _file(store, plan, step)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, None if found is None else asdict(found))


def read_distance(store: Store, plan: Plan, step: Step) -> tuple[Distance | None, str]:
    """(what was measured of a train step, or why it was not)."""
    if plan.experiment.compare is None:
        return None, NO_TABLE
    file = _file(store, plan, step)
    raw = read_json(file) if file.exists() else None
    if raw is None:
        return None, "no answer of this training fits into the model's context"
    return Distance(**raw), ""


def _trained(plan: Plan) -> list[Step]:
    """The trainings whose models are evaluated; a reward model answers nothing."""
    evaluated = {s.variant for s in plan.steps if s.kind == "generate"}
    return [s for s in plan.steps if s.kind == "train" and s.variant in evaluated]


def _answers(store: Store, plan: Plan, step: Step, problems: int) -> list[tuple[str, list[int]]]:
    """(prompt, answer's token ids) of the first sample of each of the first problems."""
    source = plan.step(f"generate-{step.variant}")
    samples = pd.read_parquet(store.path(source.name, source.id) / TABLE)
    first = samples[samples["index"] == 0]
    wanted = {p.id for p in plan.suite.problems[:problems]}
    rows = first[first["problem_id"].isin(wanted)]
    return [
        (str(row["prompt"]), [int(t) for t in row["token_ids"]])
        for row in rows.to_dict("records")
        if len(row["token_ids"])
    ]


def _measure(
    start: Artifact,
    trained: Artifact,
    answers: Sequence[tuple[str, list[int]]],
    threads: int,
    seed: int,
) -> Distance | None:
    reference, policy = (_load(model, threads) for model in (start, trained))
    try:
        room = min(reference.engine.context, policy.engine.context)
        found = []
        for prompt, tokens in answers:
            ids = [*policy.encode(prompt), *tokens]
            if len(ids) <= room:
                found.append(_of_answer(policy, reference, ids, len(tokens)))
        return summarise(found, seed) if found else None
    finally:
        policy.close()
        reference.close()


def _load(artifact: Artifact, threads: int) -> MeasuredGenerator:
    threads = threads or len(os.sched_getaffinity(0))
    return load_generator(artifact, batch_size=32, threads=threads, device="cpu", dtype="fp32")


def _of_answer(policy: MeasuredGenerator, reference: MeasuredGenerator, ids: list[int], n: int) -> Any:
    """KL at each of the last `n` tokens; the logits before a token choose it."""
    a, b = (log_softmax(m.engine.logits(ids)[-n - 1 : -1]) for m in (policy, reference))
    return np.maximum((np.exp(a) * (a - b)).sum(axis=1), 0.0)


def summarise(answers: Sequence[Any], seed: int) -> Distance:
    """From the KL at each token of each answer."""
    sums = np.array([float(one.sum()) for one in answers])
    drawn = np.random.default_rng(seed).integers(0, len(sums), size=(_RESAMPLES, len(sums)))
    low, high = np.quantile(sums[drawn].mean(axis=1), [0.025, 0.975])
    tokens = sum(len(one) for one in answers)
    return Distance(
        kl=float(sums.mean()),
        kl_low=float(low),
        kl_high=float(high),
        kl_token=float(sums.sum() / tokens),
        answers=len(answers),
        tokens=tokens,
    )


def _file(store: Store, plan: Plan, step: Step) -> Path:
    table = plan.experiment.compare
    source = plan.step(f"generate-{step.variant}")
    decides = {
        "format": FORMAT,
        "steps": [step.inputs[0], step.id, source.id],
        "made": (store.record(source.name, source.id) or {}).get("token"),
        "texts": None if table is None else table.texts,
    }
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]
    return store.root / FOLDER / f"{step.variant}-{digest}.json"
