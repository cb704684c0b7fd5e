"""What decides a verdict, as one hash."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
from functools import lru_cache
from typing import Any

from harness.identity import sources_sha256
from sandbox import Isolation, Program

FORMAT = 1  # raised when what is stored, or which verdicts are, changes


def sandbox_version() -> str:
    """The hash of the sandbox's own sources: verdicts of an older sandbox are never taken for this one's."""
    return sources_sha256("sandbox")


@dataclasses.dataclass(frozen=True, slots=True)
class Keys:
    """Keys of the programs that one sandbox runs: `setting` is what decides beside the program itself."""

    setting: bytes

    @classmethod
    def of(cls, isolation: Isolation, mode: str) -> Keys:
        """`mode` is the one the sandbox was opened in. The interpreter and the packages are those in its cells."""
        setting = {
            "format": FORMAT,
            "sandbox": sandbox_version(),
            "backend": isolation.backend,
            "level": isolation.level,
            "label": isolation.label,
            "python": isolation.python,
            "packages": isolation.packages,
            "machine": platform.machine(),
            "mode": mode,
        }
        return cls(hashlib.sha256(json.dumps(setting, sort_keys=True).encode()).digest())

    def key(self, program: Program) -> bytes:
        """32 bytes of everything in `program` but its id: candidate, checks, prelude, entry point, limits, mode."""
        parts = {f.name: getattr(program, f.name) for f in dataclasses.fields(program)}
        del parts["id"]
        candidate = parts.pop("candidate")
        rest = _rest(tuple(parts.items()))
        return hashlib.sha256(self.setting + rest + candidate.encode("utf-8", "surrogatepass")).digest()


@lru_cache(maxsize=4096)
def _rest(parts: tuple[tuple[str, Any], ...]) -> bytes:
    """The hash of what the samples of one problem have in common."""
    text = json.dumps(dict(parts), default=dataclasses.asdict)
    return hashlib.sha256(text.encode()).digest()
