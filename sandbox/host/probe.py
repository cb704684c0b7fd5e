"""What this machine can do, for `assay doctor`."""

from __future__ import annotations

import sys

from assay.sandbox.errors import SandboxError
from assay.sandbox.host.cells import CellOptions
from assay.sandbox.host.embedded import start_cells
from assay.sandbox.host.isolation import NAMESPACE_REMEDY, Isolation, unavailable
from assay.sandbox.host.layout import host_layout


def probe(backend: str = "embedded") -> Isolation:
    """The isolation of a backend on this machine, found by starting a cell; never raises for what is missing, it
    says so."""
    if backend == "docker":
        from assay.sandbox.host import docker

        return docker.probe()
    if sys.platform != "linux":
        return unavailable("embedded", f"this is {sys.platform}, not Linux", "use the docker backend")
    try:
        (cell,), isolation = start_cells(CellOptions(host_layout(())), "shared", allow_weak=True)
    except SandboxError as error:
        return unavailable("embedded", str(error), NAMESPACE_REMEDY)
    cell.close()
    return isolation
