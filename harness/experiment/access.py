"""What may be reached for a file that somebody else may have written: the network, and code that the file names.

A run reaches both. `assay plan` and `--dry-run` only look: they reach neither unless `--online` or `--import` says so,
and say what they left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.harness.errors import BadInputError
from assay.harness.experiment.tables import SuiteTable
from assay.suites.sources import HUB
from assay.trainers.data.formats import FIELDS

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Access:
    """`online`: servers and the hub may be asked. `imports`: code that a file names may be imported."""

    online: bool = True
    imports: bool = True

    def check_suite(self, table: SuiteTable) -> None:
        """Raise BadInputError where the problems lie on the hub, which must not be asked: without them is no plan."""
        if not self.online and is_on_hub(table.path):
            raise BadInputError(
                f"the problems of suite {table.name!r} lie on the hub ({table.path}), and nothing is fetched to look "
                "at a file: give --online, or the problems' own file"
            )

    def left_out(self, data: Any) -> str:
        """Return why what a `[data]` table names is not read; empty where it is read."""
        hub, file = getattr(data, "hub", None), getattr(data, "file", None)
        if not self.online and (hub is not None or is_on_hub(file)):
            return f"the dataset {str(hub or file)!r} was not fetched (--online fetches it)"
        form = getattr(data, "format", AUTO)
        if not self.imports and form not in (AUTO, *FIELDS):
            return f"the data's format {form!r} is code, which was not imported (--import runs it)"
        return ""


def is_on_hub(path: Path | None) -> bool:
    """Return whether a suite's path names a dataset of the hub."""
    return path is not None and str(path).startswith(HUB)


EVERYTHING = Access()
