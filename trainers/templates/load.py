"""A model's tokenizer with the template that the model was trained with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trainers.artifact import Artifact, ArtifactKind, model_folder


def load_tokenizer(artifact: Artifact) -> Any:
    """The tokenizer of a model folder; an adapter's is its base's, with the chat template that was saved beside the
    adapter, if one was: an adapter trained with another template is asked with that one."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(model_folder(artifact)))
    if artifact.kind is ArtifactKind.ADAPTER and (own := _saved_template(artifact.path)) is not None:
        tokenizer.chat_template = own
    return tokenizer


def _saved_template(folder: Path) -> str | None:
    file, config = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    if config.is_file():
        found = json.loads(config.read_text(encoding="utf-8")).get("chat_template")
        return found if isinstance(found, str) else None
    return None
