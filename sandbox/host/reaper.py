"""A process that outlives the holder of Docker cells and removes what a killed holder leaves in the engine.

Containers end with their holder by themselves. One that was created and not yet started would stay; and a request that
was under way when the holder was killed may make another a moment later.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import subprocess
import sys
import threading
import time
from pathlib import Path

import assay

LABEL = "assay.holder"

_HOLDER = secrets.token_hex(8)
# The folder that holds the package: the name by which this module is started must be found from anywhere.
_ROOT = Path(assay.__file__).parent.parent
_LOOKS = 4
_PAUSE_S = 0.5

_lock = threading.Lock()
_started: list[subprocess.Popen[bytes]] = []
_open: set[str] = set()


def labels() -> dict[str, str]:
    """Return the label by which this process's containers are recognised."""
    return {LABEL: f"{os.getpid()}-{_HOLDER}"}


def start() -> None:
    """Start the reaper of this process, if there is none; to be called before a container is created."""
    with _lock:
        if any(reaper.poll() is None for reaper in _started):
            return
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        reaper = subprocess.Popen(
            [sys.executable, "-P", "-m", "assay.sandbox.host.reaper", labels()[LABEL]],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        _started[:] = [reaper]
        atexit.register(_stop, reaper)


def opened(container: str) -> None:
    _open.add(container)


def closed(container: str) -> None:
    _open.discard(container)


def _stop(reaper: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        reaper.communicate(b"" if _open else b".")


def main() -> None:
    """Wait until the holder has gone, which closes standard input; without a word from it, clean up."""
    holder = sys.argv[1]
    if sys.stdin.buffer.read(1):
        return

    import docker.errors  # not before it is needed: this process may wait for days

    from assay.sandbox.host.docker_client import connect

    with contextlib.closing(connect()) as client:
        for _ in range(_LOOKS):
            for container in client.containers(all=True, filters={"label": f"{LABEL}={holder}"}):
                with contextlib.suppress(docker.errors.APIError):
                    client.remove_container(container["Id"], v=True, force=True)
            time.sleep(_PAUSE_S)


if __name__ == "__main__":
    main()
