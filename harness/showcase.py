"""The whole chain on one tier: import, infer, train, merge, GGUF, infer, profile, verify; each step with its gate.

The steps from `infer` to `infer-gguf` are an experiment (`suites/labs/showcase.toml`) run variant by variant, so they
resume, and every figure has its raw samples on disk. A step passes or fails by its gate; it is unmeasured where a step
it needs did not pass, or where its gate could not decide.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.errors import AssayError, BadInputError, CheckFailedError, UnmeasuredError
from harness.experiment import Experiment, find_experiment, load_experiment
from harness.leaderboard import build_leaderboard, load_tables
from harness.memory import Tier
from harness.models import POCKET, resolve_model
from harness.plan import make_plan
from harness.progress import Progress
from harness.report import write_report
from harness.run import run

StepName = Literal["import", "infer", "train", "merge", "gguf", "infer-gguf", "profile", "verify"]
STEPS: tuple[StepName, ...] = ("import", "infer", "train", "merge", "gguf", "infer-gguf", "profile", "verify")
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
Status = Literal["pass", "fail", "unmeasured"]


@dataclass(frozen=True, slots=True)
class StepResult:
    """How a step ended, in one line for people and in figures for programs."""

    step: StepName
    status: Status
    said: str
    figures: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Showcase:
    """All steps in order. `exit_code` 0: each passed; 1: one failed; 2: one is unmeasured."""

    tier: str
    results: tuple[StepResult, ...]
    folder: Path

    @property
    def exit_code(self) -> int:
        found = {r.status for r in self.results}
        if "fail" in found:
            return CheckFailedError.exit_code
        return UnmeasuredError.exit_code if "unmeasured" in found or not found else 0

    def to_json(self) -> dict[str, Any]:
        return {
            "tier": self.tier,
            "exit_code": self.exit_code,
            "folder": str(self.folder),
            "steps": [r.to_json() for r in self.results],
        }


def check_steps(names: Sequence[str]) -> tuple[StepName, ...]:
    """The named steps and all that they need, in order. BadInputError for an unknown one and for none at all."""
    if not names:
        raise BadInputError(
            f"no step was chosen: give --auto-verify for all, or --steps of {', '.join(STEPS)}"
        )
    unknown = [n for n in names if n not in STEPS]
    if unknown:
        raise BadInputError(f"no step {unknown[0]!r}; there are: {', '.join(STEPS)}")
    wanted: set[str] = set()
    pending = [s for s in STEPS if s in names]
    while pending:
        step = pending.pop()
        if step not in wanted:
            wanted.add(step)
            pending += NEEDS[step]
    return tuple(s for s in STEPS if s in wanted)


def show(
    tier: Tier,
    steps: Sequence[StepName],
    results: Path,
    progress: Progress,
    *,
    model: Path | None = None,
    limit: int | None = None,
    allow_weak: bool = False,
) -> Showcase:
    """Do the steps under `results`. `model` is a local folder in place of the tier's repository on the hub."""
    stage = _Stage(tier, results, progress, model, limit, allow_weak)
    done: dict[StepName, StepResult] = {}
    for step in steps:
        lacking = [n for n in NEEDS[step] if done[n].status != "pass"]
        if lacking:
            said = ", ".join(f"{n}: {done[n].status}" for n in lacking)
            done[step] = StepResult(step, "unmeasured", f"it needs {said}")
        else:
            done[step] = _attempt(step, stage.does(step))
        progress.say(f"{step}: {done[step].status}: {done[step].said}")
    return Showcase(tier.name, tuple(done.values()), stage.folder)


def _attempt(step: StepName, work: Callable[[], StepResult]) -> StepResult:
    try:
        return work()
    except UnmeasuredError as error:
        return StepResult(step, "unmeasured", str(error))
    except AssayError as error:
        return StepResult(step, "fail", str(error))


