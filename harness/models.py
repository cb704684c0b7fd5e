"""From what a user calls a model to the Artifact on disk."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from harness.endpoints import ADDRESS, resolve_endpoint
from harness.errors import BadInputError
from trainers.artifact import Artifact, identify
from trainers.errors import TrainersError

POCKET = "pocket"
POCKET_FOLDER = Path(str(files("trainers.pocket"))) / "model"
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
    from harness.hub.fetch import parse_name, snapshot

    return snapshot(*parse_name(name)).folder
