"""The exception tree of the trainers. All are bad input, but for a missing extra, which this machine lacks.

TrainersError
├── ArtifactError        a model on disk is missing, of an unknown format, or differs from its record
├── DataError            a training file is malformed; the message names file, line and field
├── TrainingError        a training run cannot start, or is lost (loss not finite)
├── ExportError          a model cannot be written in the requested format
├── UnsafePathError      where a file should be is a link, a pipe or a device, or the path leads elsewhere
└── MissingExtraError    an optional package is not installed; the message names the extra to install

Errors of the sandbox and the suites (SandboxError, SuiteError, UnknownNameError) pass through as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class TrainersError(ValueError):
    """The base of the tree."""


class ArtifactError(TrainersError):
    """A model on disk is missing, of an unknown format, or differs from its record."""


class DataError(TrainersError):
    """A training file is malformed; the message names file, line and field."""


class TrainingError(TrainersError):
    """A training run cannot start, or is lost."""


class ExportError(TrainersError):
    """A model cannot be written in the requested format."""


class UnsafePathError(TrainersError):
    """Where a file should be is a link, a pipe or a device, or the path leads elsewhere."""


class MissingExtraError(TrainersError):
    """An optional package is not installed; the message names the extra to install."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; install it with: pip install 'assay[{extra}]'")
        self.package, self.extra = package, extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        return type(self), (self.package, self.extra)  # a training's process sends it through a pipe


@contextmanager
def needs_extra(extra: str, package: str) -> Iterator[None]:
    """Raise MissingExtraError for an import that fails within the block; `package` where the import has no name."""
    try:
        yield
    except ImportError as e:
        raise MissingExtraError(e.name or package, extra) from e
