"""Runs untrusted programs and says how each ended. Knows nothing of models; usable by itself.

with Sandbox(workers=2) as sandbox:
    for verdict in sandbox.run(programs):
        print(verdict.id, verdict.outcome, verdict.detail)
"""

from sandbox.box import Sandbox
from sandbox.cells import DockerOptions
from sandbox.errors import CellError, ControlError, IsolationError, SandboxError
from sandbox.isolation import Isolation, Piece
from sandbox.model import Limits, Mode, Outcome, Program, Verdict
from sandbox.probe import probe
from sandbox.selfcheck import Row, selfcheck

__all__ = [
    "CellError",
    "ControlError",
    "DockerOptions",
    "Isolation",
    "IsolationError",
    "Limits",
    "Mode",
    "Outcome",
    "Piece",
    "Program",
    "Row",
    "Sandbox",
    "SandboxError",
    "Verdict",
    "probe",
    "selfcheck",
]
