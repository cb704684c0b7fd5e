"""The steps of the `[compare]` table: compare and kl.

compare holds a merge, an export or a compression against what it was made from (a link of the chain). kl measures how
far a training moved its model, as KL(trained‖start) on the trained model's own answers: the prefixes are drawn from
the trained model (its samples in this run), and at each of an answer's tokens the full distributions of both are
compared, so that no draw of that token adds noise. The sum over an answer's tokens is what reinforcement methods
charge for and what DPO's β holds down. In nats an answer, at temperature 1.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from assay.harness.equivalence.chain import Link, compare_links, link_from_json
from assay.harness.equivalence.measures import log_softmax, pass_rates
from assay.harness.equivalence.tokens import suite_passages
from assay.harness.errors import BadInputError
from assay.harness.experiment.tables import CompareTable
from assay.harness.files import read_json, write_json
from assay.harness.generation import load_generator
from assay.harness.generation.load import MeasuredGenerator
from assay.harness.pipeline.steps import Context, Plan, StepKind
from assay.harness.pipeline.steps.generate import TABLE, read_table
from assay.harness.pipeline.store import Record, Step, Store, old_result
from assay.suites import Suite
from assay.trainers.artifact import Artifact

FILE = "link.json"
NO_TABLE = "the experiment has no [compare] table, which asks for it"
_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class CompareSpec:
    """The texts and the settings of a comparison."""

    suite: Suite
    table: CompareTable
    threads: int

    def config(self) -> dict[str, Any]:
        return {"suite": self.suite.revision, "compare": self.table.model_dump(mode="json")}


def linked_steps(steps: Iterable[Step]) -> list[tuple[Step, Step]]:
    """Return (what it was made from, what was made) of every step whose output should still be its input.

    These are merges of one adapter, exports and compressions. Trainings and merges of several adapters make other
    models.
    """
    known = {step.name: step for step in steps}
    return [
        (known[step.inputs[0]], step)
        for step in known.values()
        if step.kind in ("export", "compress")
        or (step.kind == "merge" and len(step.inputs) == 1 and step.spec.weights in ((), (1,)))
    ]


def read_links(store: Store, plan: Plan, counts: Mapping[str, Mapping[str, tuple[int, int]]]) -> list[Link]:
    """Return the links that were measured, each with the run's own pass@1."""
    links, score = [], plan.experiment.score
    for step in plan.steps:
        file = store.path(step.name, step.id) / FILE
        if step.kind != "compare" or not file.exists():
            continue
        first, second = (plan.step(name).variant for name in step.inputs)
        rates = {}
        if first in counts and second in counts:
            settings = score.model_dump(include={"margin", "confidence"})
            rates = pass_rates(counts, [(first, second)], **settings)
        links.append(link_from_json(read_json(file), rates.get((first, second))))
    return links


def _compare(context: Context, step: Step, work: Path) -> Record:
    """Measure one link; where the suite has no texts to measure it on, the record says so."""
    spec: CompareSpec = step.spec
    try:
        passages = suite_passages(spec.suite, spec.table.texts)
    except BadInputError as error:
        context.progress.say(f"{step.name}: unmeasured: {error}")
        return {"unmeasured": str(error)}
    with context.progress.task(step.name) as task:
        (link,) = compare_links(
            {context.plan.step(name).variant: context.artifact(name) for name in step.inputs},
            passages,
            threads=spec.threads,
            greedy_tokens=spec.table.greedy_tokens,
            on_stage=lambda stage: task.update(0, stage),
        )
    write_json(work / FILE, link.to_json())
    return {}


def _recover_link(context: Context, step: Step, work: Path) -> Record | None:
    """Take the link that version 0.1 measured of the same two models."""
    spec: CompareSpec = step.spec
    records = [context.record(name) for name in step.inputs]
    decisive = {
        "format": 2,
        "steps": [record["id"] for record in records],
        "made": [record["token"] for record in records],
        "suite": spec.suite.revision,
        "compare": spec.table.model_dump(mode="json"),
    }
    names = "--".join(context.plan.step(name).variant for name in step.inputs)
    link = old_result(context.store, "links", names, json.dumps(decisive, sort_keys=True))
    if link is None:
        return None
    write_json(work / FILE, link)
    return {}


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


def _recover_distance(context: Context, step: Step, _: Path) -> Record | None:
    """Take the distance that version 0.1 measured of the same two models and samples."""
    spec: KlSpec = step.spec
    decisive = {
        "format": 1,
        "steps": [step.inputs[0], *(context.record(name)["id"] for name in step.inputs[1:])],
        "made": context.record(step.inputs[2])["token"],
        "texts": spec.texts,
    }
    text = json.dumps(decisive, sort_keys=True)
    distance = old_result(context.store, "distances", step.variant, text)
    return None if distance is None else {"distance": distance}


def _answers(folder: Path, spec: KlSpec) -> list[tuple[str, list[int]]]:
    """Return (prompt, the answer's token ids) of the first sample of each of the first problems."""
    samples = read_table(folder / TABLE)
    first = samples[samples["index"] == 0]
    rows = first[first["problem_id"].isin({p.id for p in spec.suite.problems[: spec.texts]})]
    answers = zip(rows["prompt"], rows["token_ids"], strict=True)
    return [(str(prompt), [int(t) for t in tokens]) for prompt, tokens in answers if len(tokens)]


def _measure(
    start: Artifact, trained: Artifact, answers: Sequence[tuple[str, list[int]]], spec: KlSpec
) -> Distance | None:
    load = partial(load_generator, batch_size=32, threads=spec.threads, device="cpu", dtype="fp32")
    with closing(load(start)) as reference, closing(load(trained)) as policy:
        room = min(reference.engine.context, policy.engine.context)
        encoded = [([*policy.encode(prompt), *tokens], len(tokens)) for prompt, tokens in answers]
        measured = [_of_answer(policy, reference, ids, n) for ids, n in encoded if len(ids) <= room]
        return summarise(measured, spec.seed) if measured else None


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


COMPARE = StepKind("compare", _compare, recover=_recover_link)
KL = StepKind("kl", _measure_kl, recover=_recover_distance)
