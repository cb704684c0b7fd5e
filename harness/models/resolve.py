"""From what a user calls a model to the Artifact on disk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from assay.harness.errors import BadInputError, MissingToolError
from assay.harness.models.endpoints import ADDRESS, resolve_endpoint
from assay.trainers.artifact import Artifact, ArtifactKind, identify
from assay.trainers.errors import ArtifactError, MissingExtraError, TrainersError

POCKET = "pocket"
POCKET_FOLDER = Path(str(files("assay.trainers.pocket"))) / "model"
HUB_ID = re.compile(r"^(hf://.*|[\w.-]+/[\w.-]+(@[\w./-]+)?)$")


def resolve_model(name: str) -> Artifact:
    """`pocket` (the shipped model), a folder or `.gguf` file, or a hub id `[hf://]org/name[@revision]`, or
    the address of an OpenAI-compatible server (`http://host:port/v1`).

    A path that exists wins over a hub id of the same spelling. Raises BadInputError or MissingToolError.
    """
    if ADDRESS.match(name):
        return resolve_endpoint(name)
    try:
        if name == POCKET:
            return identify(POCKET_FOLDER)
        if Path(name).exists():
            return identify(Path(name).resolve())
        if HUB_ID.match(name):
            return identify(_download(name))
    except TrainersError as error:
        raise BadInputError(str(error)) from error
    raise BadInputError(
        f"no model {name!r}: it is neither {POCKET!r}, nor a path that exists, nor a hub id (org/name[@revision])"
    )


def _download(name: str) -> Path:
    from assay.harness.models.hub.fetch import parse_name, snapshot

    return snapshot(*parse_name(name)).folder


# Artifacts at the command line: adapters held against the base they are named with, and records as JSON.


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
