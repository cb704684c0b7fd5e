"""The Docker backend: the same cells, each process 1 of a hardened container that lives as long as the sandbox.

The host speaks to a cell through the container's stdin and stdout, with one attached connection each; when the host
goes, stdin closes, the cell ends and the engine removes the container. The two cells of a pair find each other over
a socket in a small volume of their own. A reaper removes what is left in the engine if the host is killed.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from typing import Any

import docker
import docker.errors
import docker.types

from assay.sandbox.cell import seccomp
from assay.sandbox.cell.outside import frame
from assay.sandbox.errors import CellError, IsolationError, SandboxError
from assay.sandbox.host import image, reaper
from assay.sandbox.host.cells import (
    ENVIRONMENT,
    SCRATCH_BYTES,
    Cell,
    CellOptions,
    DockerOptions,
    StepFailedError,
    ended_on_error,
    spec_of,
)
from assay.sandbox.host.docker_client import REMEDY, connect
from assay.sandbox.host.isolation import Isolation, from_report, unavailable
from assay.sandbox.host.layout import BOOT, host_layout
from assay.sandbox.model import Mode

# Ids for samples, which belong to nobody: above what hosts give out, or within what an engine maps that runs in a
# user namespace of its own (65,536 ids).
_IDS, _MAPPED_IDS = range(1 << 30, 1 << 31), range(10_000, 65_000)
_PEER_FOLDER = "/peer"
_STDOUT = 1
_DESCRIPTORS = {"control": 1, "incoming": 0, "peer": -1}
_HEADER = struct.Struct("!BxxxI")
_END_TIMEOUT_S = 10.0
_SERVER_BYTES = 96 << 20
# What a cell's server may lock for itself (see `assay.sandbox.cell.hotpages`); samples may lock nothing.
_LOCKED_BYTES = 8 << 20
_HARDENING = (
    "Docker: no network, read-only root, no capabilities, no new privileges, a user of its own, "
    "limits on memory, processes and CPUs"
)
_images_lock = threading.Lock()


class Attached:
    """A container's stdin and stdout as one channel. The engine frames what it sends: a header of 8 bytes that
    says which stream and how long."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._framed = bytearray()
        self._left, self._stream = 0, 0  # of the frame that is being read: bytes to come, and whose they are

    def fileno(self) -> int:
        return self._connection.fileno()

    def send(self, data: bytes | bytearray) -> int:
        with _never_blocking():
            return self._connection.send(data)

    def recv(self, size: int) -> bytes:
        """Bytes of the container's stdout; none at its end. Raises BlockingIOError where none of them have come."""
        with _never_blocking():
            data = self._connection.recv(size)
        if not data:
            return b""
        self._framed += data
        output = bytearray()
        while self._framed:
            if self._left:
                piece = self._framed[: self._left]
                del self._framed[: len(piece)]
                self._left -= len(piece)
                if self._stream == _STDOUT:
                    output += piece
            elif len(self._framed) >= _HEADER.size:
                self._stream, self._left = _HEADER.unpack_from(self._framed)
                del self._framed[: _HEADER.size]
            else:
                break
        if not output:
            raise BlockingIOError("no output of the cell's yet")
        return bytes(output)

    def shutdown(self, how: int) -> None:
        self._connection.shutdown(how)

    def close(self) -> None:
        self._connection.close()


@contextlib.contextmanager
def _never_blocking() -> Iterator[None]:
    """An engine that is reached over TLS says in words of its own that it would have to wait."""
    try:
        yield
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
        raise BlockingIOError(str(error)) from error


def ensure_image(client: docker.APIClient, options: CellOptions) -> str:
    """The image of this machine's interpreter, made when the engine does not have it yet (a few seconds)."""
    packages = {name: _version_of(name) for name in options.packages}
    tag = image.tag_of(options.layout, packages)
    name = f"{image.REPOSITORY}:{tag}"
    with _images_lock:
        if not client.images(name=name, quiet=True):
            client.import_image_from_data(image.build(options.layout), repository=image.REPOSITORY, tag=tag)
    return name


def _version_of(package: str) -> str:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    return ""


