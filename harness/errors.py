"""The exception tree of the harness. Each carries the exit code that the command line ends with.

AssayError
├── BadInputError      3  a file, flag or configuration value is wrong
│   └── UnreachableError  what was named lies on a hub that does not answer, or that is not to be asked
├── UnmeasuredError    2  a measurement was required and could not be made
├── CheckFailedError   1  a check or gate did not hold
└── MissingToolError   4  this machine cannot do it; the message says what to install
"""

from __future__ import annotations


class AssayError(Exception):
    exit_code = 1


class CheckFailedError(AssayError):
    exit_code = 1


class UnmeasuredError(AssayError):
    exit_code = 2


class BadInputError(AssayError):
    exit_code = 3


class UnreachableError(BadInputError):
    pass


class MissingToolError(AssayError):
    exit_code = 4
