"""Loads the pocket suite; `build.py` says where its problems come from."""

from __future__ import annotations

import gzip
import hashlib
import json
from functools import lru_cache
from pathlib import Path

from suites import SUITES, SuiteError
from suites.model import Problem, Suite
from suites.pocket.build import file_of
from suites.pocket.problems import SPLITS, Split

# A bare completion has left the function where a line begins unindented.
STOP = ("\ndef ", "\nclass ", "\nassert", "\nprint", "\n#", "\nif ")


@lru_cache
def _suite(split: Split) -> Suite:
    content = gzip.decompress(file_of(split).read_bytes())
    rows = [json.loads(line) for line in content.splitlines()]
    problems = tuple(Problem(**row | {"checks": tuple(row["checks"])}) for row in rows)
    return Suite("pocket", hashlib.sha256(content).hexdigest(), problems, STOP)


@SUITES.register("pocket")
def load(*, path: Path | None, split: str | None) -> Suite:
    """Split dev or test (the default); `train` has 2,000 to practise on."""
    if path is not None:
        raise SuiteError(f"suite 'pocket' carries its own problems and reads no file, got path {str(path)!r}")
    for known in SPLITS:
        if known == (split or "test"):
            return _suite(known)
    raise SuiteError(f"suite 'pocket' has no split {split!r}; known: {', '.join(SPLITS)}")
