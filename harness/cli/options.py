from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass


def refuse(flags: dict[str, Any], why: str) -> None:
    """BadInputError that names the flags that were given and have nothing to act on."""
    from assay.harness.errors import BadInputError

    idle = [flag for flag, value in flags.items() if value is not None]
    if idle:
        raise BadInputError(f"{', '.join(idle)}: {why}")


def table(model: Any, **values: Any) -> Any:
    """A checked configuration table from command line values."""
    from pydantic import ValidationError

    from assay.harness.errors import BadInputError
    from assay.harness.experiment.validation import explain

    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise BadInputError(explain(error, model)) from None


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-")[-64:].lstrip("-._")


def parse_options(given: list[str] | None) -> dict[str, str]:
    from assay.harness.errors import BadInputError

    pairs = [text.partition("=") for text in given or []]
    bad = next((key + sign + value for key, sign, value in pairs if not key or not value), None)
    if bad is not None:
        raise BadInputError(f"--suite-option takes KEY=VALUE, such as style=paper; got {bad!r}")
    return {key: value for key, _, value in pairs}


def parse_k(text: str) -> tuple[int, ...] | None:
    from assay.harness.errors import BadInputError

    if not text:
        return None
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise BadInputError(f"--k takes numbers separated by commas, such as 1,10; got {text!r}") from None
    if min(found) < 1:
        raise BadInputError(f"--k: k must be at least 1, got {min(found)}")
    return found


def _fresh(folder: Path, name: str) -> Path:
    """A file name that is not taken."""
    from datetime import UTC, datetime

    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    path, n = folder / f"{name}-{stamp}.jsonl", 1
    while path.exists():
        n += 1
        path = folder / f"{name}-{stamp}-{n}.jsonl"
    return path
