"""What this machine can do, for `assay doctor`."""

from __future__ import annotations

import sys

from sandbox.cells import CellOptions
from sandbox.embedded import start_cells
from sandbox.errors import SandboxError
from sandbox.isolation import NAMESPACE_REMEDY, Isolation, unavailable
from sandbox.layout import host_layout


def probe(backend: str = "embedded") -> Isolation:
    """The isolation of a backend on this machine, found by starting a cell; never raises for what is missing, it
    says so."""
    if backend == "docker":
        from sandbox import container

        return container.probe()
    if sys.platform != "linux":
        return unavailable("embedded", f"this is {sys.platform}, not Linux", "use the docker backend")
    try:
        (cell,), isolation = start_cells(CellOptions(host_layout(())), "shared", allow_weak=True)
    except SandboxError as error:
        return unavailable("embedded", str(error), NAMESPACE_REMEDY)
    cell.close()
    return isolation
