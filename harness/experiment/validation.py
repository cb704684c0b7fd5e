"""The check of a table that a user wrote: a valid model, or one BadInputError in the user's own terms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from assay.harness.errors import BadInputError
from assay.suites.validation import explain, models_in

__all__ = ["checked", "explain", "models_in"]

T = TypeVar("T", bound=BaseModel)


def checked(
    model: type[T], raw: dict[str, Any], where: str = "", label: Callable[[str], str] | None = None
) -> T:
    """Return `raw` as a `model`. Raises BadInputError that begins with `where` (a file, a table of it) and names each
    key, or the option that `label` gives for it, with its value and what is allowed."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        message = explain(error, model, label)
        raise BadInputError(f"{where}: {message}" if where else message) from None
