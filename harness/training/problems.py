"""The problems that a policy practises on, settled by their reference solutions before its first answer."""

from __future__ import annotations

from dataclasses import replace

from assay.harness.errors import UnmeasuredError
from assay.harness.evaluation.ground_truth import OnProgress, settle
from assay.harness.experiment import SandboxTable
from assay.suites import Suite
from assay.trainers.config.rl import RolloutTable
from assay.trainers.data.problems import Environment


def settle_environment(
    environment: Environment,
    table: RolloutTable,
    *,
    on_progress: OnProgress = lambda what, done, total: None,
) -> Environment:
    """Return the environment with each problem's mode as its reference showed it, and without the problems that cannot
    be measured with the limits of `table`: an answer to one could earn nothing, however right it is.

    Raises UnmeasuredError where none is left.
    """
    suite = Suite(environment.origin, environment.sha256, environment.kept, packages=environment.packages)
    sandbox = SandboxTable(cpu_s=table.cpu_s, wall_s=table.wall_s, memory_mb=table.memory_mb)
    settled = settle(suite, sandbox, allow_weak=environment.allow_weak, on_progress=on_progress)
    kept = tuple(problem for problem in settled.problems if not problem.unmeasured)
    if not kept:
        first = settled.problems[0]
        raise UnmeasuredError(
            f"none of the {len(settled.problems)} problems to practise on can be measured: {first.id}: "
            f"{first.unmeasured}"
        )
    left_out = len(settled.problems) - len(kept)
    dropped = environment.dropped | ({"unmeasured, see `assay suites check`": left_out} if left_out else {})
    return replace(environment, kept=kept, dropped=dropped)
