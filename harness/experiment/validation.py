"""A pydantic error in words: the key as the user wrote it, the value found, and the nearest known key."""

from __future__ import annotations

import difflib
import types
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

MAKERS = ("model", "train", "merge", "export", "compress")  # what tells the kinds of variant apart


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """A pydantic error in words: the key, the value found, and for an unknown key the nearest known one."""
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"] if part not in MAKERS or part == item["loc"][-1])
        if item["type"] == "extra_forbidden":
            known = known_keys(model, item["loc"][:-1])
            near = difflib.get_close_matches(str(item["loc"][-1]), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
            lines.append(f"unknown key {key!r}; {hint}")
        else:
            message = item["msg"].removeprefix("Value error, ")
            shown = (
                ""
                if item["type"] in ("missing", "value_error", "variant")
                else f" (got {item['input']!r:.80})"
            )
            lines.append(f"{key}: {message}{shown}" if key else message)
    return "; ".join(lines)


def known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys of the table at `location`, found by walking the models' annotations."""
    models: list[type[BaseModel]] = [model]
    for part in location:
        if part in MAKERS:  # the tag pydantic adds for the kind of variant
            models = [m for m in models if part in m.model_fields]
            continue
        fields = [
            m.model_fields[part].annotation
            for m in models
            if isinstance(part, str) and part in m.model_fields
        ]
        if fields:
            models = [found for annotation in fields for found in models_in(annotation)]
    return sorted({name for m in models for name in m.model_fields})


def models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType, Annotated, tuple, list, dict):
        return [found for argument in get_args(annotation) for found in models_in(argument)]
    return []
