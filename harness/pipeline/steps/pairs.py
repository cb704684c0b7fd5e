"""The pairs step: which of a model's executed answers are preferred, as a file that preference methods read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.harness.errors import BadInputError, UnmeasuredError
from assay.harness.experiment.training import load_made_pairs
from assay.harness.pipeline.plan import Plan, Step
from assay.harness.pipeline.steps.execute import joined
from assay.harness.pipeline.store import Store
from assay.suites import Problem
from assay.suites.model import chat_messages, completion_prompt
from assay.trainers.data.inputs import TrainingData
from assay.trainers.data.preferences import Answer, Text, write_preferences
from assay.trainers.preference.build import Built, Match, build, few

FILE = "pairs.jsonl"
KINDS = ("execution", "quality")


@dataclass(frozen=True, slots=True)
class PairingOptions:
    """Which preferences to make of the samples. `single` writes answers with a label, as KTO takes them."""

    kinds: tuple[str, ...] = ("execution",)
    per_problem: int = 4
    match: Match = "nearest"
    single: bool = False
    seed: int = 0


def answers_of(
    rows: Iterable[Mapping[Any, Any]], problems: Mapping[str, Problem], *, chat: bool
) -> Iterator[Answer]:
    """Every sample with its verdict, `rows` being those of samples joined with verdicts."""
    import pandas as pd

    for row in rows:
        problem = problems[row["problem_id"]]
        prompt: Text = tuple(chat_messages(problem)) if chat else completion_prompt(problem)
        yield Answer(
            problem_id=row["problem_id"],
            index=int(row["index"]),
            seed=int(row["seed"]),
            prompt=prompt,
            text=row["completion"],
            program=row["program"],
            outcome=row["outcome"],
            checks_passed=int(row["checks_passed"]),
            checks_total=int(row["checks_total"]),
            cpu_s=float(row["cpu_s"]),
            n_tokens=None if pd.isna(row["n_tokens"]) else int(row["n_tokens"]),
            finished=row["finish_reason"] == "stop",
        )


def write_pairs(
    answers: Iterable[Answer], wanted: PairingOptions, provenance: dict[str, Any], out: Path
) -> tuple[Built, int]:
    """Write `out`, whole or not at all; what was built, and how many lines were written. Raises UnmeasuredError where
    the samples hold no preference."""
    unknown = set(wanted.kinds) - set(KINDS)
    if unknown or not wanted.kinds:
        raise BadInputError(f"unknown kind {sorted(unknown) or ''}; known: {', '.join(KINDS)}")
    built = build(
        answers, kinds=wanted.kinds, per_problem=wanted.per_problem, match=wanted.match, seed=wanted.seed
    )
    rows = built.opinions if wanted.single else built.pairs
    if not rows:
        better = (
            "no passing answer is better than another by the rubric (lint, complexity, docstring, run time)"
            if wanted.kinds == ("quality",) and not wanted.single
            else f"{built.mixed} of {built.problems} problems have answers that pass and answers that fail"
        )
        raise UnmeasuredError(
            f"no preference in these samples: {better}; draw more samples a problem or at a higher temperature"
        )
    write_preferences(out, rows, provenance)
    return built, len(rows)


def provenance(plan: Plan, model: str, model_sha256: str) -> dict[str, Any]:
    """What every line says of where it comes from."""
    experiment, sampling = plan.experiment, plan.experiment.sampling
    return {
        "model": model,
        "model_sha256": model_sha256,
        "suite": plan.suite.name,
        "split": experiment.suite.split,
        "suite_revision": plan.suite.revision,
        "seed": experiment.seed,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "style": sampling.style,
    }


def make_pairs_step(store: Store, plan: Plan, step: Step, work: Path) -> dict[str, Any]:
    """Pair what the step's inputs sampled and verified, into `work`; the step's record. Raises UnmeasuredError."""
    sampled, verified = (plan.step(name) for name in step.inputs)
    maker = plan.step(sampled.inputs[0])
    record = store.record(maker.name, maker.id)
    assert record is not None, maker.name
    asked, told = plan.asked(step), step.config
    wanted = PairingOptions(
        tuple(told["kinds"]), told["per_problem"], told["match"], told["single"], int(told["seed"])
    )
    table = joined(store.path(sampled.name, sampled.id), store.path(verified.name, verified.id))
    answers = answers_of(
        table.to_dict("records"), asked.suite.by_id(), chat=asked.experiment.sampling.style == "chat"
    )
    source = provenance(asked, maker.variant, record["artifact"]["sha256"])
    try:
        built, written = write_pairs(answers, wanted, source, work / FILE)
    except UnmeasuredError as error:
        raise UnmeasuredError(f"{step.name}: {error}") from None
    return {
        "pairs": {
            "lines": written,
            "single": wanted.single,
            "problems": built.problems,
            "mixed_problems": built.mixed,
            "dropped": dict(built.dropped),
            "quality_agreement": built.agreement,
            "quality_compared": built.compared,
            "warnings": few(written, "answers" if wanted.single else "pairs"),
        },
        "token": hashlib.sha256(
            (work / FILE).read_bytes()
        ).hexdigest(),  # what learns from it is of its content
    }


def pairs_file(store: Store, step: Step) -> Path:
    """Where a finished pairs step left what it made."""
    return store.path(step.name, step.id) / FILE


def records_of(store: Store, plan: Plan, variant: str) -> TrainingData | None:
    """What the training of `variant` learns from; None while the experiment has not made it."""
    training = plan.trainings[variant]
    if training.pairs is None:
        return training.records
    step = plan.step(training.pairs)
    if store.record(step.name, step.id) is None:
        return None
    return load_made_pairs(training.config.method, training.data, pairs_file(store, step), step.name)


def in_words(record: dict[str, Any]) -> str:
    """What a finished pairs step made."""
    made = record["pairs"]
    said = f"{made['lines']} {'answers' if made['single'] else 'pairs'}; "
    said += (
        f"{made['mixed_problems']} of {made['problems']} problems had answers that pass and answers that fail"
    )
    said += "".join(f"; {n} answers left out: {why}" for why, n in made["dropped"].items())
    return f"{said}; {agreement_in_words(made['quality_agreement'], made['quality_compared'])}"


def agreement_in_words(agreement: float | None, compared: int) -> str:
    """How often the rubric of quality prefers, of a pass and a fail, the pass."""
    if agreement is None:
        return (
            "agreement of quality with execution unmeasured: in no pass and fail is one better by the rubric"
        )
    return (
        f"of a pass and a fail of which one is better by the rubric ({compared} comparisons) that is the pass in "
        f"{agreement:.0%}"
    )
