"""The exceptions of the harness, and the one table that turns every package's exceptions into exit codes.

AssayError              1
├── CheckFailedError    1  a check or gate did not hold
├── UnmeasuredError     2  a measurement was required and could not be made
├── BadInputError       3  a file, flag or configuration value is wrong
│   └── UnreachableError   what was named lies on a hub that does not answer, or that must not be contacted
└── MissingToolError    4  this machine cannot do it; the message says what to install

Errors of `assay.sandbox`, `assay.suites` and `assay.trainers` cross the layers as they are: nothing re-raises them as
one of these. `exit_code_of` gives the code of any of them, and `message_of` the line that a person reads.
"""

from __future__ import annotations

CHECK_FAILED, UNMEASURED, BAD_INPUT, MISSING_TOOL = 1, 2, 3, 4


class AssayError(Exception):
    """Any failure that is reported in one line, without a traceback."""


class CheckFailedError(AssayError):
    pass


class UnmeasuredError(AssayError):
    pass


class BadInputError(AssayError):
    pass


class UnreachableError(BadInputError):
    pass


class MissingToolError(AssayError):
    pass


def exit_codes() -> tuple[tuple[type[Exception], int], ...]:
    """Return (class, exit code) in order: an error has the code of the first class that it is an instance of.

    The classes of the other packages are imported here, so that a module that only raises loads none of them.
    """
    from assay.sandbox.errors import IsolationError, SandboxError
    from assay.suites import SuiteError, UnknownNameError
    from assay.trainers.errors import MissingExtraError, TrainersError

    return (
        (MissingToolError, MISSING_TOOL),
        (IsolationError, MISSING_TOOL),
        (MissingExtraError, MISSING_TOOL),
        (UnmeasuredError, UNMEASURED),
        (SandboxError, UNMEASURED),
        (BadInputError, BAD_INPUT),
        (SuiteError, BAD_INPUT),
        (UnknownNameError, BAD_INPUT),
        (TrainersError, BAD_INPUT),
        (FileNotFoundError, BAD_INPUT),
        (IsADirectoryError, BAD_INPUT),
        (NotADirectoryError, BAD_INPUT),
        (PermissionError, BAD_INPUT),
        (AssayError, CHECK_FAILED),
    )


def exit_code_of(error: BaseException) -> int | None:
    """Return the exit code of `error`, or None for one that is a fault of ours and keeps its traceback."""
    return next((code for kind, code in exit_codes() if isinstance(error, kind)), None)


def message_of(error: BaseException) -> str:
    """Return the line that a person reads about `error`, which `exit_code_of` knows.

    Notes (PEP 678) say where it happened, the innermost first, and stand in front.
    """
    from assay.sandbox.errors import IsolationError, SandboxError

    text = str(error)
    if isinstance(error, OSError) and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    elif isinstance(error, SandboxError) and not isinstance(error, IsolationError):
        text = f"the sandbox could not give verdicts: {error}"
    return ": ".join((*reversed(getattr(error, "__notes__", ())), text))
