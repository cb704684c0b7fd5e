"""The sources of a suite's data: the user's path, the data folder, or the hub; with advice where it is missing.

The data folder is `$ASSAY_DATA`, else `~/.local/share/assay` (under `$XDG_DATA_HOME` where that is set). What is
computed and can be computed again goes to the cache folder, `$ASSAY_CACHE`, else `~/.cache/assay`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from assay.suites.jsonlines import LineError, read_objects
from assay.suites.model import SuiteError
from assay.suites.validation import explain, field

HUB = "hub:"
Row = TypeVar("Row", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Origin:
    """Everything there is to know of where one suite's data can be had.

    `files` are the names to look for in the data folder, best first; `url` is where such a file is published. `hub`
    is the dataset's id with the `config` to load, empty where there is none in a form that can be read.
    """

    suite: str
    files: tuple[str, ...]
    url: str
    hub: str = ""
    config: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """A suite's rows with where each stands, for messages; `revision` is a sha256 of the data."""

    rows: tuple[tuple[str, dict[str, Any]], ...]
    revision: str
    source: str

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        return iter(self.rows)


def data_folder() -> Path:
    return _folder("ASSAY_DATA", "XDG_DATA_HOME", ".local/share")


def cache_folder() -> Path:
    """Return the folder of what is kept between commands.

    Raises SuiteError for one that anybody may write: what is taken from it would be anybody's word.
    """
    folder = _folder("ASSAY_CACHE", "XDG_CACHE_HOME", ".cache")
    with contextlib.suppress(OSError):
        if folder.stat().st_mode & stat.S_IWOTH:
            raise SuiteError(
                f"the cache folder {folder} can be written by anybody, so nothing in it is ours for sure: "
                f"chmod o-w {folder}, or set ASSAY_CACHE to a folder of your own"
            )
    return folder


def verdicts_path() -> Path:
    """Return the place of the user's own verdict cache."""
    return cache_folder() / "verdicts.sqlite"


def _folder(own: str, base: str, default: str) -> Path:
    if os.environ.get(own):
        return Path(os.environ[own])
    return Path(os.environ.get(base) or Path.home() / default) / "assay"


def read_source(origin: Origin, path: Path | None, hub_split: str = "test") -> Rows:
    """The rows from `path` (a file, a folder that holds one of the files, or `hub:id@revision`); without a path, from
    the data folder. Nothing is fetched unless the hub is asked for by name. Raises SuiteError."""
    if path is not None and str(path).startswith(HUB):
        dataset = str(path)[len(HUB) :] or origin.hub
        if not dataset:
            raise SuiteError(f"{origin.suite} is not on the hub in a form that can be read: {_how(origin)}")
        return read_hub(dataset, origin.config, hub_split)
    folder = path if path is not None else data_folder()
    file = folder if path is not None and folder.is_file() else _within(folder, origin)
    if file is None:
        where = (
            f"no such file: {path}" if path is not None and not path.is_dir() else f"not found in {folder}"
        )
        raise SuiteError(f"{origin.suite}: {where}. {_how(origin)}")
    rows = tuple(read_rows(file))
    if not rows:
        raise SuiteError(f"{file} holds no problems")
    return Rows(rows, hashlib.sha256(file.read_bytes()).hexdigest(), str(file))


def _within(folder: Path, origin: Origin) -> Path | None:
    return next((folder / name for name in origin.files if (folder / name).is_file()), None)


def _how(origin: Origin) -> str:
    hub = f", or pass --suite-path {HUB}{origin.hub} to load it from the hub" if origin.hub else ""
    return (
        f"Fetch {origin.files[0]} from {origin.url} and put it into {data_folder()}, or pass its path "
        f"(--suite-path FILE){hub}"
    )


def read_lines(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, row) of a JSON Lines file, plain or gzip. Raises SuiteError for a line that is no object."""
    for number, row in read_objects(file):
        if isinstance(row, LineError):
            raise SuiteError(str(row))
        yield f"{file}, line {number}", row


def read_rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, row) of a JSON Lines file, plain or gzip, or of a JSON array of objects (`.json`)."""
    if file.suffix != ".json":
        yield from read_lines(file)
        return
    try:
        rows = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise SuiteError(f"{file}: not JSON ({error})") from None
    if not isinstance(rows, list):
        raise SuiteError(f"{file}: expected a JSON array of problems, got {type(rows).__name__}")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise SuiteError(f"{file}, entry {number}: expected a JSON object, got {type(row).__name__}")
        yield f"{file}, entry {number}", row


def parse(model: type[Row], row: dict[str, Any], place: str) -> Row:
    """Return `row` as a `model`; SuiteError names its place, the field and the value."""
    try:
        return model.model_validate(row)
    except ValidationError as error:
        raise SuiteError(f"{place}: {explain(error, model, field)}") from None


def unique(seen: set[str], problem_id: str, place: str) -> None:
    """Note `problem_id`; SuiteError where it was used before."""
    if problem_id in seen:
        raise SuiteError(f"{place}: field 'task_id': {problem_id!r} was used before")
    seen.add(problem_id)


# Rows of a dataset on the Hugging Face hub, through `datasets`, with the commit they came from.


def read_hub(dataset: str, config: str, split: str) -> Rows:
    """The rows of `org/name` or `org/name@revision`, or of a local folder laid out as a dataset is.

    The revision is resolved to a commit first, so that what is loaded and what is recorded are the same. Raises
    SuiteError where the `datasets` package is missing or the hub does not give the dataset.
    """
    name, _, revision = dataset.partition("@")
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
    from assay.suites.hub_answers import guard_hub

    guard_hub()
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
