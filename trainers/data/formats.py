"""The formats of training rows, each parsed into a chat.

alpaca      instruction, input (may be absent or empty), output, and perhaps system (Taori et al. 2023)
messages    messages: [{role, content}, …]
sharegpt    conversations: [{from, value}, …], and perhaps system
chatml      text: <|im_start|>role\\n…<|im_end|>\\n …
prompt      prompt, completion: one user turn and one assistant turn
MODULE:FUNCTION or FILE.py:FUNCTION   the user's own: a row in, one of the shapes above out, or None to drop it
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from assay.trainers.data.model import ROLES, Message, RowError
from assay.trainers.errors import DataError

Row = Mapping[str, Any]
Messages = tuple[Message, ...]
RowFunction = Callable[[dict[str, Any]], Any]  # the user's own

# The fields of each format; the first is the one by which it is recognised, a `?` marks one that may be absent.
FIELDS: dict[str, tuple[str, ...]] = {
    "messages": ("messages",),
    "sharegpt": ("conversations", "system?"),
    "alpaca": ("instruction", "output", "input?", "system?"),
    "prompt": ("prompt", "completion"),
    "chatml": ("text",),
}
_OWN_ROLES = {role: role for role in ROLES}
_SHAREGPT = {"human": "user", "gpt": "assistant"} | {role: role for role in ("user", "assistant", "system")}
_CHATML_TURN = re.compile(r"<\|im_start\|>([^\n]*)\n(.*?)<\|im_end\|>\s*", re.DOTALL)


def all_fields() -> list[str]:
    """Return the fields of all formats, sorted."""
    return sorted({name.rstrip("?") for names in FIELDS.values() for name in names})


def detect(row: Row) -> str:
    """Return the format whose first field the row has. Raises RowError where there is none."""
    for name, fields in FIELDS.items():
        if fields[0] in row or (name == "prompt" and "completion" in row):
            return name
    keys = ", ".join(map(repr, row)) or "none"
    first_fields = ", ".join(f"{fields[0]!r} ({name})" for name, fields in FIELDS.items())
    raise RowError(
        f"no known format: it has the columns {keys}, and a format is recognised by {first_fields}; "
        'name your columns, for example columns = {instruction = "question", output = "answer"}',
        "no known format",
    )


def parse(row: Row, form: str, roles: Mapping[str, str]) -> Messages:
    """Return the chat that `row` holds. Raises RowError where it is not of format `form`."""
    if form == "messages":
        return _chat(row.get("messages"), "messages", "role", "content", _OWN_ROLES)
    if form == "sharegpt":
        chat = _chat(row.get("conversations"), "conversations", "from", "value", _SHAREGPT | dict(roles))
        return _with_system(row, chat)
    if form == "alpaca":
        user = Message("user", _text(row, "instruction"), _text(row, "input", optional=True))
        if not user.content.strip():
            raise RowError("field 'instruction' is empty", "empty instruction")
        return _with_system(row, (user, Message("assistant", _text(row, "output"))))
    if form == "prompt":
        return (Message("user", _text(row, "prompt")), Message("assistant", _text(row, "completion")))
    return _chatml(_text(row, "text"))


def load_function(name: str) -> RowFunction:
    """Load the user's function from `package.module:function` (the working directory is searched too) or
    `path/to/file.py:function`. Raises DataError."""
    place, _, function = name.rpartition(":")
    try:
        module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    except Exception as error:  # whatever the user's own code raises when it is imported
        raise DataError(f"format {name!r}: {place} cannot be imported: {error}") from error
    loaded = getattr(module, function, None)
    if not callable(loaded):
        raise DataError(f"format {name!r}: {place} has no function {function!r}")
    return loaded  # type: ignore[no-any-return]


def parse_custom(row: Row, function: RowFunction, roles: Mapping[str, str]) -> Messages | None:
    """Return the chat that the user's function makes of the row, or None to drop it.

    The function returns a list of messages, or a dictionary as a row of one of the known formats. Raises RowError.
    """
    try:
        result = function(dict(row))
    except Exception as error:
        raise RowError(
            f"the format function raised {type(error).__name__}: {error}",
            f"format function raised {type(error).__name__}",
        ) from error
    if result is None:
        return None
    if isinstance(result, list):
        result = {"messages": result}
    if not isinstance(result, Mapping):
        raise RowError(
            f"the format function returned {type(result).__name__}; expected a dictionary, a list of messages or None",
            "format function returned something else",
        )
    return parse(result, detect(result), roles)


def _load_module(name: str) -> Any:
    here = str(Path.cwd())
    added = here not in sys.path
    if added:  # a console script's path does not have the working directory
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    finally:
        if added:
            sys.path.remove(here)


def _load_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _text(row: Row, name: str, *, optional: bool = False) -> str:
    value = row.get(name)
    if optional and value is None:
        return ""
    if not isinstance(value, str):
        kind = "nothing" if name not in row else "null" if value is None else type(value).__name__
        hint = f"; the row has {', '.join(map(repr, row)) or 'no columns'}" if name not in row else ""
        raise RowError(f"field {name!r} should be a string, found {kind}{hint}", f"field {name!r} is {kind}")
    return value


def _with_system(row: Row, chat: Messages) -> Messages:
    system = _text(row, "system", optional=True)
    if not system or chat[0].role == "system":
        return chat
    return (Message("system", system), *chat)


def _chat(value: Any, field: str, role_key: str, text_key: str, named: Mapping[str, str]) -> Messages:
    if not isinstance(value, list) or not value:
        raise RowError(
            f"field {field!r} should be a non-empty list, found {value!r:.60}", f"field {field!r} is no list"
        )
    messages: list[Message] = []
    for i, item in enumerate(value):
        at = f"field '{field}[{i}]"
        if not isinstance(item, Mapping):
            raise RowError(f"{at}' should be an object, found {type(item).__name__}", "a turn is no object")
        speaker, content = item.get(role_key), item.get(text_key)
        if not isinstance(speaker, str) or speaker not in named:
            mapping = '; map it with roles = {NAME = "user"}' if role_key == "from" else ""
            raise RowError(
                f"{at}.{role_key}' is {speaker!r}; known are {', '.join(named)}{mapping}",
                f"unknown role {speaker!r:.40}",
            )
        if not isinstance(content, str):
            raise RowError(
                f"{at}.{text_key}' should be a string, found {type(content).__name__}", "a turn has no text"
            )
        # Parquet gives every struct every key, null where a turn has none.
        if unknown := {k for k, v in item.items() if v is not None} - {role_key, text_key}:
            raise RowError(f"{at}' has unknown keys {sorted(unknown)}", f"unknown keys {sorted(unknown)}")
        messages.append(_next(messages, named[speaker], content, f"{at}.{role_key}'"))
    return tuple(messages)


def _next(before: list[Message], role: str, content: str, at: str) -> Message:
    """Return the next turn, checked against those before: a system turn comes first, and the others alternate."""
    if role == "system" and before:
        raise RowError(f"{at} is 'system'; only the first turn may be", "system turn after the first")
    if before and before[-1].role == role:
        raise RowError(f"{at} repeats {role!r}; turns must alternate", "turns do not alternate")
    return Message(role, content)  # type: ignore[arg-type]


def _chatml(text: str) -> Messages:
    messages: list[Message] = []
    end = 0
    for i, turn in enumerate(_CHATML_TURN.finditer(text)):
        if text[end : turn.start()].strip():
            break
        role, content = turn[1].strip(), turn[2]
        at = f"field 'text', turn {i}: role"
        if role not in ROLES:
            raise RowError(
                f"{at} is {role!r:.40}; known are {', '.join(ROLES)}", f"unknown role {role!r:.40}"
            )
        messages.append(_next(messages, role, content, at))
        end = turn.end()
    if text[end:].strip() or not messages:
        raise RowError(
            f"field 'text' is not ChatML at character {end}: {text[end : end + 40]!r}; "
            "expected <|im_start|>ROLE, a line's end, the turn and <|im_end|>",
            "text is not ChatML",
        )
    return tuple(messages)
