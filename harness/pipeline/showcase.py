"""The whole chain on one tier: import, infer, train, merge, GGUF, infer, profile, verify; each step with its gate.

The steps from `infer` to `infer-gguf` are an experiment (`suites/labs/showcase.toml`, with settings that fit the
device: `assay.harness.pipeline.tier_settings`) run variant by variant, so they resume, and every figure has its raw
samples on disk. A step passes or fails by its gate; it is unmeasured where a step it needs did not pass, where its gate
could not decide, or where this machine cannot do it. Whatever a step raises is its result, so that the table of steps
is never lost.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from assay.harness.console import Progress
from assay.harness.errors import (
    CHECK_FAILED,
    MISSING_TOOL,
    UNMEASURED,
    BadInputError,
    UnmeasuredError,
    UnreachableError,
    exit_code_of,
    message_of,
)
from assay.harness.experiment import find_experiment, load_experiment
from assay.harness.leaderboard.build import build_leaderboard
from assay.harness.leaderboard.schema import Difference
from assay.harness.models.resolve import POCKET, resolve_model
from assay.harness.pipeline.plan import make_plan
from assay.harness.pipeline.runner import run
from assay.harness.pipeline.steps.execute import load_tables
from assay.harness.pipeline.tier_settings import TierSettings, check_host, choose_settings, device_at_hand
from assay.harness.profiling.memory import Architecture, Tier, read_architecture
from assay.harness.profiling.memory.devices import Device, cpu_device
from assay.harness.report import write_report
from assay.harness.training.settings import redact

StepName = Literal["import", "infer", "train", "merge", "gguf", "infer-gguf", "profile", "verify"]
NEEDS: dict[StepName, tuple[StepName, ...]] = {
    "import": (),
    "infer": ("import",),
    "train": ("import",),
    "merge": ("train",),
    "gguf": ("merge",),
    "infer-gguf": ("gguf",),
    "profile": ("import",),
    "verify": ("infer", "merge", "infer-gguf"),
}
STEPS: tuple[StepName, ...] = tuple(NEEDS)
Status = Literal["pass", "fail", "unmeasured"]
LINKS = (("base", "adapter"), ("adapter", "merged"), ("merged", "gguf"))


@dataclass(frozen=True, slots=True)
class StepResult:
    """The end of a step: one line for people, figures for programs."""

    step: StepName
    status: Status
    message: str
    figures: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"step": self.step, "status": self.status, "said": self.message, "figures": self.figures}


@dataclass(frozen=True, slots=True)
class Showcase:
    """All steps in order. `exit_code` 0: each passed; 1: one failed; 2: one is unmeasured."""

    tier: str
    results: tuple[StepResult, ...]
    folder: Path

    @property
    def exit_code(self) -> int:
        statuses = {r.status for r in self.results}
        if "fail" in statuses:
            return CHECK_FAILED
        return UNMEASURED if "unmeasured" in statuses or not statuses else 0

    def to_json(self) -> dict[str, Any]:
        return {
            "tier": self.tier,
            "exit_code": self.exit_code,
            "folder": str(self.folder),
            "steps": [r.to_json() for r in self.results],
        }


def check_steps(names: Sequence[str]) -> tuple[StepName, ...]:
    """Return the named steps and all that they need, in order. Raises BadInputError for an unknown one and for none."""
    if not names:
        raise BadInputError(
            f"no step was chosen: give --auto-verify for all, or --steps of {', '.join(STEPS)}"
        )
    unknown = [n for n in names if n not in STEPS]
    if unknown:
        raise BadInputError(f"no step {unknown[0]!r}; there are: {', '.join(STEPS)}")
    needed: set[str] = set()
    pending = [s for s in STEPS if s in names]
    while pending:
        step = pending.pop()
        if step not in needed:
            needed.add(step)
            pending += NEEDS[step]
    return tuple(s for s in STEPS if s in needed)


def show(
    tier: Tier,
    steps: Sequence[StepName],
    results: Path,
    progress: Progress,
    *,
    model: Path | None = None,
    limit: int | None = None,
    allow_weak: bool = False,
    device: Device | None = None,
) -> Showcase:
    """Do the steps under `results`. `model` is a local folder in place of the tier's repository on the hub; `device` is
    what the settings are to fit (None: what is at hand)."""
    stage = _Stage(tier, results, progress, model, limit, allow_weak, device)
    done: dict[StepName, StepResult] = {}
    for step in steps:
        lacking = [n for n in NEEDS[step] if done[n].status != "pass"]
        if lacking:
            message = ", ".join(f"{n}: {done[n].status}" for n in lacking)
            done[step] = StepResult(step, "unmeasured", f"it needs {message}")
        else:
            done[step] = _attempt(step, stage.does(step))
        progress.say(f"{step}: {done[step].status}: {done[step].message}")
    return Showcase(tier.name, tuple(done.values()), stage.folder)


def _attempt(step: StepName, work: Callable[[], StepResult]) -> StepResult:
    """Return the step's result, also where it raised. Only the user's own interruption ends a showcase."""
    try:
        return work()
    except Exception as error:
        code = exit_code_of(error)
        if isinstance(error, UnreachableError) or code in (UNMEASURED, MISSING_TOOL):
            return StepResult(step, "unmeasured", redact(message_of(error)))
        if code is not None and not isinstance(error, OSError):
            return StepResult(step, "fail", redact(message_of(error)))
        # The device's memory ran out, a disk is full, or a library has a fault.
        message = f"{type(error).__name__}: {error}".strip().rstrip(":")
        return StepResult(step, "fail", redact(message), {"traceback": redact(traceback.format_exc())})


@dataclass
class _Stage:
    """A showcase under way: the settings it was given, and what its steps have made so far."""

    tier: Tier
    results: Path
    progress: Progress
    given: Path | None
    limit: int | None
    allow_weak: bool
    device: Device | None
    model: str = POCKET

    def __post_init__(self) -> None:
        self.folder = self.results / f"showcase-{self.tier.name}"
        self.lab = load_experiment(find_experiment("showcase"))

    def does(self, step: StepName) -> Callable[[], StepResult]:
        steps: dict[StepName, Callable[[], StepResult]] = {
            "import": self._import,
            "infer": lambda: self._infer("infer", "base", 1),
            "train": self._train,
            "merge": self._merge,
            "gguf": lambda: self._linked("gguf", "merged", "gguf", 4),
            "infer-gguf": lambda: self._infer("infer-gguf", "gguf", 4),
            "profile": self._profile,
            "verify": self._verify,
        }
        return steps[step]

    @property
    def architecture(self) -> Architecture:
        """The tier's architecture as published, or that of the folder that is given in its place."""
        return self.tier.architecture if self.given is None else read_architecture(self.given)

    @cached_property
    def fit(self) -> TierSettings:
        """The settings, chosen once, before anything is fetched or loaded."""
        return choose_settings(self.tier, self.architecture, self.device or device_at_hand(), self.lab)

    def _import(self) -> StepResult:
        fit = self.fit
        if self.given is not None:
            self.model, message = str(self.given), f"local folder {self.given}"
        elif self.tier.model == POCKET:
            message = "the pocket model, shipped with Assay"
        else:
            from assay.harness.models.hub import import_model

            imported = import_model(f"hf://{self.tier.model}", self.folder / "base")
            self.model = str(imported.folder)
            message = f"{imported.repository} at {imported.commit[:12]}, licence {imported.licence}"
            message += ", every file verified"
        artifact = resolve_model(self.model)
        figures = {"sha256": artifact.sha256, "kind": artifact.kind.value, "settings": fit.to_json()}
        return StepResult("import", "pass", f"{message}; chosen: {fit}", figures)

    def _run(self, variants: int) -> dict[str, Any]:
        """Return the leaderboard of the experiment's first variants; what was done before is not done again."""
        lab = self.fit.apply(self.lab)
        changes = {
            "name": f"showcase-{self.tier.name}",
            "suite": lab.suite.model_copy(update={"limit": self.limit}),
            "variant": (lab.variant[0].model_copy(update={"model": self.model}), *lab.variant[1:variants]),
        }
        plan = make_plan(lab.model_copy(update=changes))
        done = run(plan, self.results, self.progress, allow_weak=self.allow_weak)
        tables = load_tables(done.store, plan)
        leaderboard = build_leaderboard(done, tables)
        write_report(done.folder, leaderboard, tables, plan.suite.by_id())
        self.folder = done.folder
        return leaderboard.to_json()

    def _infer(self, step: StepName, variant: str, variants: int) -> StepResult:
        board = self._run(variants)
        row = next(r for r in board["rows"] if r["variant"] == variant)
        status, message = answers_gate(row, board["suite"]["n_problems"] * board["sampling"]["samples"])
        figures = {"pass@1": row["pass@k"]["1"], "outcomes": row["outcomes"], "n_samples": row["n_samples"]}
        return StepResult(step, status, message, figures)

    def _train(self) -> StepResult:
        if self.fit.quantised:
            check_host(self.architecture, cpu_device())
        board = self._run(2)
        logged = board["curves"]["adapter"]["runs"][0]["train"]
        losses, steps = logged["series"]["loss"], logged["steps"][-1]
        quarter = max(1, len(losses) // 4)
        first, last = sum(losses[:quarter]) / quarter, sum(losses[-quarter:]) / quarter
        message = (
            f"{steps} steps, mean loss of the first quarter {first:.4f}, of the last {last:.4f}; it must fall"
        )
        status: Status = "pass" if last < first else "fail"
        return StepResult("train", status, message, {"first": first, "last": last, "steps": steps})

    def _merge(self) -> StepResult:
        check_host(self.architecture, cpu_device())
        return self._linked("merge", "adapter", "merged", 3)

    def _linked(self, step: StepName, a: str, b: str, variants: int) -> StepResult:
        links = self._run(variants)["links"]
        link = next((x for x in links if (x["a"], x["b"]) == (a, b)), None)
        if link is None:
            return StepResult(step, "unmeasured", f"the link {a} → {b} was not measured")
        status: dict[str, Status] = {"equivalent": "pass", "better": "pass", "worse": "fail"}
        outcome = status.get(link["verdict"], "unmeasured")
        d = link["distribution"]
        message = f"{a} → {b} {link['verdict']}: {link['reason']}"
        if d is not None:
            message += f"; mean KL {d['kl_mean']:.2g} nats, top-1 agreement {100 * d['top1_agreement']:.1f} %"
        return StepResult(step, outcome, message, {"link": link})

    def _profile(self) -> StepResult:
        from assay.harness import formatting
        from assay.harness.profiling.measure import Job, profile, summarise
        from assay.harness.profiling.measure.job import Source
        from assay.harness.profiling.measure.summary import write_summary

        job = Job(
            name=self.tier.name,
            source=Source.of(resolve_model(self.model)),
            dtype=self.fit.dtype,  # as the samples are drawn
            prompt_tokens=128,
            new_tokens=32,
        )
        number = 1 + len(list(self.folder.glob("profile-*.jsonl")))
        raw = self.folder / f"profile-{number}.jsonl"
        summary = summarise(profile(job, raw))
        write_summary(raw.with_suffix(".json"), summary)
        if summary["status"] != "done":
            return StepResult("profile", "unmeasured", f"{summary['status']}: {summary['detail']}", summary)
        decode, rss = summary["speed"]["decode"], summary["memory"]["generate"]["rss_peak_bytes"]
        rate = decode["tok_per_s"]["median"]
        message = (
            f"every phase measured, no figure is asked for; decode {formatting.rate(rate)} tokens/s at batch 1 in "
            f"{self.fit.dtype}, peak RSS {formatting.size(rss)}"
        )
        figures = {name: summary[name] for name in ("speed", "memory")}
        return StepResult("profile", "pass", message, figures)

    def _verify(self) -> StepResult:
        comparisons = self._run(4)["comparisons"]
        status, message = gains_gate(comparisons, self.lab.score.margin)
        return StepResult("verify", status, message, {"comparisons": comparisons})


def answers_gate(row: Mapping[str, Any], requested: int) -> tuple[Status, str]:
    """Return whether each of the `requested` samples of a variant's row has been drawn and executed.

    What they score decides nothing here: a base may solve none of the problems, and what becomes of it is the gate of
    `verify`.
    """
    executed = row["n_samples"] - row["outcomes"]["infra"]
    message = f"{executed} of {requested} samples executed, which is all that is asked here; pass@1 "
    message += f"{100 * row['pass@k']['1']['value']:.1f} %" if executed else "unmeasured"
    return ("pass" if requested and executed == requested else "unmeasured"), message


def gains_gate(comparisons: Sequence[Mapping[str, Any]], margin: float) -> tuple[Status, str]:
    """Return whether no variant is worse than what it was made from, by the paired test on pass@1; a gain is not asked
    for. What the test cannot decide is unmeasured.
    """
    gains = {(a, b): _gain(comparisons, a, b) for a, b in LINKS}
    message = ", ".join(f"{a} → {b} {_in_words(gain)}" for (a, b), gain in gains.items())
    verdicts = {gain["verdict"] for gain in gains.values()}
    if "worse" in verdicts:
        return "fail", message
    if verdicts <= {"better", "equivalent"}:
        return "pass", message
    n = min(gain["n"] for gain in gains.values())
    message += f"; {n} problems do not tell whether a loss is within the margin of {100 * margin:g} points"
    return "unmeasured", message


def _in_words(gain: Mapping[str, Any]) -> str:
    low, difference, high = (f"{100 * gain[k] + 0.0:+.1f}" for k in ("low", "difference", "high"))
    return f"{difference} points ({low} to {high}: {gain['verdict']})"


def _gain(comparisons: Sequence[Mapping[str, Any]], parent: str, child: str) -> dict[str, Any]:
    """Return the child's gain in pass@1 over its parent, and the paired test's verdict on the child."""
    for row in comparisons:
        compared = Difference.model_validate(row)
        if {compared.a, compared.b} == {child, parent}:
            gain = compared if compared.a == child else compared.turned()
            return gain.model_dump(include={"difference", "low", "high", "n", "verdict"})
    raise UnmeasuredError(f"{child} was not compared with {parent}")