def start_cells(
    options: CellOptions, mode: Mode, docker_options: DockerOptions
) -> tuple[list[Cell], Isolation]:
    """The cells of one mode, each in a container of its own. IsolationError or CellError where that fails."""
    with contextlib.closing(connect()) as client:
        reaper.start()
        try:
            name = docker_options.image or ensure_image(client, options)
            if mode == "shared":
                cells = [_start(client, name, options, docker_options, {})[1].wait_ready()]
            else:
                cells = _start_pair(client, name, options, docker_options)
        except StepFailedError as error:
            raise CellError(f"{error}{_hint(docker_options, mode)}") from error
        except docker.errors.DockerException as error:
            raise CellError(f"the Docker engine refused to start a cell: {error}") from error
    report = cells[0].report | {
        "container": _HARDENING + (f", runtime {docker_options.runtime}" if docker_options.runtime else "")
    }
    isolation = from_report("docker", report)
    with ended_on_error(cells):
        if isolation.level != "full":
            raise IsolationError(
                f"{isolation.label}: the cell is not process 1 of its container, or has no filter"
            )
    return cells, isolation


def _hint(docker_options: DockerOptions, mode: Mode) -> str:
    if docker_options.runtime is None or mode == "shared":
        return ""
    return (
        f". Judge and candidate meet at a socket in a volume that both containers have; where the runtime "
        f"{docker_options.runtime!r} keeps them apart (gVisor does), use mode 'shared', or the default runtime"
    )


def _start_pair(
    client: docker.APIClient, name: str, options: CellOptions, docker_options: DockerOptions
) -> list[Cell]:
    """The judge's container has a small volume, in which it listens, and the candidate's has it too. A volume without
    a name is removed by the engine together with the last container that has it, whoever lives or dies here."""
    container, judge = _start(client, name, replace(options, role="judge"), docker_options, _own_volume())
    with ended_on_error([judge]):
        volume = {"volumes_from": [f"{container}:ro"]}
        _, candidate = _start(client, name, replace(options, role="candidate"), docker_options, volume)
        with ended_on_error([candidate]):
            return [judge.wait_ready(), candidate.wait_ready()]


def _own_volume() -> dict[str, Any]:
    driver = docker.types.DriverConfig(
        "local", {"type": "tmpfs", "device": "tmpfs", "o": "size=64k,mode=1777"}
    )
    mount = docker.types.Mount(_PEER_FOLDER, None, type="volume", no_copy=True, driver_config=driver)
    return {"mounts": [mount]}


def _start(
    client: docker.APIClient,
    name: str,
    options: CellOptions,
    docker_options: DockerOptions,
    volume: dict[str, Any],
) -> tuple[str, Cell]:
    """A container and its cell. `volume` is the part of its host configuration that a pair meets in, if any."""
    spec = spec_of(options) | {
        "peer_path": f"{_PEER_FOLDER}/s" if volume else "",
        "readable": ["/usr", "/lib", "/lib64", "/packages", *options.layout.binds],
        "scratch_folder": "/tmp",
    }
    container = client.create_container(
        name,
        [
            docker_options.interpreter or options.layout.interpreter,
            "-S",
            "-s",
            "-P",
            BOOT,
        ],
        stdin_open=True,
        user=_user(client),
        hostname="cell",
        environment=ENVIRONMENT | ({} if docker_options.interpreter else options.layout.environment),
        labels=reaper.labels(),
        working_dir="/tmp",
        host_config=_host_config(client, options, docker_options, volume),
    )["Id"]
    reaper.opened(container)
    try:
        attached = client.attach_socket(container, params={"stdin": 1, "stdout": 1, "stream": 1})
        connection = getattr(attached, "_sock", attached)
        client.start(container)
    except BaseException:
        with contextlib.suppress(docker.errors.APIError):  # one that ended is being removed
            client.remove_container(container, v=True, force=True)
        reaper.closed(container)
        raise
    cell = Cell(Attached(connection), _End(container, attached).wait)
    with ended_on_error([cell]):
        cell.send_bytes(frame(json.dumps(spec).encode()) + frame(json.dumps(_DESCRIPTORS).encode()))
    return container, cell


