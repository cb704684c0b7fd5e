"""The command line of Assay: one file a verb, each of which calls the module that does the work."""

from __future__ import annotations

import os
import sys

import typer

from assay.harness.cli.app import app

__all__ = ["app", "main"]

RESUMING = ("run", "train", "eval", "score", "showcase", "pairs")
INTERRUPTED = 130  # what a shell reports for Ctrl-C
USAGE: type[Exception] = typer.BadParameter.__bases__[0]  # click's UsageError, wherever typer keeps it


def main() -> None:
    """Run `assay`: an error meant for people is one line on stderr, with the exit code of its class."""
    try:
        code = app(standalone_mode=False)
        if code == INTERRUPTED:
            _report_interruption()
        sys.exit(code)
    except KeyboardInterrupt:
        _report_interruption()
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        from assay.harness.errors import BAD_INPUT, exit_code_of, message_of
        from assay.harness.training.settings import redact

        if isinstance(error, USAGE):
            print(f"assay: {redact(_usage(error))}", file=sys.stderr)
            sys.exit(BAD_INPUT)
        code = exit_code_of(error)
        if code is None:  # a fault of ours: the traceback is what mends it
            raise
        print(f"assay: {redact(message_of(error))}", file=sys.stderr)
        sys.exit(code)


def _usage(error: Exception) -> str:
    """Return a mistake in the use of options as one line, with the command that explains them."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "assay"
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    if isinstance(error.__cause__, ValueError) and hasattr(
        error.__cause__, "errors"
    ):  # pydantic's, in its words
        from assay.suites.validation import bounds_in_words

        parameter, item = getattr(error, "param", None), error.__cause__.errors()[0]
        name = parameter.opts[0] if parameter is not None else "the value"
        message = f"{name} {item['input']} is not allowed: it must be {bounds_in_words(item)}"
    return f"{message.rstrip('.') or 'no command was given'}; see `{command} --help`"


def _report_interruption() -> None:
    resumes = sys.argv[1:2] and sys.argv[1] in RESUMING and not {"--no-cache", "--repeat"} & set(sys.argv)
    kept = "; what was done is kept, and the same command goes on from there" if resumes else ""
    print(f"assay: interrupted{kept}", file=sys.stderr)
