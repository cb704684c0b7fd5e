"""Artifacts at the command line: adapters held against the base they are named with, and records as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.errors import BadInputError, MissingToolError
from trainers.artifact import Artifact, ArtifactKind, identify
from trainers.errors import ArtifactError, MissingExtraError, TrainersError


@contextmanager
def in_house_errors() -> Iterator[None]:
    """Turn the trainers' errors into the harness', which carry exit codes."""
    try:
        yield
    except MissingExtraError as error:
        raise MissingToolError(str(error)) from error
    except TrainersError as error:
        raise BadInputError(str(error)) from error


def adapter_of(path: Path, base: Artifact) -> Artifact:
    """The adapter in `path`, which must have been trained on `base`. Raises BadInputError.

    One that was trained on other weights would merge without complaint, shapes being alike, and answer nonsense.
    """
    with in_house_errors():
        try:
            found = identify(path)
        except ArtifactError:
            found = identify(path, base=base)  # its base is not where it was, or was never on this machine
    if found.kind is not ArtifactKind.ADAPTER:
        raise BadInputError(f"{path} is of kind {found.kind}, not an adapter")
    if found.parent is not None and found.parent.sha256 != base.sha256:
        raise BadInputError(
            f"{path} was trained on {found.parent.path} (sha256 {found.parent.sha256[:12]}), "
            f"not on {base.path} ({base.sha256[:12]}); give its own base"
        )
    return found


def describe_json(artifact: Artifact) -> dict[str, Any]:
    """An artifact with its descent, for a program."""
    return {
        "kind": artifact.kind.value,
        "path": str(artifact.path),
        "sha256": artifact.sha256,
        "recipe": artifact.recipe,
        "parents": [describe_json(parent) for parent in artifact.parents],
    }
