"""Pydantic's errors as sentences: the key or option as the user typed it, the value, what is allowed, the nearest name.

The module lies in the lowest package because every file that a user writes is checked through it: problems, training
and experiment files, and the values of the command line.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

MAKERS = ("model", "train", "merge", "export", "compress")  # the keys that tell the kinds of variant apart
SHOWN = 80  # characters of a value in a message
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
_PLAIN = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    Any: "any value",
}


@dataclass(frozen=True, slots=True)
class Words:
    """The description of a type that its constraints alone do not give, as metadata of an `Annotated` type."""

    text: str


def explain(error: ValidationError, model: type[BaseModel], label: Callable[[str], str] | None = None) -> str:
    """Return the errors of `model` as one line, separated by semicolons.

    `label` turns a dotted key into what the user typed in its place, such as `--limit` for `limit`.
    """
    sentences: dict[str, str] = {}
    for item in error.errors():
        place = _Place.of(model, item["loc"])
        sentence = _sentence(item, place, label)
        if item["type"] == "extra_forbidden":
            sentences[f"unknown {place.key}"] = sentence
        else:
            sentences.setdefault(place.key, sentence)  # the members of a union fail one by one
    return "; ".join(
        text
        for key, text in sentences.items()
        if not key or not any(other.startswith(f"{key}.") for other in sentences)
    )


def _sentence(item: Any, place: _Place, label: Callable[[str], str] | None) -> str:
    kind, value = item["type"], item["input"]
    key = label(place.key) if label else place.key
    if kind == "extra_forbidden":
        stated = f"unknown key {key!r}" if key == place.key else f"{key} is unknown"
        return f"{stated}; {_nearest(str(item['loc'][-1]), place.known)}"
    if kind in ("value_error", "assertion_error"):
        message = str(item["ctx"]["error"])
        return f"{key}: {message}" if key else message
    if kind == "variant":
        given = [name for name in value if name in MAKERS] if isinstance(value, dict) else []
        if given or not isinstance(value, dict):
            return f"{key}: {item['msg']}; it has {' and '.join(given) or 'none of them'}"
        near = [hint for name in value if (hint := difflib.get_close_matches(name, MAKERS, n=1))]
        advice = f"; did you mean {near[0][0]!r}?" if near else f"; it has {', '.join(value)}"
        return f"{key}: {item['msg']}{advice}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        kinds = [name for one in place.models for name in choices(one.model_fields["type"])]
        tag = value.get("type") if isinstance(value, dict) else value
        stated = "is missing" if kind == "union_tag_not_found" else f"= {shown(tag)} is unknown"
        return f"{key}.type {stated}; {_nearest(str(tag), kinds, 'allowed')}"
    allowed = type_in_words(place.annotation, place.metadata)
    if kind == "finite_number":
        allowed = allowed.replace("a number", "a finite number")
    if kind == "missing":
        return f"{key} is missing; it must be {allowed}"
    hint = difflib.get_close_matches(str(value), choices(place.annotation), n=1)
    stated = f"{key}{' ' if key.startswith('--') else ' = '}{shown(value)}" if key else shown(value)
    advice = f"; did you mean {hint[0]!r}?" if hint else ""
    return f"{stated} is not allowed: it must be {allowed}{advice}"


def field(key: str) -> str:
    """Return the label of a key of a JSON object, for `explain`."""
    return f"field {key!r}"


def shown(value: Any) -> str:
    """Return a value as a file would hold it, in at most 80 characters."""
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(str(value) if isinstance(value, Path) else value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _nearest(name: str, known: Sequence[str], listed: str = "known here") -> str:
    near = difflib.get_close_matches(name, known, n=1)
    names = f"{listed}: {', '.join(known)}" if known else "no key is allowed here"
    return f"did you mean {near[0]!r}? {names[0].upper()}{names[1:]}" if near else names


# The field that an error's location leads to, found by walking the models' annotations.


@dataclass
class _Place:
    """One location: the dotted key without pydantic's own tags, and the field there with the models that hold it."""

    key: str
    annotation: Any
    metadata: Sequence[Any]
    models: list[type[BaseModel]]
    known: list[str]

    @classmethod
    def of(cls, model: type[BaseModel], location: tuple[int | str, ...]) -> _Place:
        keys: list[str] = []
        place = cls("", model, (), [model], known_keys([model]))
        for part in location:
            fields = [info for m in place.models if (info := m.model_fields.get(str(part)))]
            if len(place.models) > 1 and (tagged := [m for m in place.models if part in _tags(m)]):
                place.models, place.known = tagged, known_keys(tagged)
            elif fields:
                keys.append(str(part))
                place.annotation, place.metadata = fields[0].annotation, fields[0].metadata
                place.models = [inner for field in fields for inner in models_in(field.annotation)]
                place.known = known_keys(place.models) or place.known
            elif isinstance(part, int) or (part == location[-1] and not _is_label(str(part))):
                keys.append(str(part))
                place.annotation, place.metadata = _item_of(place.annotation), ()
        place.key = ".".join(keys)
        return place