class _Stage:
    def __init__(
        self,
        tier: Tier,
        results: Path,
        progress: Progress,
        model: Path | None,
        limit: int | None,
        allow_weak: bool,
    ) -> None:
        self.tier, self.results, self.progress, self.allow_weak = tier, results, progress, allow_weak
        self.given, self.limit = model, limit
        self.folder = results / f"showcase-{tier.name}"
        self.model = POCKET
        self.board: dict[str, Any] = {}

    def does(self, step: StepName) -> Callable[[], StepResult]:
        steps: dict[StepName, Callable[[], StepResult]] = {
            "import": self._import,
            "infer": lambda: self._infer("infer", "base", 1),
            "train": self._train,
            "merge": lambda: self._linked("merge", "adapter", "merged", 3),
            "gguf": lambda: self._linked("gguf", "merged", "gguf", 4),
            "infer-gguf": lambda: self._infer("infer-gguf", "gguf", 4),
            "profile": self._profile,
            "verify": self._verify,
        }
        return steps[step]

    def _import(self) -> StepResult:
        if self.given is not None:
            self.model, said = str(self.given), f"local folder {self.given}"
        elif self.tier.model == POCKET:
            said = "the pocket model, shipped with Assay"
        else:
            from harness.hub import import_model

            made = import_model(f"hf://{self.tier.model}", self.folder / "base")
            self.model = str(made.folder)
            said = f"{made.repository} at {made.commit[:12]}, licence {made.licence}, every file verified"
        artifact = resolve_model(self.model)
        return StepResult("import", "pass", said, {"sha256": artifact.sha256, "kind": artifact.kind.value})

    def _run(self, variants: int) -> dict[str, Any]:
        """The leaderboard of the experiment's first variants; what was done before is not done again."""
        experiment = self._experiment(variants)
        plan = make_plan(experiment)
        done = run(plan, self.results, self.progress, allow_weak=self.allow_weak)
        tables = load_tables(done.store, plan)
        self.board = build_leaderboard(done, tables)
        write_report(done.folder, self.board, tables, plan.suite.by_id())
        self.folder = done.folder
        return self.board

    def _experiment(self, variants: int) -> Experiment:
        lab = load_experiment(find_experiment("showcase"))
        base = lab.variant[0].model_copy(update={"model": self.model})
        return lab.model_copy(
            update={
                "name": f"showcase-{self.tier.name}",
                "suite": lab.suite.model_copy(update={"limit": self.limit}),
                "variant": (base, *lab.variant[1:variants]),
            }
        )

    def _row(self, variant: str) -> dict[str, Any]:
        return next(r for r in self.board["rows"] if r["variant"] == variant)

    def _infer(self, step: StepName, variant: str, variants: int) -> StepResult:
        self._run(variants)
        row = self._row(variant)
        outcomes, one = row["outcomes"], row["pass@k"]["1"]
        figures = {"pass@1": one, "outcomes": outcomes, "n_samples": row["n_samples"]}
        said = f"{row['n_samples']} samples, pass@1 {100 * one['value']:.1f} %"
        if outcomes["infra"]:
            return StepResult(
                step, "unmeasured", f"{outcomes['infra']} samples could not be executed", figures
            )
        return StepResult(step, "pass", said, figures)

    def _train(self) -> StepResult:
        board = self._run(2)
        logged = board["curves"]["adapter"]["runs"][0]["train"]
        losses, steps = logged["series"]["loss"], logged["steps"][-1]
        quarter = max(1, len(losses) // 4)
        first, last = sum(losses[:quarter]) / quarter, sum(losses[-quarter:]) / quarter
        said = f"{steps} steps, mean loss of the first quarter {first:.4f}, of the last {last:.4f}"
        status: Status = "pass" if last < first else "fail"
        return StepResult("train", status, said, {"first": first, "last": last, "steps": steps})

    def _linked(self, step: StepName, a: str, b: str, variants: int) -> StepResult:
        links = self._run(variants)["links"]
        link = next((x for x in links if (x["a"], x["b"]) == (a, b)), None)
        if link is None:
            return StepResult(step, "unmeasured", f"the link {a} → {b} was not measured")
        status: dict[str, Status] = {"equivalent": "pass", "better": "pass", "worse": "fail"}
        found = status.get(link["verdict"], "unmeasured")
        d = link["distribution"]
        kl = (
            ""
            if d is None
            else f"; mean KL {d['kl_mean']:.2g} nats, top-1 agreement {100 * d['top1_agreement']:.1f} %"
        )
        return StepResult(step, found, f"{a} → {b} {link['verdict']}: {link['reason']}{kl}", {"link": link})

    def _profile(self) -> StepResult:
        from harness.profile import Job, profile, summarise
        from harness.profile.job import Source
        from harness.report import words

        job = Job(
            name=self.tier.name, source=Source.of(resolve_model(self.model)), prompt_tokens=128, new_tokens=32
        )
        raw = self.folder / f"profile-{_next(self.folder)}.jsonl"
        summary = summarise(profile(job, raw))
        raw.with_suffix(".json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        if summary["status"] != "done":
            return StepResult("profile", "unmeasured", f"{summary['status']}: {summary['detail']}", summary)
        decode, rss = summary["speed"]["decode"], summary["memory"]["generate"]["rss_peak_bytes"]
        rate = decode["tok_per_s"]["median"]
        said = f"decode {words.rate(rate)} tokens/s at batch 1, peak RSS {words.size(rss)}"
        return StepResult("profile", "pass", said, {"speed": summary["speed"], "memory": summary["memory"]})

    def _verify(self) -> StepResult:
        """No variant is worse than what it was made from, by the paired test on pass@1; a gain is not asked for."""
        comparisons = self._run(4)["comparisons"]
        found = [
            (parent, heir, *_gain(comparisons, parent, heir))
            for parent, heir in (("base", "adapter"), ("adapter", "merged"), ("merged", "gguf"))
        ]
        said = ", ".join(
            f"{a} → {b} {100 * gain + 0.0:+.1f} points ({verdict})" for a, b, gain, verdict in found
        )
        status: Status = "fail" if any(verdict == "worse" for *_, verdict in found) else "pass"
        return StepResult("verify", status, said, {"comparisons": comparisons})


def _gain(comparisons: Sequence[dict[str, Any]], parent: str, heir: str) -> tuple[float, str]:
    """What pass@1 the heir has more than its parent, and the paired test's verdict on the heir."""
    turned = {"better": "worse", "worse": "better"}
    for c in comparisons:
        if (c["a"], c["b"]) == (heir, parent):
            return c["difference"], c["verdict"]
        if (c["a"], c["b"]) == (parent, heir):
            return -c["difference"], turned.get(c["verdict"], c["verdict"])
    raise UnmeasuredError(f"{heir} was not compared with {parent}")


def _next(folder: Path) -> int:
    return 1 + len(list(folder.glob("profile-*.jsonl")))
