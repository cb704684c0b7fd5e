from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.engine import docker_engine


@pytest.fixture(scope="session")
def engine() -> Iterator[None]:
    """A Docker engine, or a skip. Its folder has a short name: a UNIX socket's path may have 107 bytes."""
    with (
        tempfile.TemporaryDirectory(prefix="assay-dk-", ignore_cleanup_errors=True) as folder,
        docker_engine(Path(folder)),
    ):
        yield
