"""The command line: one file a verb, each a thin door to the module that does the work."""

from __future__ import annotations

import os
import sys

from assay.harness.cli import (  # noqa: F401  each registers its verb
    compare,
    contamination,
    convert,
    doctor,
    eval,
    export,
    generate,
    hub,
    merge,
    pairs,
    plan,
    profile,
    rank,
    run,
    serve,
    train,
)
from assay.harness.cli.app import app
from assay.harness.errors import exit_code_of, message_of
from assay.harness.training.settings import redact

__all__ = ["app", "main"]

RESUMING = ("run", "train", "eval", "showcase", "pairs")
INTERRUPTED = 130  # what a shell reports for Ctrl-C


def main() -> None:
    """Entry point of `assay`. Errors meant for people go to stderr in one line, with their exit code."""
    try:
        app(standalone_mode=True)
    except KeyboardInterrupt:
        _say_interrupted()
        sys.exit(INTERRUPTED)
    except SystemExit as end:  # typer takes Ctrl-C itself and says nothing
        if end.code == INTERRUPTED:
            _say_interrupted()
        raise
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        code = exit_code_of(error)
        if code is None:  # a fault of ours: the traceback is what mends it
            raise
        print(f"assay: {redact(message_of(error))}", file=sys.stderr)
        sys.exit(code)


def _say_interrupted() -> None:
    resumes = sys.argv[1:2] and sys.argv[1] in RESUMING and not {"--no-cache", "--repeat"} & set(sys.argv)
    kept = "; what was done is kept, and the same command goes on from there" if resumes else ""
    print(f"assay: interrupted{kept}", file=sys.stderr)
