"""Every package's exceptions have an exit code, and faults of ours have none."""

from __future__ import annotations

import pytest

from assay.harness import cli
from assay.harness.errors import (
    AssayError,
    BadInputError,
    CheckFailedError,
    MissingToolError,
    UnmeasuredError,
    UnreachableError,
    exit_code_of,
    exit_codes,
    message_of,
)
from assay.sandbox import CellError, IsolationError, SandboxError
from assay.suites import SuiteError, UnknownNameError
from assay.trainers.errors import DataError, MissingExtraError, TrainersError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CheckFailedError("x"), 1),
        (AssayError("x"), 1),
        (UnmeasuredError("x"), 2),
        (BadInputError("x"), 3),
        (UnreachableError("x"), 3),
        (MissingToolError("x"), 4),
        (IsolationError("x"), 4),
        (SandboxError("x"), 2),
        (CellError("x"), 2),
        (SuiteError("x"), 3),
        (UnknownNameError("x"), 3),
        (TrainersError("x"), 3),
        (DataError("x"), 3),
        (MissingExtraError("trl", "train"), 4),
        (FileNotFoundError(2, "No such file or directory", "x"), 3),
        (OSError(28, "No space left on device"), 3),
        (OSError(30, "Read-only file system", "x"), 3),
        (OSError(40, "Too many levels of symbolic links", "x"), 3),
        (FileExistsError(17, "File exists", "x"), 3),
        (OSError(5, "Input/output error"), None),
        (ValueError("x"), None),
        (LookupError("x"), None),
    ],
)
def test_each_error_has_the_code_of_its_kind(error: Exception, code: int | None) -> None:
    assert exit_code_of(error) == code


def test_no_class_is_hidden_behind_a_class_before_it() -> None:
    table = [(kind, code) for code, kinds in exit_codes().items() for kind in kinds]
    hidden = [
        (later, earlier)
        for number, (later, code) in enumerate(table)
        for earlier, other in table[:number]
        if issubclass(later, earlier) and code != other
    ]
    assert not hidden


def test_a_message_names_the_file_and_the_sandbox() -> None:
    assert message_of(FileNotFoundError(2, "No such file", "e.toml")) == "e.toml: No such file"
    assert message_of(CellError("gone")) == "the sandbox could not give verdicts: gone"
    assert message_of(IsolationError("no namespaces")) == "no namespaces"
    assert message_of(BadInputError("wrong")) == "wrong"


def test_main_prints_one_line_and_ends_with_the_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise MissingExtraError("trl", "train")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 4
    assert (
        capsys.readouterr().err
        == "assay: trl is not installed; install it with: pip install 'assay[train]'\n"
    )


def test_main_does_not_hide_a_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(ZeroDivisionError):
        cli.main()
