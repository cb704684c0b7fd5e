"""What is written: the verdicts of one model on one suite, sample by sample, and what is known of their origin."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from assay.harness.decide.history import suite_of
from assay.harness.decide.naming import problem_id, suite_of_id
from assay.harness.decide.readers import split_name
from assay.harness.decide.readers.runs import StepTables, table_rows, tables_of
from assay.harness.decide.readers.source import Source
from assay.harness.decide.results import UNNAMED
from assay.harness.errors import BadInputError
from assay.harness.files import read_json
from assay.harness.hardware import package_version
from assay.harness.leaderboard.schema import Leaderboard, Row, read_leaderboard
from assay.harness.stats.pass_at_k import Estimate, estimate_pass_at_k
from assay.sandbox.model import Outcome
from assay.suites import Problem, Suite, load_suite
from assay.suites.extraction.extract import FORMS, Form, extract
from assay.suites.jsonlines import LineError, read_objects
from assay.trainers.files import open_below, open_file

_RESULTS = "_results.jsonl"
_OUTCOMES = frozenset(outcome.value for outcome in Outcome)
_JUDGED = ("problem_id", "index", "outcome", "program", "detail")
_MEASURED = ("cpu_s", "wall_s", "mode", "checks_passed", "checks_total", "isolation")
_DRAWN = ("seed", "n_tokens", "finish_reason")
_LISTED = 12
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class SampleVerdict:
    """One sample with its verdict. `text` is what the model wrote and `form` what that is, `program` what was judged;
    None where it is not known. `base_passed` is the verdict of a + suite's base checks. `more` are further figures by
    our names; what was not measured is not in it."""

    problem: str
    index: int
    outcome: str
    detail: str = ""
    text: str | None = None
    form: Form = "solution"
    program: str | None = None
    prompt: str = ""
    base_passed: bool | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool | None:
        """Whether the sample passed; None without a verdict."""
        return None if self.outcome == Outcome.INFRA.value else self.outcome == Outcome.PASS.value


@dataclass(frozen=True)
class MeasuredModel:
    """The verdicts of one model on one suite.

    `inputs` are the sha256 of the files that they were read from. `measured_by` is the version of Assay that gave them,
    `revision` the suite's and `created` the time, each empty where the files do not say. `board` and `row` are a run's;
    `row` is None for one training seed of several, whose row counts them all. `registered` is what the suite is
    loaded by, `dataset` where the samples will be.
    """

    model: str
    suite: str
    samples: tuple[SampleVerdict, ...]
    inputs: Mapping[str, str]
    revision: str = ""
    measured_by: str = ""
    created: str = ""
    notes: tuple[str, ...] = ()
    board: Leaderboard | None = None
    row: Row | None = None
    artifact_sha256: str = ""
    registered: str = ""
    suite_path: Path | None = None
    dataset: str = ""

    @property
    def base_suite(self) -> str:
        """The suite whose checks are the first ones of a + suite; the suite itself where it is none."""
        return self.suite.removesuffix("+")

    @cached_property
    def problems(self) -> Mapping[str, Problem]:
        """The suite's problems. Raises BadInputError where they are not those that were answered."""
        return _load(self).by_id()

    @cached_property
    def base_problems(self) -> Mapping[str, Problem]:
        """The problems as the suite has them that a + suite adds checks to; the suite's own where it is none."""
        return load_suite(self.base_suite).by_id() if self.suite != self.base_suite else self.problems

    def program(self, sample: SampleVerdict) -> str:
        """Return the program that was judged."""
        if sample.program is not None:
            return sample.program
        if sample.text is None:
            raise BadInputError(
                f"{sample.problem}, sample {sample.index}: its answer is not in the file, and this format holds "
                f"answers: put the samples file beside the verdicts, as FILE and FILE{_RESULTS}"
            )
        if sample.form == "solution":
            return sample.text
        return extract(self.problem(sample), sample.text, sample.form).program

    def problem(self, sample: SampleVerdict) -> Problem:
        """Return the problem that a sample answers."""
        try:
            return self.problems[sample.problem]
        except KeyError:
            raise BadInputError(
                f"the suite {self.suite!r} has no problem {sample.problem!r}: name the suite's own file by --suite-path"
            ) from None

    def passed_base(self, sample: SampleVerdict) -> bool | None:
        """Return whether a sample of a + suite passed the base checks; None without a verdict."""
        if sample.passed is None or sample.passed:
            return sample.passed
        if sample.base_passed is not None:
            return sample.base_passed
        checks, passed = self.problem(sample).base_checks, sample.more.get("checks_passed")
        if passed is None or checks == 0:
            raise BadInputError(
                f"{sample.problem}, sample {sample.index}: the file does not say whether the base checks passed"
            )
        return bool(passed >= checks)

    def by_problem(self) -> dict[str, list[SampleVerdict]]:
        """Return the samples of each problem, in the file's order."""
        grouped: dict[str, list[SampleVerdict]] = {}
        for sample in self.samples:
            grouped.setdefault(sample.problem, []).append(sample)
        return grouped

    def estimates(self) -> dict[int, Estimate]:
        """Return pass@k over the problems that have a verdict, for 1, 10 and 100 as far as their samples reach."""
        verdicts = [[s.passed for s in rows if s.passed is not None] for rows in self.by_problem().values()]
        counts = [(len(v), sum(map(bool, v))) for v in verdicts if v]
        if not counts:
            return {}
        fewest = min(n for n, _ in counts)
        return {k: estimate_pass_at_k(counts, k) for k in (1, 10, 100) if k <= fewest}

    def provenance(self) -> dict[str, Any]:
        """Return where the verdicts are from, for the place that a format has for it; what is unknown is left out."""
        values = {
            "written_by": f"assay {package_version('assay')}",
            "measured_by": self.measured_by and f"assay {self.measured_by}",
            "suite": self.suite,
            "suite_revision": self.revision,
            "created": self.created,
            "artifact_sha256": self.artifact_sha256,
            "isolation": self.board.isolation.get("label") if self.board else "",
        }
        return {name: value for name, value in values.items() if value} | {"inputs_sha256": dict(self.inputs)}


