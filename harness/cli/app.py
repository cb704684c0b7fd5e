"""The typer application and what its verbs share."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated, Any

import typer

from assay.harness.hardware import ORDER

app = typer.Typer(
    name="assay",
    help="Measure what fine-tuning did to a code model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Execute every sample, also one that was executed before.")
]
AllowWeak = Annotated[
    bool,
    typer.Option(
        "--allow-weak", help="Accept weaker isolation than this machine should give; every report says so."
    ),
]


def print_json(value: Any) -> None:
    """One JSON object, for a program."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"assay {version('assay')}")
        raise typer.Exit


@app.callback()
def _root(
    _shown: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Measure what fine-tuning did to a code model."""
    for name, value in ORDER.items():
        os.environ.setdefault(name, value)
