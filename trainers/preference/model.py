"""The nouns of preference data: an answer that was executed, a pair of answers, and what was read of a file.

A pair's line in a file is TRL's own shape (prompt, chosen, rejected; or prompt, completion, label) with its provenance
beside it, so that the file serves any trainer and says where each line came from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Text = str | tuple[dict[str, str], ...]  # a bare text, or the messages of a chat
Kind = Literal["execution", "quality", "given"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One sampled answer and how its program ended. `prompt` is what was asked, as text or as chat messages."""

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
    n_tokens: int | None  # None: the server that wrote it does not tell
    finished: bool

    @property
    def passed(self) -> bool:
        return self.outcome == "pass"


@dataclass(frozen=True, slots=True)
class Source:
    """Which sample an answer was: enough to find it again in the run that drew it."""

    index: int
    seed: int
    outcome: str
    checks_passed: int
    checks_total: int
    n_tokens: int | None

    @classmethod
    def of(cls, answer: Answer) -> Source:
        return cls(
            answer.index,
            answer.seed,
            answer.outcome,
            answer.checks_passed,
            answer.checks_total,
            answer.n_tokens,
        )


@dataclass(frozen=True, slots=True)
class Pair:
    """`chosen` is preferred to `rejected` as the answer to `prompt`; `why` says by what."""

    problem_id: str
    kind: Kind
    prompt: Text
    chosen: str
    rejected: str
    why: str = ""
    chosen_source: Source | None = None
    rejected_source: Source | None = None


@dataclass(frozen=True, slots=True)
class LabeledCompletion:
    """One answer that is good or bad by itself, as KTO learns from."""

    problem_id: str
    prompt: Text
    completion: str
    good: bool
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class Preferences:
    """Pairs or opinions to learn from, `evaluation` being held out by problem. `dropped` counts by reason."""

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
        """As opinions: a pair is one good answer and one bad."""
        found: list[LabeledCompletion] = []
        for row in self.kept:
            if isinstance(row, LabeledCompletion):
                found.append(row)
            else:
                found.append(
                    LabeledCompletion(row.problem_id, row.prompt, row.chosen, True, row.chosen_source)
                )
                found.append(
                    LabeledCompletion(row.problem_id, row.prompt, row.rejected, False, row.rejected_source)
                )
        return tuple(found)

    def counts(self) -> str:
        what = "pairs" if self.paired else "opinions"
        problems = len({row.problem_id for row in self.kept})
        said = f"{len(self.kept)} {what} on {problems} problems from {self.origin}"
        if self.evaluation is not None:
            said += f", {len(self.evaluation.kept)} more held out"
        return said + "".join(f"; {n} dropped: {why}" for why, n in self.dropped.items())


def as_row(row: Pair | LabeledCompletion, provenance: dict[str, Any]) -> dict[str, Any]:
    """The line of a file."""
    prompt: Any = row.prompt if isinstance(row.prompt, str) else list(row.prompt)

    def answer(text: str) -> Any:
        return text if isinstance(prompt, str) else [{"role": "assistant", "content": text}]

    known = {"problem_id": row.problem_id, **provenance}
    if isinstance(row, LabeledCompletion):
        source = None if row.source is None else asdict(row.source)
        return {
            "prompt": prompt,
            "completion": answer(row.completion),
            "label": row.good,
            **known,
            "sample": source,
        }
    return {
        "prompt": prompt,
        "chosen": answer(row.chosen),
        "rejected": answer(row.rejected),
        "kind": row.kind,
        "why": row.why,
        **known,
        "chosen_sample": None if row.chosen_source is None else asdict(row.chosen_source),
        "rejected_sample": None if row.rejected_source is None else asdict(row.rejected_source),
    }


def content_sha256(
    rows: Sequence[Pair | LabeledCompletion], held: Sequence[Pair | LabeledCompletion] = ()
) -> str:
    """Over what is learned from, in order: prompts, answers and which is preferred; not over where they came from."""
    digest = hashlib.sha256()
    for group in (rows, held):
        for row in group:
            value = (
                [row.prompt, row.chosen, row.rejected]
                if isinstance(row, Pair)
                else [row.prompt, row.completion, row.good]
            )
            digest.update(json.dumps(value, ensure_ascii=False).encode() + b"\n")
        digest.update(b"--\n")
    return digest.hexdigest()
