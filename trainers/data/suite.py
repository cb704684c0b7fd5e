"""Training records that a suite makes: chats on problems that no measured split holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from suites.registry import Registry, UnknownNameError
from trainers.data.formats import parse
from trainers.data.model import Reading, Records, RowError
from trainers.errors import DataError


class RecordMaker(Protocol):
    """Makes `n` chats for training that share no problem with any split that is measured."""

    def __call__(self, *, n: int, seed: int) -> Sequence[Mapping[str, Any]]: ...


# A suite that only measures has no entry here, and so cannot be trained on by a slip of the pen.
RECORDS: Registry[RecordMaker] = Registry("training records of suite", "assay.records")


@RECORDS.register("pocket")
def _pocket(*, n: int, seed: int) -> Sequence[Mapping[str, Any]]:
    from suites.pocket.records import pocket_sft_records

    return pocket_sft_records(n, seed)


def records_from_suite(name: str, *, n: int, seed: int) -> Records:
    """`n` chats made by the suite's record maker. DataError where the suite has none or makes fewer."""
    try:
        maker = RECORDS.get(name)
    except UnknownNameError as e:
        raise DataError(
            f"suite {name!r} makes no training records; those that do: {', '.join(RECORDS.names())}"
        ) from e
    rows = maker(n=n, seed=seed)
    if len(rows) != n:
        raise DataError(f"suite {name!r} made {len(rows)} training records where {n} were asked for")
    reading = Reading(f"suite {name!r}")
    for i, row in enumerate(rows):
        where = f"{name}/train/{i}"
        try:
            reading.keep(parse(row, "messages", {}), where, "messages")
        except RowError as e:
            raise DataError(f"{where}: {e}") from e
    return reading.records()
