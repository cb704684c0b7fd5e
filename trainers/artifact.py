"""Artifact: a model on disk, with what made it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class ArtifactKind(StrEnum):
    BASE = "base"
    ADAPTER = "adapter"
    MERGED = "merged"
    GGUF = "gguf"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model on disk.

    `path` is a Hugging Face folder (base, merged), a PEFT folder (adapter) or a `.gguf` file. `parent` is what
    it was made from: an adapter's base, a merge's adapter, a GGUF's merged model. `sha256` covers weights,
    configuration and tokenizer; `recipe` says how it was made, in words a person can repeat.
    """

    kind: ArtifactKind
    path: Path
    sha256: str
    parent: Artifact | None = None
    recipe: str = ""