def _user(client: docker.APIClient) -> str:
    """A user that no other container has: the kernel counts processes (RLIMIT_NPROC) by user across containers, so
    that with a common one a sample's neighbours would use up what it may start."""
    features = _features(client.info())
    ids = _MAPPED_IDS if "name=rootless" in features or "name=userns" in features else _IDS
    return "{0}:{0}".format(secrets.choice(ids))


def _host_config(
    client: docker.APIClient, options: CellOptions, docker_options: DockerOptions, volume: dict[str, Any]
) -> dict[str, Any]:
    memory = options.memory_bytes + _SERVER_BYTES
    info = client.info()
    config: dict[str, Any] = client.create_host_config(
        auto_remove=True,
        network_mode="none",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges", *_seccomp_options(info)],
        ulimits=_ulimits(info),
        pids_limit=options.processes,
        mem_limit=memory,
        memswap_limit=memory,
        nano_cpus=round(min(docker_options.cpus, info["NCPU"]) * 1e9),
        tmpfs={"/tmp": f"rw,noexec,nosuid,nodev,size={SCRATCH_BYTES},nr_inodes=4096,mode=1777,noatime"},
        ipc_mode="none",
        log_config=docker.types.LogConfig(type="none"),
        runtime=docker_options.runtime,
        **volume,
    )
    return config


def _ulimits(info: dict[str, Any]) -> list[docker.types.Ulimit]:
    if "name=rootless" in _features(info):
        return []  # such an engine may not raise a limit of its own user's
    return [docker.types.Ulimit(name="memlock", soft=_LOCKED_BYTES, hard=_LOCKED_BYTES)]


def _features(info: dict[str, Any]) -> str:
    return ",".join(info.get("SecurityOptions") or ())


def _seccomp_options(info: dict[str, Any]) -> list[str]:
    """A profile of our own in place of the engine's.

    It is narrower than Docker's by some 150 calls: what samples may call, and what the server needs until it has put
    itself under the cell's filter, which every sample inherits. Of these io_uring is the one that newer engines'
    profiles leave out; the server sets up one ring, before any sample runs, only to pin pages, submits nothing to
    it, and the cell's filter denies io_uring from then on.
    """
    if "name=seccomp" not in _features(info):
        return []  # an engine without seccomp refuses a profile; the cell's own filter does not depend on it
    return [f"seccomp={json.dumps(seccomp.container_profile())}"]


class _End:
    """The end of a container, in a thread of its own, for the engine takes its time. The cell ends by itself when its
    stdin closes; this makes sure, and waits until the engine has removed it."""

    def __init__(self, container: str, attached: Any) -> None:
        self._container, self._attached = container, attached
        self._thread = threading.Thread(target=self._remove, name="sandbox-end", daemon=True)

    def wait(self, timeout_s: float) -> bool:
        """Return whether the container is gone, after at most `timeout_s`."""
        if self._thread.ident is None:
            self._thread.start()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _remove(self) -> None:
        self._attached._response.close()  # the SDK keeps the HTTP response that it took the socket from
        self._attached.close()
        # An engine that has gone has removed it.
        with contextlib.suppress(Exception), contextlib.closing(connect()) as client:
            with contextlib.suppress(docker.errors.APIError):
                client.kill(self._container)
            deadline = time.monotonic() + _END_TIMEOUT_S
            while _exists(client, self._container):
                if time.monotonic() > deadline:
                    with contextlib.suppress(docker.errors.APIError):
                        client.remove_container(self._container, v=True, force=True)
                    break
                time.sleep(0.02)
        reaper.closed(self._container)


def _exists(client: docker.APIClient, container: str) -> bool:
    with contextlib.suppress(docker.errors.NotFound):
        client.inspect_container(container)
        return True
    return False


def probe() -> Isolation:
    """The isolation of the Docker backend here, found by starting a cell."""
    try:
        (cell,), isolation = start_cells(CellOptions(host_layout(())), "shared", DockerOptions())
    except SandboxError as error:
        return unavailable("docker", str(error), REMEDY)
    cell.close()
    return isolation
