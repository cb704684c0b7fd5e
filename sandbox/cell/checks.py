"""The checks of a problem as the judge's cell keeps them: compiled once for all its samples."""

from __future__ import annotations

import ast
import functools
import itertools
import json
import types
from dataclasses import replace

from assay.sandbox.cell import order, runner, wire
from assay.sandbox.cell.wire import QuestionOrder

CACHED_CHECKS = 256
_CACHED_BYTES = 16 << 20  # of their sources; compiled they may take several times as much
LONGEST_SHARED = 64 << 10


_compiled_once = functools.lru_cache(maxsize=1024)(runner.compile_source)


def _compiled(source: bytes, filename: str) -> types.CodeType:
    """Checks that problems have in common, such as the rules by which answers are compared, are compiled once."""
    compiled = _compiled_once if len(source) <= LONGEST_SHARED else runner.compile_source
    return compiled(source, filename)


Step = tuple[int, "types.CodeType | bytes"]  # the number of a check, from 1 on, and a part of it to run


class Checks:
    """A prelude and checks, compiled once in the server for all samples of a problem; `plan` says in which orders the
    checks can be asked."""

    def __init__(self, body: bytes) -> None:
        prelude, needs, *checks = wire.split(body)
        self.sources = [prelude, *checks]
        self.pure: bool | None = None  # once it is known, see `resident`
        needed = json.loads(needs)
        self.names: list[str] = needed["names"]
        self.values: frozenset[str] = frozenset(needed["values"])
        self.carried: frozenset[str] = frozenset(needed["carried"])
        self.passes_stop = any(
            b"StopIteration" in source or b"StopAsync" in source for source in self.sources
        )
        self._first_run: int = needed["first_run"]
        self._is_compiled = False
        self.prelude: types.CodeType | None = None
        self.plan = order.kept("nothing is compiled yet")
        self.checks: list[types.CodeType | bytes] = []
        self._heads: dict[int, types.CodeType] = {}
        self._as_written: list[Step] = []

    def compile(self) -> None:
        """Compile what is not compiled; in whoever runs it, or in the server that forks those who do."""
        if self._is_compiled:
            return
        prelude, *checks = self.sources
        if prelude:
            self.prelude = runner.compile_source(prelude, "<prelude>")
        if self.carried:
            plan = order.kept(
                "what a question leaves in its surroundings may be part of the next one's answer"
            )
        else:
            texts = [check.decode("utf-8", "replace") for check in checks]
            plan = order.plan(texts, self.values.union(self.names), self._first_run)
        self.checks = [self._compile(number, check, plan.trees) for number, check in enumerate(checks, 1)]
        self._heads = {
            position: compile(tree, f"<check {position + 1}>", "exec")
            for position, tree in plan.heads.items()
        }
        self.plan = replace(plan, trees={}, heads={})
        self._as_written = self._arranged(QuestionOrder())
        self._is_compiled = True

    def _compile(self, number: int, source: bytes, trees: dict[int, ast.Module]) -> types.CodeType | bytes:
        filename = f"<check {number}>"
        try:
            tree = trees.get(number - 1)
            return _compiled(source, filename) if tree is None else compile(tree, filename, "exec")
        except Exception:
            return source  # running it raises the same again, where it is reported

    def steps(self, drawn: QuestionOrder) -> list[Step]:
        """Return what to run, in the order that was drawn."""
        return self._arranged(drawn) if drawn.number and self.plan.runs else self._as_written

    def _arranged(self, drawn: QuestionOrder) -> list[Step]:
        positions = list(range(len(self.checks)))
        steps: dict[int, list[Step]] = {
            position: [(position + 1, self.checks[position])] for position in positions
        }
        for run in self.plan.runs:
            chosen = order.draw(run.keys, drawn.number, drawn.turn) if drawn.number else range(len(run.keys))
            heads = [
                (position + 1, self._heads[position]) for position in run.positions if position in self._heads
            ]
            parts = [(run.positions[i] + 1, self.checks[run.positions[i]]) for i in chosen]
            for position in run.positions:
                steps[position] = []
            steps[run.positions[0]] = [*heads, *parts]
        return list(itertools.chain.from_iterable(steps[position] for position in positions))


class Cache:
    """The checks seen last, by their bytes."""

    def __init__(self) -> None:
        self._known: dict[bytes, Checks] = {}
        self._bytes = 0

    def get(self, body: bytes) -> Checks:
        checks = self._known.get(body)
        if checks is None:
            self._bytes += len(body)
            while self._known and (len(self._known) >= CACHED_CHECKS or self._bytes > _CACHED_BYTES):
                oldest = next(iter(self._known))
                self._bytes -= len(oldest)
                del self._known[oldest]
            checks = self._known[body] = Checks(body)
        return checks
