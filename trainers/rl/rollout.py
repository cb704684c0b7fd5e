"""Draw a batch of answers and execute them meanwhile: an answer is in the sandbox as soon as it is written."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from assay.sandbox import Executor, Program, Sandbox, StandIn, Verdict, VerdictCache
from assay.suites.extraction.extract import Form, extract
from assay.trainers.config.rl import RolloutTable
from assay.trainers.data.problems import SampledAnswer, Sampler, SampleRequest, limits_of
from assay.trainers.errors import TrainingError
from assay.trainers.rl.check_split import TrainingProblem


@dataclass(frozen=True, slots=True)
class RolloutSample:
    """One answer of the batch, with the program extracted from it."""

    problem: TrainingProblem
    index: int
    seed: int
    drawn: SampledAnswer
    program: str


@dataclass(slots=True)
class Rollout:
    """A batch of answers, and their verdicts, which come while the caller goes on. `generate_s` is the wall time of
    drawing, `wait_s` that of waiting for verdicts: the part of the execution that hid behind nothing. The executor
    fills the verdicts, by program id."""

    samples: list[RolloutSample]
    _executor: Executor
    _verdicts: dict[str, Verdict]
    generate_s: float
    wait_s: float = 0.0

    @property
    def busy_s(self) -> float:
        """The wall time during which programs were under way."""
        return self._executor.busy_s

    def verdicts(self) -> dict[str, Verdict]:
        """Wait for all verdicts and return them by program id. Raises SandboxError where the sandbox gave up."""
        began = time.perf_counter()
        self._executor.wait()
        self.wait_s = time.perf_counter() - began
        return self._verdicts

    def abandon(self) -> None:
        """Have what is under way ended, without waiting for it."""
        self._executor.stop()


def seed_of(seed: int, step: int, problem_id: str, index: int) -> int:
    """Return an answer's seed: below 2^53, so that JSON readers keep it exact."""
    digest = hashlib.sha256(f"{seed}/{step}/{problem_id}/{index}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 11


def roll_out(
    sampler: Sampler,
    sandbox: Sandbox | StandIn,
    problems: Sequence[TrainingProblem],
    table: RolloutTable,
    seed: int,
    step: int,
    stop: tuple[str, ...] = (),
    cache: VerdictCache | None = None,
) -> Rollout:
    """Draw `table.samples` answers to each problem and execute each as soon as it is written.

    The samples of the rollout are in the order of problem and index. `stop` strings end a bare completion.
    """
    asks: list[SampleRequest] = []
    owners: list[tuple[TrainingProblem, int, int]] = []
    for place, problem in enumerate(problems):
        for index in range(table.samples):
            # A problem that comes twice in one step must not get the same answers twice.
            one = seed_of(seed, step, f"{problem.problem.id}/{place}", index)
            asks.append(SampleRequest(len(asks), problem.prompt, one))
            owners.append((problem, index, one))
    form: Form = "reply" if table.style == "chat" else "completion"
    verdicts: dict[str, Verdict] = {}
    executor = Executor(sandbox, lambda verdict: verdicts.update({verdict.id: verdict}), cache=cache)
    samples: dict[int, RolloutSample] = {}
    began = time.perf_counter()
    try:
        drawn = sampler.draw(
            asks,
            temperature=table.temperature,
            max_new_tokens=table.max_new_tokens,
            stop=stop if table.style == "completion" else (),
        )
        for answer in drawn:
            problem, index, one = owners[answer.key]
            program = extract(problem.problem, answer.text, form).program
            samples[answer.key] = RolloutSample(problem, index, one, answer, program)
            for to_run in programs_of(answer.key, problem, program, table):
                executor.submit(to_run)
        if len(samples) != len(asks):
            raise TrainingError(f"the sampler answered {len(samples)} of {len(asks)} asks")
    except BaseException:
        executor.stop()
        raise
    return Rollout(
        [samples[key] for key in range(len(asks))], executor, verdicts, time.perf_counter() - began
    )


def programs_of(key: int, problem: TrainingProblem, candidate: str, table: RolloutTable) -> list[Program]:
    """Return what the sandbox runs for one answer: `paid/KEY` with the checks that pay, `held/KEY` with the others."""
    return [
        Program(
            id=f"{part}/{key}",
            candidate=candidate,
            checks=tuple(checks),
            entry_point=problem.problem.entry_point,
            limits=limits_of(table),
            prelude=problem.problem.prompt,
            mode=problem.problem.mode,
            stateful=problem.problem.stateful,
        )
        for part, checks in (("paid", problem.paid), ("held", problem.held_out))
        if checks
    ]
