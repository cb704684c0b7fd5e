"""The kl step: how far a training moved its model, as KL(trained‖start) on the trained model's own answers.

The prefixes are drawn from the trained model (its samples in this run), and at each of an answer's tokens the full
distributions of both are compared, so that no draw of that token adds noise: the sum over an answer's tokens is what
reinforcement methods charge for and what DPO's β holds down. In nats an answer, at temperature 1.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from assay.harness.equivalence.measures import log_softmax
from assay.harness.files import read_json
from assay.harness.generation import load_generator
from assay.harness.generation.load import MeasuredGenerator
from assay.harness.pipeline.steps import Context, Plan, StepKind
from assay.harness.pipeline.steps.generate import TABLE
from assay.harness.pipeline.store import Record, Step, Store
from assay.suites import Suite
from assay.trainers.artifact import Artifact

NO_TABLE = "the experiment has no [compare] table, which asks for it"
_OLD_FOLDER, _OLD_FORMAT = "distances", 1  # where version 0.1 left distances
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


@dataclass(frozen=True, slots=True)
class KlSpec:
    """The first sample of each of the first `texts` problems of `suite` is measured; `seed` is the bootstrap's."""

    suite: Suite
    texts: int
    seed: int
    threads: int

    def config(self) -> dict[str, Any]:
        return {"texts": self.texts, "seed": self.seed}


def read_distance(store: Store, plan: Plan, training: Step) -> tuple[Distance | None, str]:
    """Return what was measured of a train step, or None with the reason."""
    if plan.experiment.compare is None:
        return None, NO_TABLE
    step = plan.step(f"kl-{training.variant}")
    record = store.record(step.name, step.id)
    if record is None or record["distance"] is None:
        return None, "no answer of this training fits into the model's context"
    return Distance(**record["distance"]), ""


def _measure_kl(context: Context, step: Step, _: Path) -> Record:
    spec: KlSpec = step.spec
    start, trained, generated = step.inputs
    with context.progress.task(step.name):
        answers = _answers(context.folder(generated), spec)
        distance = _measure(context.artifact(start), context.artifact(trained), answers, spec)
    return {"distance": None if distance is None else asdict(distance)}


def _recover(context: Context, step: Step, _: Path) -> Record | None:
    """Take the distance that version 0.1 measured of the same two models and samples."""
    spec: KlSpec = step.spec
    decisive = {
        "format": _OLD_FORMAT,
        "steps": [step.inputs[0], *(context.record(name)["id"] for name in step.inputs[1:])],
        "made": context.record(step.inputs[2])["token"],
        "texts": spec.texts,
    }
    digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:12]
    file = context.store.root / _OLD_FOLDER / f"{step.variant}-{digest}.json"
    return {"distance": read_json(file)} if file.exists() else None


def _answers(folder: Path, spec: KlSpec) -> list[tuple[str, list[int]]]:
    """Return (prompt, the answer's token ids) of the first sample of each of the first problems."""
    samples = pd.read_parquet(folder / TABLE)
    first = samples[samples["index"] == 0]
    rows = first[first["problem_id"].isin({p.id for p in spec.suite.problems[: spec.texts]})]
    return [
        (str(row["prompt"]), [int(t) for t in row["token_ids"]])
        for row in rows.to_dict("records")
        if len(row["token_ids"])
    ]


def _measure(
    start: Artifact, trained: Artifact, answers: Sequence[tuple[str, list[int]]], spec: KlSpec
) -> Distance | None:
    reference, policy = (_load(model, spec.threads) for model in (start, trained))
    try:
        room = min(reference.engine.context, policy.engine.context)
        measured = []
        for prompt, tokens in answers:
            ids = [*policy.encode(prompt), *tokens]
            if len(ids) <= room:
                measured.append(_of_answer(policy, reference, ids, len(tokens)))
        return summarise(measured, spec.seed) if measured else None
    finally:
        policy.close()
        reference.close()


def _load(artifact: Artifact, threads: int) -> MeasuredGenerator:
    threads = threads or len(os.sched_getaffinity(0))
    return load_generator(artifact, batch_size=32, threads=threads, device="cpu", dtype="fp32")


def _of_answer(policy: MeasuredGenerator, reference: MeasuredGenerator, ids: list[int], n: int) -> Any:
    """Return the KL at each of the last `n` tokens; the logits before a token choose it."""
    a, b = (log_softmax(m.engine.logits(ids)[-n - 1 : -1]) for m in (policy, reference))
    return np.maximum((np.exp(a) * (a - b)).sum(axis=1), 0.0)


def summarise(answers: Sequence[Any], seed: int) -> Distance:
    """Return the distance from the KL at each token of each answer."""
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


KL = StepKind("kl", _measure_kl, recover=_recover)
