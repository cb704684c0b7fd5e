"""The pairs step: preferences among a model's executed answers, as a file that preference methods read."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.harness.errors import UnmeasuredError
from assay.harness.pipeline.steps import Context, StepKind
from assay.harness.pipeline.steps.execute import joined
from assay.harness.pipeline.steps.generate import GenerateSpec
from assay.harness.pipeline.store import Record, Step
from assay.suites import Problem
from assay.suites.model import chat_messages, completion_prompt
from assay.trainers.data.preferences import Answer, Text, write_preferences
from assay.trainers.preference.build import Built, Match, build, few

FILE = "pairs.jsonl"
KINDS = ("execution", "quality")


@dataclass(frozen=True, slots=True)
class PairingOptions:
    """The options of pairing samples; as a step's spec they are its whole configuration.

    `per_problem` is the most pairs of one problem, and `single` writes answers with a label, as KTO takes them.
    """

    kinds: tuple[str, ...] = ("execution",)
    per_problem: int = 4
    match: Match = "nearest"
    single: bool = False
    seed: int = 0

    def config(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"kinds": list(self.kinds)}


def answers_of(
    rows: Iterable[Mapping[Any, Any]], problems: Mapping[str, Problem], *, chat: bool
) -> Iterator[Answer]:
    """Yield every sample with its verdict, from rows of samples joined with verdicts."""
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
    answers: Iterable[Answer], options: PairingOptions, provenance: dict[str, Any], out: Path
) -> tuple[Built, int]:
    """Write `out` atomically and return what was built and the number of lines.

    Raises UnmeasuredError where the samples hold no preference.
    """
    built = build(
        answers, kinds=options.kinds, per_problem=options.per_problem, match=options.match, seed=options.seed
    )
    rows = built.opinions if options.single else built.pairs
    if not rows:
        better = (
            "no passing answer is better than another by the rubric (lint, complexity, docstring, run time)"
            if options.kinds == ("quality",) and not options.single
            else f"{built.mixed} of {built.problems} problems have answers that pass and answers that fail"
        )
        raise UnmeasuredError(
            f"no preference in these samples: {better}; draw more samples a problem or at a higher temperature"
        )
    write_preferences(out, rows, provenance)
    return built, len(rows)


def provenance(spec: GenerateSpec, model: str, model_sha256: str) -> dict[str, Any]:
    """Return what every line records of where it comes from; `spec` is that of the samples."""
    sampling = spec.sampling
    return {
        "model": model,
        "model_sha256": model_sha256,
        "suite": spec.suite.name,
        "split": spec.table.split,
        "suite_revision": spec.suite.revision,
        "seed": spec.seed,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "style": sampling.style,
    }


def _pair(context: Context, step: Step, work: Path) -> Record:
    """Pair the samples of the step's first input with the verdicts of its second. Raises UnmeasuredError."""
    options: PairingOptions = step.spec
    sampled, verified = step.inputs
    spec: GenerateSpec = context.plan.step(sampled).spec
    maker = context.plan.step(sampled).inputs[0]
    answers = answers_of(
        joined(context.folder(sampled), context.folder(verified)).to_dict("records"),
        spec.suite.by_id(),
        chat=spec.sampling.style == "chat",
    )
    model_sha256 = context.record(maker)["artifact"]["sha256"]
    source = provenance(spec, context.plan.step(maker).variant, model_sha256)
    built, written = write_pairs(answers, options, source, work / FILE)
    record: Record = {
        "pairs": {
            "lines": written,
            "single": options.single,
            "problems": built.problems,
            "mixed_problems": built.mixed,
            "dropped": dict(built.dropped),
            "quality_agreement": built.agreement,
            "quality_compared": built.compared,
            "warnings": few(written, "answers" if options.single else "pairs") + built.notes(),
        },
        # A training that learns from the file is decided by its content.
        "token": hashlib.sha256((work / FILE).read_bytes()).hexdigest(),
    }
    context.progress.say(f"{step.name}: {_summary(record['pairs'])}")
    for warning in record["pairs"]["warnings"]:
        context.progress.say(f"warning: {step.name}: {warning}")
    return record


def _summary(pairs: dict[str, Any]) -> str:
    """Return what a pairs step made, as a line for a person."""
    text = f"{pairs['lines']} {'answers' if pairs['single'] else 'pairs'}; "
    text += f"{pairs['mixed_problems']} of {pairs['problems']} problems had answers that pass and answers that fail"
    text += "".join(f"; {n} answers left out: {reason}" for reason, n in pairs["dropped"].items())
    return f"{text}; {agreement_in_words(pairs['quality_agreement'], pairs['quality_compared'])}"


def agreement_in_words(agreement: float | None, compared: int) -> str:
    """Return how often the rubric of quality prefers the pass of a pass and a fail, as a line for a person."""
    if agreement is None:
        return (
            "agreement of quality with execution unmeasured: in no pass and fail is one better by the rubric"
        )
    return (
        f"of a pass and a fail of which one is better by the rubric ({compared} comparisons) that is the pass in "
        f"{agreement:.0%}"
    )


PAIRS = StepKind("pairs", _pair)
