"""Rows of a dataset on the Hugging Face hub, through `datasets`, with the commit they came from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from suites.errors import SuiteError
from suites.sources import Rows


def read_hub(wanted: str, config: str, split: str) -> Rows:
    """The rows of `org/name` or `org/name@revision`, or of a local folder laid out as a dataset is.

    The revision is resolved to a commit first, so that what is loaded and what is recorded are the same. Raises
    SuiteError where the `datasets` package is missing or the hub does not give the dataset.
    """
    name, _, revision = wanted.partition("@")
    if not name:
        raise SuiteError(
            "--suite-path hub:... wants a dataset's id, such as hub:org/name or hub:org/name@revision"
        )
    try:
        import datasets
    except ImportError:
        raise SuiteError(
            f"loading {name!r} from the hub needs the package `datasets`: pip install 'assay[train]', or give a file"
        ) from None
    local = Path(name).is_dir()
    try:
        commit = "" if local else _commit(name, revision)
        bars = not datasets.are_progress_bars_disabled()
        datasets.disable_progress_bars()
        try:
            loaded = datasets.load_dataset(name, config or None, split=split, revision=commit or None)
        finally:
            if bars:
                datasets.enable_progress_bars()
        rows = [dict(row) for row in loaded]
    except Exception as error:  # datasets raises its own, the hub's client's, fsspec's and the OS's errors
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SuiteError(
            f"could not load {name!r} (config {config or 'default'!r}, split {split!r}) from the hub: {reason}; "
            "offline, give a file (--suite-path FILE)"
        ) from error
    if not rows:
        raise SuiteError(f"{name!r} on the hub holds no problems in its split {split!r}")
    place = f"{name}@{commit}" if commit else name
    numbered = tuple((f"{place}, {split} row {number}", row) for number, row in enumerate(rows, 1))
    return Rows(numbered, _digest(rows), f"hub:{place}")


def _commit(name: str, revision: str) -> str:
    from huggingface_hub import HfApi

    sha = HfApi().dataset_info(name, revision=revision or None).sha
    if not sha:
        raise ValueError("the hub names no commit")
    return str(sha)


def _digest(rows: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(rows, sort_keys=True, default=str).encode()).hexdigest()
