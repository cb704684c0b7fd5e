"""A Docker engine for tests: the one that answers, else one started here for the tests' duration."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.sandbox import SandboxError

_START_TIMEOUT_S = 30


@contextlib.contextmanager
def docker_engine(folder: Path) -> Iterator[None]:
    """Make DOCKER_HOST point to an engine that answers; skip, saying why, where none can be had."""
    from assay.sandbox.host.docker_client import connect

    try:
        connect().close()
    except SandboxError as error:
        why = str(error)
    else:
        yield
        return
    if os.geteuid() != 0 or not shutil.which("dockerd"):
        pytest.skip(
            f"NO DOCKER ENGINE, the Docker backend is NOT tested: {why}; as root with dockerd one is started"
        )
    address = f"unix://{folder}/docker.sock"
    with (folder / "log").open("w") as log, _daemon(folder, address, log) as daemon:
        previous = os.environ.get("DOCKER_HOST")
        os.environ["DOCKER_HOST"] = address
        try:
            _wait_until_it_answers(daemon, folder)
            yield
        finally:
            if previous is None:
                del os.environ["DOCKER_HOST"]
            else:
                os.environ["DOCKER_HOST"] = previous


@contextlib.contextmanager
def _daemon(folder: Path, address: str, log: object) -> Iterator[subprocess.Popen[bytes]]:
    """dockerd without an init system, a network bridge or a firewall: cells have no network anyway."""
    options = (
        f"-H {address} --data-root {folder}/data --exec-root {folder}/exec --pidfile {folder}/pid --bridge=none "
        "--iptables=false --ip6tables=false --ip-masq=false --userland-proxy=false "
        "--exec-opt native.cgroupdriver=cgroupfs"
    )
    process = subprocess.Popen(
        ["dockerd", *options.split()],
        stdout=log,  # type: ignore[call-overload]
        stderr=log,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_it_answers(daemon: subprocess.Popen[bytes], folder: Path) -> None:
    from assay.sandbox.host.docker_client import connect

    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            connect().close()
            return
        except SandboxError as error:
            if daemon.poll() is not None or time.monotonic() > deadline:
                log = (folder / "log").read_text()[-500:]
                pytest.skip(
                    f"DOCKERD DID NOT START, the Docker backend is NOT tested: {error}; its log ends: {log}"
                )
            time.sleep(0.1)


@pytest.fixture(scope="session")
def engine() -> Iterator[None]:
    """A Docker engine, or a skip. Its folder has a short name: a UNIX socket's path may have 107 bytes."""
    with (
        tempfile.TemporaryDirectory(prefix="assay-dk-", ignore_cleanup_errors=True) as folder,
        docker_engine(Path(folder)),
    ):
        yield
