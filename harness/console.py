"""Output for a person: progress on stderr (a live bar on a terminal, else a plain line now and then), and tables."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

PLAIN_EVERY_S = 5.0
PLAIN_WIDTH = 140  # columns of a table that goes to a file or a pipe


class Task(Protocol):
    """Work whose progress is shown: `done` counts up to the total, `note` stands behind it."""

    def update(self, done: float, note: str = "") -> None: ...


class Progress:
    """Show progress: `with progress.task("generate base", total=400) as task: task.update(12)`."""

    def __init__(self, *, enabled: bool = True) -> None:
        self.enabled = enabled

    def say(self, text: str) -> None:
        """Print one line on stderr."""
        if self.enabled:
            print(text, file=sys.stderr, flush=True)

    def say_once(self, what: str, done: int, total: int) -> None:
        """Say what begins, and of how many problems; nothing of how it goes on (`ground_truth.OnProgress`)."""
        if done == 0:
            self.say(f"{what}: {total} problems, once, before any sample")

    @contextmanager
    def task(self, title: str, total: float | None = None, unit: str = "") -> Iterator[Task]:
        """Show one piece of work for as long as the context lasts; `total` is in units of `unit`."""
        if not self.enabled:
            yield _Silent()
        elif sys.stderr.isatty():
            with _live(title, total, unit) as task:
                yield task
        else:
            yield _Plain(title, total, unit)


class _Silent:
    def update(self, done: float, note: str = "") -> None:
        return


class _Plain:
    def __init__(self, title: str, total: float | None, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.last = time.monotonic()

    def update(self, done: float, note: str = "") -> None:
        if time.monotonic() - self.last < PLAIN_EVERY_S:
            return
        self.last = time.monotonic()
        of = f" of {self.total:,.0f}" if self.total else ""
        print(f"  {self.title}: {done:,.0f}{of} {self.unit} {note}".rstrip(), file=sys.stderr, flush=True)


@contextmanager
def _live(title: str, total: float | None, unit: str) -> Iterator[Task]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("  {task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        number = bars.add_task(title, total=total, note="")

        class Live:
            def update(self, done: float, note: str = "") -> None:
                bars.update(number, completed=done, note=note)

        yield Live()


def terminal(*, plain_width: int | None = None) -> Console:
    """Return a console that prints strings as they are, without reading markup in them.

    A file may be named `samples[temp=0.8].jsonl` or `[/data]:ok:`, a family or a task id likewise. Colour comes as
    rich's Text or with a style. `plain_width` is the width where stdout is no terminal; without it rich's own.
    """
    from rich.console import Console

    return Console(markup=False, emoji=False, width=None if sys.stdout.isatty() else plain_width)


def new_table(title: str | Text, *columns: str, right: Collection[str] = (), **style: Any) -> Table:
    """Return an empty table for a terminal; columns named in `right` are aligned to the right."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", **style)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table
