"""The terminal that verbs print to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 140  # columns of a table that goes to a file or a pipe


def terminal(*, plain_width: int | None = None) -> Console:
    """A console that prints strings as they are: a file may be named `samples[temp=0.8].jsonl` or `[/data]:ok:`, a
    family or a task id likewise. What is to be coloured comes as rich's Text or with a style.

    `plain_width` is the width where stdout is no terminal; without it rich's own.
    """
    import sys

    from rich.console import Console

    return Console(markup=False, emoji=False, width=None if sys.stdout.isatty() else plain_width)
