"""The exceptions of the harness, and the one table that turns every package's exceptions into exit codes.

AssayError              1
├── CheckFailedError    1  a check or gate did not hold
├── UnmeasuredError     2  a measurement was required and could not be made
├── BadInputError       3  a file, flag or configuration value is wrong
│   └── UnreachableError   what was named lies on a hub that does not answer, or that must not be contacted
└── MissingToolError    4  this machine cannot do it; the message says what to install

What the disk refuses (full, read-only, a loop of links) is of the user's machine or files: 3, with the file's name.

Errors of `assay.sandbox`, `assay.suites` and `assay.trainers` cross the layers as they are: nothing re-raises them as
one of these. `exit_code_of` gives the code of any of them, and `message_of` the line that a person reads.
"""

from __future__ import annotations

import errno

CHECK_FAILED, UNMEASURED, BAD_INPUT, MISSING_TOOL = 1, 2, 3, 4


class AssayError(Exception):
    """Any failure that is reported in one line, without a traceback."""


class CheckFailedError(AssayError):
    """A check or gate did not hold."""


class UnmeasuredError(AssayError):
    """A measurement was required and could not be made."""


class BadInputError(AssayError):
    """A file, flag or configuration value is wrong."""


class UnreachableError(BadInputError):
    """The hub that holds what was named does not answer, or must not be contacted."""


class MissingToolError(AssayError):
    """This machine cannot do it; the message says what to install."""


def exit_codes() -> dict[int, tuple[type[Exception], ...]]:
    """Return the classes of each exit code, in order: an error has the code of the first class that it is one of.

    The classes of the other packages are imported here, so that a module that only raises loads none of them.
    """
    from assay.sandbox.errors import IsolationError, SandboxError
    from assay.suites import SuiteError, UnknownNameError
    from assay.trainers.errors import MissingExtraError, TrainersError

    paths = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
    return {
        MISSING_TOOL: (MissingToolError, IsolationError, MissingExtraError),
        UNMEASURED: (UnmeasuredError, SandboxError),
        BAD_INPUT: (BadInputError, SuiteError, UnknownNameError, TrainersError, *paths),
        CHECK_FAILED: (AssayError,),
    }


# What a disk or a path refuses, for which Python has no class of its own, and what to do.
_OF_THE_DISK = {
    errno.ENOSPC: "free some space and run the same command again: what was done is kept",
    errno.EDQUOT: "free some space and run the same command again: what was done is kept",
    errno.EROFS: "give a folder that can be written",
    errno.EEXIST: "give another name, or remove what stands there",
    errno.ELOOP: "remove the link",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ENXIO: "remove what stands there",
}


def exit_code_of(error: BaseException) -> int | None:
    """Return the exit code of `error`, or None for one that is a fault of ours and keeps its traceback."""
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        return BAD_INPUT
    return next((code for code, kinds in exit_codes().items() if isinstance(error, kinds)), None)


def message_of(error: BaseException) -> str:
    """Return the line that a person reads about `error`, which `exit_code_of` knows.

    Notes (PEP 678) say where it happened, the innermost first, and stand in front.
    """
    from assay.sandbox.errors import IsolationError, SandboxError

    text = str(error)
    if isinstance(error, OSError) and (error.filename is not None or error.errno in _OF_THE_DISK):
        place = "" if error.filename is None else f"{str(error.filename)[-300:]}: "
        advice = _OF_THE_DISK.get(error.errno or 0)
        text = f"{place}{error.strerror}" + (f"; {advice}" if advice else "")
    elif isinstance(error, SandboxError) and not isinstance(error, IsolationError):
        text = f"the sandbox could not give verdicts: {error}"
    return ": ".join((*reversed(getattr(error, "__notes__", ())), text))
