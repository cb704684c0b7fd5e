"""Which files of a folder are the model, and what they hash to: the same on the way in and on the way out."""

from __future__ import annotations

import hashlib
from pathlib import Path

CARD = "README.md"
LICENCES = ("LICENSE*", "NOTICE*")
MODEL = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "adapter_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
_CHUNK_BYTES = 1 << 20


def hashes(path: Path) -> tuple[str, str]:
    """sha256 of the content, and git's name for it as a blob."""
    sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as content:
        while chunk := content.read(_CHUNK_BYTES):
            sha256.update(chunk)
            git.update(chunk)
    return sha256.hexdigest(), git.hexdigest()