def measured_model(name: str, *, suite: str | None = None, suite_path: Path | None = None) -> MeasuredModel:
    """Return what `RUN`, `RUN:VARIANT` or a `*_results.jsonl` of `assay score` holds of one model.

    `suite` names the suite of a results file whose ids are no known suite's. Raises BadInputError.
    """
    path, chosen = split_name(name)
    if path.is_dir():
        measured = _of_run(path, chosen)
        if suite is not None and suite != measured.suite:
            raise BadInputError(f"--suite {suite}: the run's suite is {measured.suite!r}; leave --suite out")
    elif path.name.removesuffix(".gz").endswith(".jsonl") and chosen is None:
        measured = _of_results(path, suite)
    else:
        raise BadInputError(
            f"{name} is neither a run's folder nor a *_results.jsonl of assay score: what Assay measured is "
            "written, and files of other evaluators are not"
        )
    if not any(sample.passed is not None for sample in measured.samples):
        raise BadInputError(f"{name} holds no verdict")
    if suite == "jsonl" and suite_path is not None:  # called as its file is
        measured = replace(measured, suite=suite_path.name.partition(".")[0], registered=suite)
    return replace(measured, suite_path=suite_path)


def _of_run(path: Path, chosen: str | None) -> MeasuredModel:
    if not (path / "leaderboard.json").is_file():
        raise BadInputError(f"{path} holds no leaderboard.json: give the folder of a run that is done")
    board = read_leaderboard(read_json(Path("leaderboard.json"), path))
    tables = {one.variant: one for one in tables_of(Source(path), board)}
    if chosen is None and len(tables) == 1:
        chosen = next(iter(tables))
    if chosen not in tables:
        fault = "has several variants" if chosen is None else f"has no variant {chosen!r}"
        names = ", ".join(list(tables)[:_LISTED])
        raise BadInputError(f"{path} {fault}: give one as {path}:NAME; it has {names}")
    one, suite = tables[chosen], suite_of(board)
    files = {"leaderboard.json": _sha256(open_below(path, "leaderboard.json"))}
    files |= {name: _sha256(open_below(one.steps, name)) for name in (one.verdicts, one.samples) if name}
    own = board.machine.get("packages")
    samples = tuple(_run_samples(one, suite, str(board.sampling.get("style") or "")))
    notes = [f"the verdicts are taken as they are: {one.strangeness}"] if one.strangeness else []
    judged = len({sample.problem for sample in samples if sample.passed is not None})
    if board.suite.n_problems and judged < board.suite.n_problems:
        notes.append(
            f"the score is over {judged} of {board.suite.n_problems} problems: the others have no verdict"
        )
    measured = MeasuredModel(
        model=chosen,
        suite=suite,
        samples=samples,
        inputs=files,
        revision=board.suite.revision,
        measured_by=str(own.get("assay") or "") if isinstance(own, dict) else "",
        created=board.created,
        notes=tuple(notes),
        board=board,
        row=next((row for row in board.rows if row.variant == chosen), None),
        artifact_sha256=_artifact(board, chosen),
    )
    _check_scores(path, measured)
    return measured


