"""`[data]` of dpo, ipo, kto, orpo and reward: a JSON Lines file of pairs or of single answers with a label.

A line is TRL's: `prompt`, `chosen`, `rejected`; or `prompt`, `completion`, `label` (true is good). Values are texts, or
chats as lists of messages; a chat goes through the model's own template. Other columns are read past.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from assay.trainers.errors import DataError
from assay.trainers.preference.model import LabeledCompletion, Pair, Preferences, Text, as_row, content_sha256


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
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(as_row(row, provenance), ensure_ascii=False, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def load_preferences(config: PreferenceDataConfig, *, paired: bool = True) -> Preferences:
    """The preferences in a file. With `paired` every line must be a pair. Raises DataError that names file, line and
    field."""
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
    kept, held = _hold_out(rows, config.eval_fraction, config.seed, config.file)
    origin = str(config.file)
    evaluation = _preferences(held, (), f"{config.eval_fraction:g} of {origin}") if held else None
    return _preferences(kept, held, origin, dropped, evaluation)


def _preferences(
    rows: Sequence[Pair | LabeledCompletion],
    held: Sequence[Pair | LabeledCompletion],
    origin: str,
    dropped: dict[str, int] | None = None,
    evaluation: Preferences | None = None,
) -> Preferences:
    return Preferences(
        tuple(rows),  # type: ignore[arg-type]  # of one kind, which the caller has seen to
        content_sha256(rows, held),
        origin,
        dropped or {},
        evaluation,
    )


def _read(path: Path, limit: int | None) -> tuple[list[Pair | LabeledCompletion], dict[str, int]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8: {error}") from None
    rows: list[Pair | LabeledCompletion] = []
    seen: set[str] = set()
    dropped: Counter[str] = Counter()
    for number, line in enumerate(lines, 1):
        if not line.strip() or (limit is not None and len(rows) >= limit):
            continue
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


def _row(line: str, where: str) -> Pair | LabeledCompletion:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise DataError(f"{where}: expected an object, got {type(value).__name__}")
    prompt = _prompt(value, where)
    problem = value.get("problem_id")
    identity = str(problem) if problem is not None else hashlib.sha256(repr(prompt).encode()).hexdigest()[:16]
    if "chosen" in value or "rejected" in value:
        chosen, rejected = (_answer(value, name, prompt, where) for name in ("chosen", "rejected"))
        kind = value.get("kind", "given")
        return Pair(identity, kind if kind in ("execution", "quality") else "given", prompt, chosen, rejected)
    if not isinstance(value.get("label"), bool):
        raise DataError(
            f"{where}: label: true or false is needed beside `completion` (got {value.get('label')!r}); a pair has "
            "`chosen` and `rejected`"
        )
    return LabeledCompletion(identity, prompt, _answer(value, "completion", prompt, where), value["label"])


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
    """The answer's text: of a bare prompt a text, of a chat one assistant message."""
    answer = value.get(name)
    if isinstance(prompt, str):
        if isinstance(answer, str) and answer:
            return answer
        raise DataError(f"{where}: {name}: a text is needed where the prompt is one (got {answer!r:.60})")
    if isinstance(answer, str) and answer:
        return answer
    if (
        isinstance(answer, list)
        and len(answer) == 1
        and _is_message(answer[0])
        and answer[0]["role"] == "assistant"
    ):
        return str(answer[0]["content"])
    raise DataError(
        f"{where}: {name}: one assistant message is needed where the prompt is a chat (got {answer!r:.60})"
    )


def _is_message(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("role"), str)
        and isinstance(value.get("content"), str)
    )


def _hold_out(
    rows: Sequence[Pair | LabeledCompletion], fraction: float | None, seed: int, path: Path
) -> tuple[list[Pair | LabeledCompletion], list[Pair | LabeledCompletion]]:
    """By problem, ordered by hash: adding problems moves no other from one side to the other's middle."""
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
    out = set(problems[:size])
    return [r for r in rows if r.problem_id not in out], [r for r in rows if r.problem_id in out]


def as_examples(rows: Iterable[Pair | LabeledCompletion]) -> list[dict[str, Any]]:
    """Rows of a datasets.Dataset as TRL's trainers take them."""
    keep = ("prompt", "chosen", "rejected", "completion", "label")
    return [{k: v for k, v in as_row(row, {}).items() if k in keep} for row in rows]
