"""Results over time: every run in a folder as one table, a row a variant, run and suite.

A folder of results is the store: whatever holds a `leaderboard.json` is a run, whichever version of Assay wrote it.
What made a figure stands in its row: the artifact's hash, seeds, device, backend and versions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.harness.decide.naming import suite_name
from assay.harness.errors import BadInputError
from assay.harness.files import read_json
from assay.harness.leaderboard.schema import Difference, Leaderboard, Row, read_leaderboard
from assay.trainers.errors import UnsafePathError

if TYPE_CHECKING:
    import pandas as pd

FILE = "leaderboard.json"
# Columns of every table, in their order; those of pass@k, outcomes and versions come after them.
COLUMNS = (
    "experiment", "run", "created", "suite", "suite_revision", "split", "variant", "kind", "parent",
    "reference", "rank", "sha256", "recipe", "seed", "training_seeds", "samples", "temperature",
    "max_new_tokens", "style", "device", "gpu", "cpu", "cores", "ram_bytes", "os", "python", "backend",
    "isolation", "n_problems", "n_samples", "difference", "difference_low", "difference_high", "p", "verdict",
    "tokens", "tok_per_s", "generate_s", "make_s", "size_bytes", "peak_rss_bytes", "vram_bytes", "unmeasured",
    "withdrawn", "path",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SavedRun:
    """A run on disk: its folder, and its leaderboard or the reason why that cannot be read."""

    folder: Path
    board: Leaderboard | None
    reason: str = ""


def find_runs(folder: Path) -> list[SavedRun]:
    """Return every run in a folder and below it, the oldest first; those that cannot be read come last.

    Raises BadInputError where there is no such folder.
    """
    if not folder.is_dir():
        raise BadInputError(
            f"{folder} is no folder of results: runs are kept in results/runs, or give another folder"
        )
    runs = [_load(path.parent) for path in sorted(folder.rglob(FILE))]
    return sorted(
        runs, key=lambda run: (run.board is None, run.board.created if run.board else "", str(run.folder))
    )


def _load(folder: Path) -> SavedRun:
    try:
        return SavedRun(folder, read_leaderboard(read_json(Path(FILE), folder)))
    except (OSError, BadInputError, UnsafePathError) as error:
        return SavedRun(folder, None, str(error))


def load_results(folder: Path | str = "results/runs", *, skip_unreadable: bool = False) -> pd.DataFrame:
    """Return the runs in a folder as a pandas table, a row a variant, run and suite, the oldest run first.

    A figure that was not measured is missing (NaN or None), and `unmeasured` says why; `withdrawn` says why p-values,
    ranks and verdicts of a run were taken back. `pass@1` and its fellows have
    columns `pass@1_low` and `pass@1_high`, outcomes are `outcome_pass` and so on, versions `version_torch` and so on.
    Raises BadInputError for a run that cannot be read, unless `skip_unreadable`.
    """
    import pandas as pd

    rows = []
    for run in find_runs(Path(folder)):
        if run.board is not None:
            rows += list(_rows(run.folder, run.board))
        elif not skip_unreadable:
            raise BadInputError(f"{run.folder / FILE}: {run.reason}")
    more = sorted({key for row in rows for key in row} - set(COLUMNS), key=_order)
    frame = pd.DataFrame(rows, columns=[*COLUMNS, *more])
    frame["created"] = pd.to_datetime(frame["created"], utc=True, format="ISO8601", errors="coerce")
    return frame


def suite_of(board: Leaderboard) -> str:
    """Return our name of a run's suite; a file of problems is called as the file is."""
    suite = board.suite
    return suite_name(suite.name if suite.registered in ("", "jsonl") else suite.registered)


def sampling_of(board: Leaderboard) -> str:
    """Return how a run's answers were drawn, as text that is equal for equal settings."""
    return ", ".join(f"{name} {value}" for name, value in sorted(board.sampling.items()) if value is not None)


def _order(column: str) -> tuple[int, Any]:
    """Put pass@k by their k, then outcomes, then versions."""
    head, _, rest = column.removeprefix("pass@").partition("_")
    if column.startswith("pass@"):
        return 0, (int(head), rest)
    return (1 if column.startswith("outcome_") else 2), column


def _rows(folder: Path, board: Leaderboard) -> Iterator[dict[str, Any]]:
    suite = board.suite
    for row in board.rows:
        machine = (row.step.machine if row.step else None) or board.machine
        difference = row.vs_reference or Difference()
        values = {
            "experiment": board.experiment,
            "run": board.run,
            "created": board.created,
            "suite": suite_of(board),
            "suite_revision": suite.revision,
            "split": suite.split,
            "reference": board.reference,
            "seed": board.seed,
            "training_seeds": ",".join(map(str, row.training_seeds)),
            "isolation": board.isolation.get("label"),
            "path": str(folder),
            "withdrawn": board.withdrawn,
            "unmeasured": "; ".join(f"{name}: {reason}" for name, reason in row.unmeasured.items()),
            "difference": difference.difference,
            "difference_low": difference.low,
            "difference_high": difference.high,
            "p": difference.p,
            "p_adjusted": difference.p_adjusted,
            "verdict": difference.verdict,
        }
        values |= {
            key: board.sampling.get(key) for key in ("samples", "temperature", "max_new_tokens", "style")
        }
        values |= {
            key: machine.get(key) for key in ("device", "gpu", "cpu", "cores", "ram_bytes", "os", "python")
        }
        values |= {key: getattr(row, key) for key in COLUMNS if key not in values}
        yield values | _figures(row) | {f"version_{k}": v for k, v in machine.get("packages", {}).items()}


def _figures(row: Row) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for k, estimate in row.pass_at_k.items():
        figures |= {
            f"pass@{k}": estimate.value,
            f"pass@{k}_low": estimate.low,
            f"pass@{k}_high": estimate.high,
        }
    return figures | {f"outcome_{outcome.value}": n for outcome, n in row.outcomes.items()}
