"""A process that outlives the holder of Docker cells and removes what a killed one leaves in the engine.

Containers end with their holder by themselves. One that was made and not yet started would stay; and a request that
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
_employed: list[subprocess.Popen[bytes]] = []
_open: set[str] = set()


def labels() -> dict[str, str]:
    """What this process's containers are told by."""
    return {LABEL: f"{os.getpid()}-{_HOLDER}"}


def employ() -> None:
    """Start the janitor of this process, if there is none; to be called before a container is made."""
    with _lock:
        if any(janitor.poll() is None for janitor in _employed):
            return
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        janitor = subprocess.Popen(
            [sys.executable, "-P", "-m", "assay.sandbox.host.reaper", labels()[LABEL]],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        _employed[:] = [janitor]
        atexit.register(_dismiss, janitor)


def made(container: str) -> None:
    _open.add(container)


def removed(container: str) -> None:
    _open.discard(container)


def _dismiss(janitor: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        janitor.communicate(b"" if _open else b".")


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
