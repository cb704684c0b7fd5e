"""What all tests share: caches of their own, so that no test sees what another session left."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from assay.sandbox import Sandbox, SandboxError
from tests.cpu import NO_BF16, bf16_is_fast

collect_ignore = ["examples"]  # projects of their own, which tests copy and run


def pytest_configure() -> None:
    """Ctrl-C interrupts tests that send it to themselves also where the runner was started with it ignored, as a shell
    does for jobs in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@cache
def _isolation_gap() -> str:
    """Return why this machine gives less than full isolation; empty where it gives it."""
    try:
        with Sandbox(workers=1):
            return ""
    except SandboxError as error:
        return str(error)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("isolated") and (gap := _isolation_gap()):
        pytest.skip(f"this machine cannot isolate: {gap}")
    if item.get_closest_marker("bf16") and not bf16_is_fast():
        pytest.skip(NO_BF16)


@pytest.fixture(scope="session", autouse=True)
def _own_caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`ASSAY_CACHE` is empty at first, for this process and the ones it starts, and the user's key is one of tests."""
    folder = tmp_path_factory.mktemp("assay-cache")
    own = {"ASSAY_CACHE": str(folder), "XDG_STATE_HOME": str(tmp_path_factory.mktemp("assay-state"))}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    yield folder
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of the loopback that refuses connections. It is bound, so that nobody else comes to listen there."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
