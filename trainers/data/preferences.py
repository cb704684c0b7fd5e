"""Preferences: pairs of answers or single judged answers, read from and written to JSON Lines files.

`[data]` of dpo, ipo, kto, orpo and reward names such a file. A line is TRL's: `prompt`, `chosen`, `rejected`; or
`prompt`, `completion`, `label` (true is good), with its provenance in further columns, so that the file serves any
trainer and records where each line came from. Values are texts, or chats as lists of messages; a chat goes through the
model's own template. Other columns are ignored.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from assay.suites.jsonlines import LineError, read_objects
from assay.trainers.errors import DataError
from assay.trainers.files import publish

Text = str | tuple[dict[str, str], ...]  # a bare text, or the messages of a chat
Kind = Literal["execution", "quality", "given"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One sampled answer and how its program ended. `prompt` is a text or chat messages."""

    problem_id: str
    index: int
    seed: int
    prompt: Text
    text: str
    program: str
    outcome: str
    checks_passed: int
    checks_total: int
    cpu_s: float
    n_tokens: int | None  # None: the server that wrote it does not report it
    finished: bool

    @property
    def passed(self) -> bool:
        return self.outcome == "pass"


@dataclass(frozen=True, slots=True)
class Source:
    """The sample that an answer was: enough to find it again in the run that drew it."""

    index: int
    seed: int
    outcome: str
    checks_passed: int
    checks_total: int
    n_tokens: int | None

    @classmethod
    def of(cls, answer: Answer) -> Source:
        return cls(*(getattr(answer, f.name) for f in fields(cls)))


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to `prompt`, of which `chosen` is preferred; `reason` gives the observations behind that."""

    problem_id: str
    kind: Kind
    prompt: Text
    chosen: str
    rejected: str
    reason: str = ""
    chosen_source: Source | None = None
    rejected_source: Source | None = None


@dataclass(frozen=True, slots=True)
class LabeledCompletion:
    """One answer that is good or bad by itself, as KTO uses them."""

    problem_id: str
    prompt: Text
    completion: str
    good: bool
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class Preferences:
    """Pairs or labelled answers to learn from; `evaluation` is held out by problem. `dropped` counts by reason."""

    kept: tuple[Pair, ...] | tuple[LabeledCompletion, ...]
    sha256: str
    origin: str
    dropped: dict[str, int] = field(default_factory=dict)
    evaluation: Preferences | None = None

    @property
    def paired(self) -> bool:
        return all(isinstance(row, Pair) for row in self.kept)

    def pairs(self) -> tuple[Pair, ...]:
        return tuple(row for row in self.kept if isinstance(row, Pair))

    def opinions(self) -> tuple[LabeledCompletion, ...]:
        """Return single answers with a label: a pair gives a good one and a bad one."""
        answers: list[LabeledCompletion] = []
        for row in self.kept:
            if isinstance(row, LabeledCompletion):
                answers.append(row)
                continue
            good = LabeledCompletion(row.problem_id, row.prompt, row.chosen, True, row.chosen_source)
            bad = LabeledCompletion(row.problem_id, row.prompt, row.rejected, False, row.rejected_source)
            answers += [good, bad]
        return tuple(answers)

    def counts(self) -> str:
        """Return how much was read, kept and dropped, and why, as text."""
        what = "pairs" if self.paired else "opinions"
        problems = len({row.problem_id for row in self.kept})
        text = f"{len(self.kept)} {what} on {problems} problems from {self.origin}"
        if self.evaluation is not None:
            text += f", {len(self.evaluation.kept)} more held out"
        return text + "".join(f"; {n} dropped: {reason}" for reason, n in self.dropped.items())


class PreferenceDataConfig(BaseModel):
    """The preferences that dpo, ipo, kto, orpo and reward models learn from."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    file: Path
    """A JSON Lines file of preferences, as `assay pairs` writes it."""
    n: Annotated[int, Field(ge=1)] | None = None
    """Take only the first lines, this many."""
    eval_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The share of the problems (`problem_id`, else the prompt) whose pairs are all held out to measure the loss on."""
    seed: Annotated[int, Field(ge=0)] = 0
    """The seed of `eval_fraction`."""


def write_preferences(
    path: Path, rows: Sequence[Pair | LabeledCompletion], provenance: dict[str, Any]
) -> None:
    """Write all lines or none: a kill leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with publish(path) as part, part.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(as_row(row, provenance), ensure_ascii=False, allow_nan=False) + "\n")


def load_preferences(config: PreferenceDataConfig, *, paired: bool = True) -> Preferences:
    """Return the preferences in a file. With `paired` every line must be a pair. Raises DataError that names file, line
    and field."""
    rows, dropped = _read(config.file, config.n)
    if paired and (
        single := next((i for i, row in enumerate(rows, 1) if isinstance(row, LabeledCompletion)), None)
    ):
        raise DataError(
            f"{config.file}: line {single} is a single answer with a label; this method learns from pairs (chosen and "
            "rejected), only kto takes single answers"
        )
    if len({type(row) for row in rows}) > 1:
        raise DataError(f"{config.file}: holds both pairs and single answers; keep them in two files")
    kept, held_out = _hold_out(rows, config.eval_fraction, config.seed, config.file)
    origin, evaluation = str(config.file), None
    if held_out:
        evaluation = Preferences(
            tuple(held_out),  # type: ignore[arg-type]  # all of one kind, as checked above
            content_sha256(held_out),
            f"{config.eval_fraction:g} of {origin}",
        )
    return Preferences(
        tuple(kept),  # type: ignore[arg-type]
        content_sha256(kept, held_out),
        origin,
        dropped,
        evaluation,
    )