def _check_scores(path: Path, measured: MeasuredModel) -> None:
    """Raise BadInputError where a run's leaderboard has another pass@k than its verdicts, whose hashes are checked."""
    stated = measured.row.pass_at_k if measured.row else {}
    for k, estimate in measured.estimates().items():
        value = stated[k].value if k in stated else None
        if value is not None and abs(value - estimate.value) > _ROUNDING:
            raise BadInputError(
                f"{path / 'leaderboard.json'}: pass@{k} of {measured.model} is {value:g} there and {estimate.value:g} "
                "by its verdicts: the run was changed after it was made; run it again"
            )


def _artifact(board: Leaderboard, chosen: str) -> str:
    """Return the sha256 of a variant, or of one training seed of it (`tuned.s1`)."""
    for row in board.rows:
        if row.variant == chosen:
            return row.sha256
        for seed in row.by_seed:
            if chosen == f"{row.variant}.s{seed.seed}":
                return seed.sha256
    return ""


def _run_samples(tables: StepTables, suite: str, style: str) -> Iterator[SampleVerdict]:
    drawn: dict[tuple[str, int], dict[str, Any]] = {}
    if tables.samples is not None:
        for row in table_rows(
            tables.steps, tables.samples, ("problem_id",), ("index", "prompt", "completion", *_DRAWN)
        ):
            drawn[row["problem_id"], row.get("index", 0)] = row
    for row in table_rows(tables.steps, tables.verdicts, _JUDGED, _MEASURED):
        sample = drawn.get((row["problem_id"], row["index"]), {})
        more = {name: sample.get(name) for name in _DRAWN} | {name: row.get(name) for name in _MEASURED}
        yield SampleVerdict(
            problem=problem_id(suite, row["problem_id"]),
            index=int(row["index"]),
            outcome=_outcome(tables.steps / tables.verdicts, row["problem_id"], row["outcome"]),
            detail=str(row["detail"] or ""),
            text=sample.get("completion"),
            form="completion" if style == "completion" else "reply",
            program=row["program"],
            prompt=str(sample.get("prompt") or ""),
            more={name: value for name, value in more.items() if value is not None},
        )


def _of_results(path: Path, suite: str | None) -> MeasuredModel:
    """Return the verdicts of a results file; its answers are those of the samples file beside it."""
    texts, files = _texts(path), {path.name: _sha256(open_file(path))}
    if texts is not None:
        texts_path = _samples_of(path)
        files[texts_path.name] = _sha256(open_file(texts_path))
    rows: list[dict[str, Any]] = []
    for number, row in read_objects(path):
        if isinstance(row, LineError):
            raise BadInputError(f"{path}: {row}")
        if not isinstance(row.get("task_id"), str) or not {"outcome", "line", "index"} <= set(row):
            raise BadInputError(
                f"{path}, line {number}: no row of assay score, which has task_id, index, line and outcome; what Assay "
                "measured is written, and files of other evaluators are not"
            )
        rows.append(row)
    if not rows:
        raise BadInputError(f"{path} holds no verdict")
    known = suite_of_id(rows[0]["task_id"]) or UNNAMED
    plus = any("base_passed" in row for row in rows)
    name = suite or (f"{known}+" if plus and known != UNNAMED else known)
    if name.endswith("+") and not plus:
        raise BadInputError(f"--suite {name}: no row of {path} has base_passed, as those of a + suite do")
    notes = ["a results file does not name suite revision, time and version: they are left out"]
    return MeasuredModel(
        Source(path).stem, name, tuple(_file_samples(path, name, rows, texts)), files, notes=tuple(notes)
    )


