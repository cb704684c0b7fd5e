"""Open a sandbox and its executor: the one place where the harness does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from assay.harness.errors import MissingToolError, UnmeasuredError
from assay.harness.evaluation.scores import limits_of
from assay.harness.experiment import SandboxTable
from assay.sandbox import Executor, IsolationError, Program, Sandbox, SandboxError, Verdict, VerdictCache
from assay.suites import Suite
from assay.suites.sources import verdicts_path


@dataclass(frozen=True, slots=True)
class CacheUse:
    """The use of the verdict cache; `path` None is the user's own place."""

    enabled: bool = True
    path: Path | None = None


@contextmanager
def open_sandbox(table: SandboxTable, suite: Suite, *, allow_weak: bool = False) -> Iterator[Sandbox]:
    """Open a sandbox that passed its start-up control. Raises MissingToolError where the machine cannot isolate, and
    UnmeasuredError where the sandbox cannot give verdicts, within the block too."""
    try:
        with Sandbox(
            backend=table.backend,
            mode=table.mode,
            workers=table.workers or len(os.sched_getaffinity(0)),
            packages=suite.packages,
            allow_weak=allow_weak,
            isolation=table.isolation,
            limits=limits_of(table),
        ) as sandbox:
            yield sandbox
    except IsolationError as error:
        raise MissingToolError(str(error)) from error
    except SandboxError as error:
        raise UnmeasuredError(f"the sandbox could not give verdicts: {error}") from error


@contextmanager
def open_executor(
    table: SandboxTable,
    suite: Suite,
    on_verdict: Callable[[Verdict], None] | None = None,
    *,
    cache: CacheUse,
    allow_weak: bool = False,
    ordered: bool = False,
    keep_output: bool = True,
) -> Iterator[Executor]:
    """Open an executor in a sandbox of its own, as `open_sandbox` gives it, behind the cache unless that is not to be
    used. Leaving the block waits for all verdicts, as leaving an Executor does, and closes the sandbox."""
    with ExitStack() as stack:
        kept = stack.enter_context(VerdictCache(cache.path or verdicts_path())) if cache.enabled else None
        sandbox = stack.enter_context(open_sandbox(table, suite, allow_weak=allow_weak))
        executor = Executor(sandbox, on_verdict, cache=kept, ordered=ordered, keep_output=keep_output)
        yield stack.enter_context(executor)


def run_with_more(
    sandbox: Sandbox, programs: Iterable[Program], more: Callable[[Verdict], Iterable[Program]]
) -> None:
    """Run programs, and those that `more` returns for a verdict, until there are none."""
    waiting: SimpleQueue[Program | None] = SimpleQueue()
    under_way = 0
    for program in programs:
        waiting.put(program)
        under_way += 1
    if not under_way:
        return
    for verdict in sandbox.run(iter(waiting.get, None)):
        under_way -= 1
        for program in more(verdict):
            waiting.put(program)
            under_way += 1
        if not under_way:
            waiting.put(None)
