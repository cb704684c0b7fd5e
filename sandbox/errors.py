"""The sandbox's exceptions.

SandboxError
├── IsolationError   this machine cannot give the isolation asked for; says what is missing and what to do
├── CellError        a cell could not be started or answered nonsense
└── ControlError     the right control program did not pass, or the wrong one did
"""

from __future__ import annotations


class SandboxError(Exception):
    """Anything that keeps the sandbox from giving verdicts."""


class IsolationError(SandboxError):
    """This machine cannot give the isolation asked for; the message says what is missing and what to do."""


class CellError(SandboxError):
    """A cell could not be started, died during its start, or broke the protocol."""


class ControlError(SandboxError):
    """The start-up check failed: verdicts from this sandbox would be wrong, so none is given."""