def _tags(model: type[BaseModel]) -> set[str]:
    """Return the tags that pydantic may put into a location for `model` as a member of a union."""
    makers = {name for name in MAKERS if name in model.model_fields}
    return makers | (set(choices(model.model_fields["type"])) if "type" in model.model_fields else set())


def _is_label(part: str) -> bool:
    """Return whether a part of a location names a member of a union (`list[str]`, `constrained-int`) and no key."""
    return part in ("int", "str", "float", "bool", "path", "types") or any(c in part for c in "[]'-(")


def _item_of(annotation: Any) -> Any:
    """Return the annotation of what a list, tuple or free table holds."""
    for one in _members(annotation):
        if get_origin(one) in (list, tuple, dict):
            arguments = [a for a in get_args(one) if a is not Ellipsis]
            return arguments[-1]
    return Any


def known_keys(models: Iterable[type[BaseModel]]) -> list[str]:
    return sorted({name for model in models for name in model.model_fields})


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that an annotation holds, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType, Annotated, tuple, list, dict):
        return [inner for argument in get_args(annotation) for inner in models_in(argument)]
    return []


def _members(annotation: Any) -> list[Any]:
    """Return the members of a union, without None; another annotation is its only member."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [one for part in get_args(annotation) if part is not type(None) for one in _members(part)]
    return [annotation]


def choices(field: Any) -> list[str]:
    """Return the literal texts that a field or an annotation allows."""
    annotation = field.annotation if isinstance(field, FieldInfo) else field
    texts: list[str] = []
    for one in _members(annotation):
        if get_origin(one) is Literal:
            texts += [value for value in get_args(one) if isinstance(value, str)]
        elif get_origin(one) in (list, tuple):
            texts += choices(get_args(one)[0])
    return texts


# A type in plain words, for messages and for the reference.


def type_in_words(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """Return a type with its constraints as a phrase: "a whole number of at least 1", "'cell' or 'fresh'"."""
    if stated := next((one.text for one in metadata if isinstance(one, Words)), ""):
        return stated
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner = [
            part for one in arguments[1:] for part in (one.metadata if isinstance(one, FieldInfo) else [one])
        ]
        return type_in_words(arguments[0], [*inner, *metadata])
    if origin in (Union, types.UnionType):
        phrases = [type_in_words(one, metadata) for one in arguments if one is not type(None)]
        return " or ".join(dict.fromkeys(phrases))
    if origin is Literal:
        return _either([shown(value) for value in arguments])
    if origin in (list, tuple):
        least = next((one.min_length for one in metadata if isinstance(one, annotated_types.MinLen)), 0)
        most = next((one.max_length for one in metadata if isinstance(one, annotated_types.MaxLen)), None)
        count = f" of at least {least}" if least else f" of at most {most}" if most is not None else ""
        return f"a list{count}, each {type_in_words(arguments[0]) if arguments else 'any value'}"
    if origin is dict:
        value = type_in_words(arguments[1])
        return "a table" if value == _PLAIN[Any] else f"a table, each value {value}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "a table"
    phrase = _PLAIN.get(annotation, "any value")
    return phrase + _limits(metadata)


def _either(values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} or {values[-1]}"


def bounds_in_words(item: Any) -> str:
    """Return what one pydantic error about a bare number allows, for a value that no model's field describes."""
    bounds = [f"{_BOUNDS[key]} {value:,}" for key, value in item.get("ctx", {}).items() if key in _BOUNDS]
    kind = {"int": "a whole number", "bool": "true or false"}.get(item["type"].partition("_")[0], "a number")
    return ", ".join([kind, *bounds])


def _limits(metadata: Sequence[Any]) -> str:
    """Return the bounds that constraints give, as a phrase that follows the type."""
    parts: list[str] = []
    for one in metadata:
        if getattr(one, "min_length", None) == 1:
            return " that is not empty"
        parts += [f"{words} {getattr(one, key):,}" for key, words in _BOUNDS.items() if hasattr(one, key)]
        if isinstance(one, annotated_types.MaxLen):
            parts.append(f"at most {one.max_length} characters")
    return f", {' and '.join(parts)}" if parts else ""
