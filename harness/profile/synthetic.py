"""What a profiled training learns from: data of a stated length; and stand-ins for what a profile leaves out.

Every sequence is longer than it may be and is cut at its limit by the trainer itself, so that all are of one length.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.generation.batching import GenerationStats, run_batches
from harness.generation.hf import TorchEngine
from harness.generation.model import Request, Sampling
from sandbox import Outcome, Program, Verdict
from suites import load_suite
from trainers import Artifact, ArtifactKind, Records, TrainingRecord
from trainers.data.model import Message
from trainers.preference.model import Pair, Preferences
from trainers.rl.rollout import Exercise
from trainers.rl.sampler import Ask, Drawn

ORIGIN = "synthetic text of a stated length"
_SHA256 = hashlib.sha256(ORIGIN.encode()).hexdigest()
_VOCABULARY = 300  # of the stand-in tokenizer: bytes, special tokens and few merges


def stand_in(config: dict[str, Any], folder: Path) -> Artifact:
    """A base without weights: the configuration, and a small tokenizer whose ids lie within its vocabulary."""
    from trainers.pocket.tokenizer import train_tokenizer

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    train_tokenizer([_text(0, 64)], _VOCABULARY).save_pretrained(str(folder))
    return Artifact(ArtifactKind.BASE, folder, _SHA256)


def chats(rows: int, tokens: int) -> Records:
    """Chats of at least `tokens` tokens each, nearly all of them the assistant's."""
    kept = tuple(
        TrainingRecord(
            (Message("user", "count"), Message("assistant", _text(row, tokens))), f"synthetic:{row}"
        )
        for row in range(rows)
    )
    return Records(kept, rows, _SHA256, origin=ORIGIN)


def pairs(rows: int, tokens: int) -> Preferences:
    """Pairs whose two sequences have at least `tokens` tokens each."""
    kept = tuple(
        Pair(str(row), "given", "count ", _text(row, tokens), _text(row + rows, tokens))
        for row in range(rows)
    )
    return Preferences(kept, _SHA256, ORIGIN)


def exercises(count: int) -> list[Exercise]:
    """Problems to ask about; a row of random tokens is asked in place of each one's prompt, by its number."""
    problems = load_suite("pocket", split="train", limit=count).problems
    return [Exercise(problem, str(row), problem.checks) for row, problem in enumerate(problems)]


def _text(row: int, tokens: int) -> str:
    """At least one token a word, in any tokenizer."""
    return " ".join(str(row + n) for n in range(tokens))


class Endless:
    """An engine on which nothing ends a sample but its length, and whose prompts are rows of tokens by number."""

    def __init__(self, engine: Any, vocabulary: int, rows: list[list[int]]) -> None:
        self._rows = rows
        self.end_ids: frozenset[int] = frozenset()
        self.pieces = [b""] * vocabulary
        self.context = engine.context
        self.begin, self.admit, self.step, self.remove = (
            engine.begin,
            engine.admit,
            engine.step,
            engine.remove,
        )

    def encode(self, text: str) -> list[int]:
        return list(self._rows[int(text)])


class EndlessSampler:
    """A policy's sampler (trainers.rl) whose answers all have the length they may have."""

    def __init__(self, model: Any, rows: list[list[int]]) -> None:
        self.engine = TorchEngine(model, None)
        self._rows = rows
        self._endless = Endless(self.engine, self.engine.vocabulary, rows)

    def draw(
        self, asks: Iterable[Ask], *, temperature: float, max_new_tokens: int, stop: tuple[str, ...] = ()
    ) -> Iterator[Drawn]:
        requests = [Request(str(a.key), a.key, a.prompt, a.seed) for a in asks]
        sampling = Sampling(temperature=temperature, max_new_tokens=max_new_tokens)
        for sample in run_batches(self._endless, requests, sampling, len(requests), GenerationStats()):
            prompt = tuple(self._rows[int(sample.prompt)])
            yield Drawn(sample.index, prompt, sample.token_ids, sample.completion, ended=False)


class Unjudged:
    """In the sandbox's place: every answer fails. Programs run in processes of their own, which a profile of the
    training's memory does not hold, and which a machine that cannot isolate could not run."""

    def run(self, programs: Iterable[Program]) -> Iterator[Verdict]:
        for program in programs:
            yield Verdict(program.id, Outcome.FAIL, "not executed: a profile", 0, len(program.checks))