def _read(path: Path, limit: int | None) -> tuple[list[Pair | LabeledCompletion], dict[str, int]]:
    rows: list[Pair | LabeledCompletion] = []
    seen: set[str] = set()
    dropped: Counter[str] = Counter()
    for number, line in read_objects(path):
        if limit is not None and len(rows) >= limit:
            break
        if isinstance(line, LineError):
            raise DataError(f"{path}:{number}: {line.problem}")
        row = _row(line, f"{path}:{number}")
        key = content_sha256([row])
        if key in seen:
            dropped["came twice"] += 1
        elif isinstance(row, Pair) and row.chosen == row.rejected:
            dropped["chosen and rejected are the same"] += 1
        else:
            seen.add(key)
            rows.append(row)
    if not rows:
        raise DataError(f"{path} gives no preference: {dict(dropped) or 'it is empty'}")
    return rows, dict(dropped)


def _row(value: dict[str, Any], where: str) -> Pair | LabeledCompletion:
    prompt = _prompt(value, where)
    problem = value.get("problem_id")
    problem_id = (
        str(problem) if problem is not None else hashlib.sha256(repr(prompt).encode()).hexdigest()[:16]
    )
    if "chosen" in value or "rejected" in value:
        chosen, rejected = (_answer(value, name, prompt, where) for name in ("chosen", "rejected"))
        kind = value.get("kind", "given")
        return Pair(
            problem_id, kind if kind in ("execution", "quality") else "given", prompt, chosen, rejected
        )
    if not isinstance(value.get("label"), bool):
        raise DataError(
            f"{where}: label: true or false is needed beside `completion` (got {value.get('label')!r}); a pair has "
            "`chosen` and `rejected`"
        )
    return LabeledCompletion(problem_id, prompt, _answer(value, "completion", prompt, where), value["label"])


def _prompt(value: dict[str, Any], where: str) -> Text:
    prompt = value.get("prompt")
    if isinstance(prompt, str) and prompt:
        return prompt
    if isinstance(prompt, list) and prompt and all(_is_message(m) for m in prompt):
        return tuple({"role": m["role"], "content": m["content"]} for m in prompt)
    raise DataError(
        f"{where}: prompt: a text or a list of messages (role, content) is needed (got {prompt!r:.60})"
    )


def _answer(value: dict[str, Any], name: str, prompt: Text, where: str) -> str:
    """Return the answer's text: a text, or where the prompt is a chat also one assistant message."""
    answer = value.get(name)
    if isinstance(answer, str) and answer:
        return answer
    if isinstance(prompt, str):
        raise DataError(f"{where}: {name}: a text is needed where the prompt is one (got {answer!r:.60})")
    match answer:
        case [{"role": "assistant", "content": str(content)}]:
            return content
    raise DataError(
        f"{where}: {name}: one assistant message is needed where the prompt is a chat (got {answer!r:.60})"
    )


def _is_message(value: Any) -> bool:
    match value:
        case {"role": str(), "content": str()}:
            return True
    return False


def _hold_out(
    rows: Sequence[Pair | LabeledCompletion], fraction: float | None, seed: int, path: Path
) -> tuple[list[Pair | LabeledCompletion], list[Pair | LabeledCompletion]]:
    """Return (kept, held out), split by problem in the order of a hash, so that adding problems moves few others."""
    if fraction is None:
        return list(rows), []
    problems = sorted(
        {row.problem_id for row in rows}, key=lambda p: hashlib.sha256(f"{seed}/{p}".encode()).digest()
    )
    size = max(1, round(fraction * len(problems)))
    if size >= len(problems):
        raise DataError(
            f"{path}: eval_fraction = {fraction:g} of {len(problems)} problems would leave none to train on"
        )
    held_out = set(problems[:size])
    kept = [row for row in rows if row.problem_id not in held_out]
    return kept, [row for row in rows if row.problem_id in held_out]


def as_examples(rows: Iterable[Pair | LabeledCompletion]) -> list[dict[str, Any]]:
    """Return rows of a datasets.Dataset as TRL's trainers take them."""
    keep = ("prompt", "chosen", "rejected", "completion", "label")
    return [{k: v for k, v in as_row(row, {}).items() if k in keep} for row in rows]


def as_row(row: Pair | LabeledCompletion, provenance: dict[str, Any]) -> dict[str, Any]:
    """Return the line of a file."""
    prompt: Any = row.prompt if isinstance(row.prompt, str) else list(row.prompt)

    def answer(text: str) -> Any:
        return text if isinstance(prompt, str) else [{"role": "assistant", "content": text}]

    known = {"problem_id": row.problem_id, **provenance}
    if isinstance(row, LabeledCompletion):
        judged = {"completion": answer(row.completion), "label": row.good}
        sources = {"sample": row.source}
    else:
        judged = {"chosen": answer(row.chosen), "rejected": answer(row.rejected)}
        judged |= {"kind": row.kind, "why": row.reason}
        sources = {"chosen_sample": row.chosen_source, "rejected_sample": row.rejected_source}
    samples = {name: None if source is None else asdict(source) for name, source in sources.items()}
    return {"prompt": prompt, **judged, **known, **samples}


def content_sha256(
    rows: Sequence[Pair | LabeledCompletion], held_out: Sequence[Pair | LabeledCompletion] = ()
) -> str:
    """Return the hash of what is learned from, in order: prompts, answers and which is preferred; not their origin."""
    digest = hashlib.sha256()
    for group in (rows, held_out):
        for row in group:
            answers = [row.chosen, row.rejected] if isinstance(row, Pair) else [row.completion, row.good]
            digest.update(json.dumps([row.prompt, *answers], ensure_ascii=False).encode() + b"\n")
        digest.update(b"--\n")
    return digest.hexdigest()
