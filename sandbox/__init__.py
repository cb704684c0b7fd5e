"""Run untrusted programs and say how each ended. Knows nothing of models; usable by itself.

with Sandbox(workers=2) as sandbox:
    for verdict in sandbox.run(programs):
        print(verdict.id, verdict.outcome, verdict.detail)

`Executor` takes programs one by one, beside the caller's own work, and looks them up in a `VerdictCache` first.
"""

from assay.sandbox.errors import CellError, ControlError, IsolationError, SandboxError
from assay.sandbox.host.cache import VerdictCache
from assay.sandbox.host.cells import DockerOptions
from assay.sandbox.host.executor import Executor, StandIn
from assay.sandbox.host.isolation import Isolation, Piece
from assay.sandbox.host.sandbox import Sandbox, probe
from assay.sandbox.model import Limits, Mode, Note, Outcome, Program, Verdict
from assay.sandbox.selfcheck import Row, selfcheck

__all__ = [
    "CellError",
    "ControlError",
    "DockerOptions",
    "Executor",
    "Isolation",
    "IsolationError",
    "Limits",
    "Mode",
    "Note",
    "Outcome",
    "Piece",
    "Program",
    "Row",
    "Sandbox",
    "SandboxError",
    "StandIn",
    "Verdict",
    "VerdictCache",
    "probe",
    "selfcheck",
]
