"""The execute step where the disk gives out: the sandbox is closed all the same."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from assay.harness.experiment import SandboxTable
from assay.harness.generation.types import Sample
from assay.harness.pipeline.steps.execute import ExecuteSpec, Execution
from assay.sandbox import Executor, Outcome, StandIn, Verdict
from assay.suites import load_suite


def test_where_the_last_lines_cannot_be_written_the_sandbox_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = load_suite("humaneval", limit=1)
    spec = ExecuteSpec(suite, SandboxTable(), "completion")
    closed: list[bool] = []

    @contextmanager
    def opened(on_verdict: Callable[[Verdict], None]) -> Iterator[Executor]:
        try:
            with Executor(StandIn(lambda p: Verdict(p.id, Outcome.PASS)), on_verdict) as executor:
                yield executor
        finally:
            closed.append(True)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("assay.harness.pipeline.steps.execute.append_lines", full)
    with pytest.raises(OSError, match="No space left"), Execution(spec, tmp_path, opened) as execution:
        execution.submit(Sample(suite.problems[0].id, 0, 0, "", "    return []\n", (1,), "stop"))
    assert closed == [True]
