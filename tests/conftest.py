"""What all tests share: caches of their own, so that no test sees what another session left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`ASSAY_CACHE` is empty at first, for this process and the ones it starts."""
    folder = tmp_path_factory.mktemp("assay-cache")
    before = os.environ.get("ASSAY_CACHE")
    os.environ["ASSAY_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["ASSAY_CACHE"]
    else:
        os.environ["ASSAY_CACHE"] = before
