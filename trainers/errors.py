"""The exception tree of the trainers. Each is bad input unless it says otherwise.

TrainersError
├── ArtifactError        a model on disk is missing, of an unknown format, or not what its record says
├── DataError            a training file is malformed; the message names file, line and field
├── TrainingError        a training run cannot start or came out useless (loss not finite)
├── ExportError          a model cannot be written in the format asked for
└── MissingExtraError    an optional package is not installed; the message says which extra to install
"""

from __future__ import annotations


class TrainersError(ValueError):
    pass


class ArtifactError(TrainersError):
    pass


class DataError(TrainersError):
    pass


class TrainingError(TrainersError):
    pass


class ExportError(TrainersError):
    pass


class MissingExtraError(TrainersError):
    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; install it with: pip install 'assay[{extra}]'")
        self.package, self.extra = package, extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        return type(self), (self.package, self.extra)  # a training's process sends it through a pipe
