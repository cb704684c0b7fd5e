"""The connection to a Docker engine."""

from __future__ import annotations

import os

import docker
import docker.errors
import docker.types

from assay.sandbox.errors import IsolationError

REMEDY = (
    "start a Docker engine and let this user reach it (DOCKER_HOST, or the docker group); on Debian: "
    "apt-get install docker.io, then dockerd"
)


def connect() -> docker.APIClient:
    """A client of the engine. IsolationError, with what to do, where there is none."""
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if address.startswith("unix://") and not os.path.exists(address.removeprefix("unix://")):
        # Found out here because the SDK leaves a socket open when it finds out itself.
        raise IsolationError(f"no Docker engine: {address} does not exist; {REMEDY}")
    try:
        client = docker.from_env().api
    except (docker.errors.DockerException, OSError) as error:
        raise IsolationError(f"no Docker engine answers ({error}): {REMEDY}") from error
    try:
        client.ping()
    except (docker.errors.DockerException, OSError) as error:
        client.close()
        raise IsolationError(f"no Docker engine answers ({error}): {REMEDY}") from error
    return client