def _file_samples(
    path: Path, suite: str, rows: list[dict[str, Any]], texts: Mapping[int, tuple[Any, str, Form]] | None
) -> Iterator[SampleVerdict]:
    seen: set[tuple[str, Any]] = set()
    for row in rows:
        key = problem_id(suite, row["task_id"]), row["index"]
        if key in seen or not isinstance(row["index"], int) or isinstance(row["index"], bool):
            fault = "is there a second time" if key in seen else "has no whole number"
            raise BadInputError(f"{path}: sample {row['index']!r:.40} of {row['task_id']!r} {fault}")
        seen.add(key)
        text, form = _text_of(path, row, texts or {})
        yield SampleVerdict(
            problem=key[0],
            index=key[1],
            outcome=_outcome(path, row["task_id"], row["outcome"]),
            detail=str(row.get("detail") or ""),
            text=text,
            form=form,
            base_passed=_flag(path, row, "base_passed"),
            more={name: row[name] for name in _MEASURED if row.get(name) is not None},
        )


def _flag(path: Path, row: Mapping[str, Any], name: str) -> bool | None:
    value = row.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadInputError(f"{path}, {row['task_id']}: {name!r} is neither true nor false: {value!r:.40}")
    return value


def _outcome(path: Path, problem: str, outcome: Any) -> str:
    if not isinstance(outcome, str) or outcome not in _OUTCOMES:
        raise BadInputError(
            f"{path}, {problem}: {outcome!r:.40} is no outcome, which is one of {', '.join(sorted(_OUTCOMES))}"
        )
    return outcome


def _samples_of(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(_RESULTS))


def _texts(path: Path) -> dict[int, tuple[Any, str, Form]] | None:
    """Return (problem, text, form) by line of the samples file beside a results file; None where there is none."""
    samples = _samples_of(path)
    if samples == path or not samples.is_file():
        return None
    texts: dict[int, tuple[Any, str, Form]] = {}
    for number, row in read_objects(samples):
        if isinstance(row, dict) and (form := next((f for f in FORMS if isinstance(row.get(f), str)), None)):
            texts[number] = (row.get("task_id"), row[form], form)
    return texts


def _text_of(
    path: Path, row: Mapping[str, Any], texts: Mapping[Any, tuple[Any, str, Form]]
) -> tuple[str | None, Form]:
    """Return what the model wrote to a problem. Raises BadInputError where the line holds another one's answer."""
    if not isinstance(row["line"], int) or row["line"] not in texts:
        return None, "solution"
    problem, text, form = texts[row["line"]]
    if problem != row["task_id"]:
        raise BadInputError(
            f"{_samples_of(path)}, line {row['line']}: answers {problem!r:.40}, and the verdict there is on "
            f"{row['task_id']!r:.40}: the file is not the one that was scored"
        )
    return text, form


def _load(measured: MeasuredModel) -> Suite:
    """Load the suite that was answered. Raises BadInputError where its data is not what the verdicts were given on."""
    facts = measured.board.suite if measured.board else None
    registered = (facts.registered if facts else "") or measured.registered or measured.suite
    suite = load_suite(registered, path=measured.suite_path, split=facts.split if facts else None)
    here, judged = suite.revision.partition(":")[0], measured.revision.partition(":")[0]
    if judged and here != judged:
        raise BadInputError(
            f"the suite {registered!r} here is revision {here[:12]}, the verdicts are of {judged[:12]}: give its "
            "data by --suite-path"
        )
    return suite


def _sha256(descriptor: int) -> str:
    with os.fdopen(descriptor, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
