"""The checks of a problem as the judge's cell keeps them: compiled once for all its samples."""

from __future__ import annotations

import functools
import json
import types

from assay.sandbox.cell import runner, wire

CACHED_CHECKS = 256


@functools.lru_cache(maxsize=1024)
def _compiled(source: bytes, filename: str) -> types.CodeType:
    """Checks that problems have in common, such as the rules by which answers are compared, are compiled once."""
    return runner.compile_source(source, filename)


class Checks:
    """A prelude and checks, compiled once in the server for all samples of a problem."""

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
        self.prelude = runner.compile_source(prelude, "<prelude>") if prelude else None
        self.checks = [self._compile(check, f"<check {number}>") for number, check in enumerate(checks, 1)]

    @staticmethod
    def _compile(source: bytes, filename: str) -> types.CodeType | bytes:
        try:
            return _compiled(source, filename)
        except Exception:
            return source  # running it raises the same again, where it is reported


class Cache:
    """The checks seen last, by their bytes."""

    def __init__(self) -> None:
        self._known: dict[bytes, Checks] = {}

    def get(self, body: bytes) -> Checks:
        checks = self._known.get(body)
        if checks is None:
            while len(self._known) >= CACHED_CHECKS:
                del self._known[next(iter(self._known))]
            checks = self._known[body] = Checks(body)
        return checks
