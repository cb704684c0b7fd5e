"""A request's body as JSON. Whatever a client sends is answered as the client's fault, never as the server's."""

from __future__ import annotations

import json
from typing import Any

from harness.errors import BadInputError

MAX_DEPTH = 64  # of lists and objects within each other; a request of the API needs five


class BodyError(BadInputError):
    """The body is nothing to work with; `param` is the field at fault, where it is one field."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


def parse(body: bytes) -> Any:
    """Raises BodyError for what is not UTF-8 or not JSON, has a number too long to read, is nested too deeply, or holds
    half of a surrogate pair: JSON can write one (`\\ud800`), but it is no character and no tokenizer takes it."""
    try:
        value = json.loads(body.decode("utf-8"))
    except RecursionError:
        raise BodyError(f"the body is nested too deeply; {MAX_DEPTH} levels are taken") from None
    except ValueError as error:  # also of the decoding, and of integers with more digits than Python reads
        raise BodyError(f"the body is not JSON: {error}") from None
    if isinstance(value, dict):
        _check_texts(list(value), None)
        for name, field in value.items():
            _check_texts(field, name)
    else:
        _check_texts(value, None)
    return value


def _check_texts(value: Any, param: str | None) -> None:
    """Level by level, for what was read may be deeper than Python recurses."""
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                _check_text(item, param)
            elif isinstance(item, list):
                below += item
            elif isinstance(item, dict):
                below += item.keys()
                below += item.values()
        if not below:
            return
        level = below
    where = "the body" if param is None else param
    raise BodyError(f"{where} is nested too deeply; {MAX_DEPTH} levels are taken", param)


def _check_text(text: str, param: str | None) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BodyError(
            f"half of a surrogate pair, {text[error.start]!a}, stands at character {error.start} of a text; send whole "
            "characters",
            param,
        ) from None
