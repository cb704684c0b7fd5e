"""Opening a sandbox: what keeps it from judging ends with an exit code of ours."""

from __future__ import annotations

import pytest

from assay.harness.errors import MissingToolError, UnmeasuredError
from assay.harness.evaluation.judge import CacheUse, open_executor, open_sandbox
from assay.harness.experiment import SandboxTable
from assay.sandbox import ControlError, IsolationError
from assay.suites import load_suite


@pytest.mark.parametrize(
    ("raised", "expected"), [(IsolationError("x"), MissingToolError), (ControlError("x"), UnmeasuredError)]
)
def test_what_keeps_the_sandbox_from_judging_has_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, expected: type[Exception]
) -> None:
    class Refusing:
        def __init__(self, **_: object) -> None: ...

        def __enter__(self) -> None:
            raise raised

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr("assay.harness.evaluation.judge.Sandbox", Refusing)
    suite = load_suite("humaneval")
    with pytest.raises(expected), open_sandbox(SandboxTable(), suite):
        pytest.fail("opened")
    with (
        pytest.raises(expected),
        open_executor(SandboxTable(), suite, print, cache=CacheUse(enabled=False)),
    ):
        pytest.fail("opened")
