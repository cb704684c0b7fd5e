"""Read training rows from JSON Lines, JSON and Parquet files, plain or gzip, and from datasets of the hub."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assay.suites.jsonlines import LineError, read_objects
from assay.trainers.errors import DataError, needs_extra

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet")
_REVISION = re.compile(r"@([0-9a-f]{40})/")
# (where the row lies, the row or what is wrong with it)
Rows = Iterator[tuple[str, dict[str, Any] | str]]


def read_file(path: Path) -> Rows:
    """Return the rows of a file, its kind given by its suffix. Raises DataError where the file cannot be read."""
    if not path.is_file():
        raise DataError(f"no training file at {path}")
    name = path.name.lower()
    if name.endswith(".parquet"):
        return _parquet(path)
    if name.endswith((".json", ".json.gz")) and not _is_lines(path):
        return _json(path)
    if name.endswith(SUFFIXES):
        return _lines(path)
    raise DataError(f"{path}: unknown kind of file; known are {', '.join(SUFFIXES)}")


def read_hub(
    name: str, *, subset: str | None, revision: str | None, split: str, limit: int | None
) -> tuple[str, Rows]:
    """Return (origin: name, revision and split; rows) of a dataset of the hub, or of a local folder that `datasets`
    can load. HF_TOKEN, HF_HOME and HF_HUB_OFFLINE are honoured by that library. Raises DataError and
    MissingExtraError.
    """
    with needs_extra("train", "datasets"):
        import datasets
    from assay.suites.hub_answers import guard_hub
    from assay.trainers.run.runtime import quiet_libraries

    guard_hub()
    try:
        with quiet_libraries():
            data = datasets.load_dataset(name, name=subset, revision=revision, split=split)
    except (
        Exception
    ) as error:  # the library raises its own, the hub client's, httpx's, pyarrow's and the OS's
        raise DataError(_hub_problem(name, revision, split, error)) from error
    if not isinstance(data, datasets.Dataset):
        raise DataError(f"dataset {name!r}: split {split!r} is no single table of rows; name one split")
    if limit is not None:
        data = data.select(range(min(limit, len(data))))
    commit = None if Path(name).is_dir() else _resolved(data)
    at = f"@{commit or revision}" if commit or revision else ""
    origin = f"dataset {name}{f' ({subset})' if subset else ''}{at}, split {split}"
    if not Path(name).is_dir() and commit is None and revision is None:
        origin += ", revision not recorded by the cache"
    return origin, ((f"{name}[{split}][{i}]", row) for i, row in enumerate(data))


def _hub_problem(name: str, revision: str | None, split: str, error: Exception) -> str:
    text = str(error).strip()
    reason = text.splitlines()[0] if text else type(error).__name__
    dataset = f"{name!r}{f' at revision {revision!r}' if revision else ''}, split {split!r}"
    return (
        f"could not load the dataset {dataset}: {reason}; offline, give a local folder, or a file with `file`"
    )


def _resolved(data: Any) -> str | None:
    """Return the commit that was read: `datasets` records it in the addresses of the files that it fetched."""
    for address in data.info.download_checksums or {}:
        if match := _REVISION.search(str(address)):
            return match[1]
    return None


def _lines(path: Path) -> Rows:
    for number, row in read_objects(path):
        yield f"{path}:{number}", row.problem if isinstance(row, LineError) else row


def _is_lines(path: Path) -> bool:
    """Return whether a `.json` file is JSON Lines, as many published ones are: its first line is a complete object."""
    with _open(path) as file:
        try:
            first = next((line for line in file if line.strip()), b"").strip()
            return first.startswith(b"{") and isinstance(json.loads(first), dict)
        except (ValueError, RecursionError):
            return False
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path} cannot be read: {error}") from error


def _json(path: Path) -> Rows:
    try:
        with _open(path) as file:
            value = json.loads(file.read())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON: {error}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    rows = [value] if isinstance(value, dict) else value
    if not isinstance(rows, list):
        raise DataError(f"{path}: expected a list of objects, found {type(value).__name__}")
    for i, row in enumerate(rows):
        problem = f"expected a JSON object, got {type(row).__name__}"
        yield f"{path}[{i}]", row if isinstance(row, dict) else problem


def _parquet(path: Path) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        for batch in pq.ParquetFile(path).iter_batches(batch_size=1024):
            for row in batch.to_pylist():
                yield f"{path}, row {number}", row
                number += 1
    except (OSError, pa.ArrowException) as error:
        where = f" from row {number} on" if number else ""
        raise DataError(f"{path} cannot be read as Parquet{where}: {error}") from error


def _open(path: Path) -> Any:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
