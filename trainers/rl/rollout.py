"""Drawing a batch of answers and executing them meanwhile: an answer is in the sandbox as soon as it is written."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from assay.sandbox import Executor, Program, Sandbox, SandboxError, StandIn, Verdict, VerdictCache
from assay.suites import Problem
from assay.suites.extraction.extract import Form, extract
from assay.suites.model import chat_messages
from assay.trainers.config.rl import RolloutTable, Weak
from assay.trainers.data.problems import limits_of
from assay.trainers.errors import TrainingError
from assay.trainers.rl.check_split import Halves, types_only
from assay.trainers.rl.sampler import SampledAnswer, Sampler, SampleRequest


@dataclass(frozen=True, slots=True)
class TrainingProblem:
    """A problem as it is practised: its prompt as the model reads it, the checks that pay, and those held out."""

    problem: Problem
    prompt: str
    paid: tuple[str, ...]
    held: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RolloutSample:
    """One answer of the batch, with the program it stands for."""

    exercise: TrainingProblem
    index: int
    seed: int
    drawn: SampledAnswer
    program: str


class Rollout:
    """A batch of answers, drawn, and their verdicts, which come while the caller goes on. `wait_s` is the time that
    waiting for them took: the part of the execution that hid behind nothing."""

    def __init__(
        self,
        attempts: list[RolloutSample],
        executor: Executor,
        verdicts: dict[str, Verdict],
        generate_s: float,
    ) -> None:
        """`verdicts` is what the executor fills, by program id."""
        self.attempts = attempts
        self.generate_s = generate_s
        self.wait_s = 0.0
        self._executor, self._verdicts = executor, verdicts

    @property
    def busy_s(self) -> float:
        """The wall time during which programs were under way."""
        return self._executor.busy_s

    def verdicts(self) -> dict[str, Verdict]:
        """Wait for all verdicts and return them by program id. Raises TrainingError where the sandbox gave up."""
        began = time.perf_counter()
        try:
            self._executor.wait()
        except SandboxError as error:
            raise TrainingError(f"the sandbox could not judge answers: {error}") from error
        self.wait_s = time.perf_counter() - began
        return self._verdicts

    def abandon(self) -> None:
        """Have what is under way ended, without waiting for it."""
        self._executor.stop()


def exercise_of(problem: Problem, prompt: str, halves: Halves | None, weak: Weak | None) -> TrainingProblem:
    """With `halves` the first pays, and the other is held out. `weak` keeps only so many of the checks that pay, or of
    each the answer's type alone; without halves the checks that it takes away are held out, or all as they are."""
    if halves is not None:
        paid, held = halves
    elif weak == "types":
        paid = held = problem.checks
    else:
        paid, held = problem.checks[:weak], problem.checks[weak:] if weak else ()
    return TrainingProblem(problem, prompt, types_only(paid) if weak == "types" else paid[:weak], held)


def render(problem: Problem, style: str, tokenizer: object) -> str:
    """A problem as the model reads it. Raises TrainingError where a chat is asked of a model without a template."""
    if style == "completion":
        return problem.prompt
    if getattr(tokenizer, "chat_template", None) is None:
        raise TrainingError('this model has no chat template; use rollout.style = "completion"')
    text = tokenizer.apply_chat_template(  # type: ignore[attr-defined]
        chat_messages(problem), tokenize=False, add_generation_prompt=True
    )
    return str(text)


def choose(exercises: Sequence[TrainingProblem], step: int, count: int, seed: int) -> list[TrainingProblem]:
    """The exercises of one step (from 0): a shuffled pass over all, then another, whatever the step's number."""
    chosen = []
    for place in range(step * count, (step + 1) * count):
        lap, at = divmod(place, len(exercises))
        order = list(range(len(exercises)))
        random.Random(f"{seed}/{lap}").shuffle(order)
        chosen.append(exercises[order[at]])
    return chosen


def seed_of(seed: int, step: int, problem_id: str, index: int) -> int:
    """Below 2^53, so that JSON readers keep it exact."""
    digest = hashlib.sha256(f"{seed}/{step}/{problem_id}/{index}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 11


def roll_out(
    sampler: Sampler,
    sandbox: Sandbox | StandIn,
    exercises: Sequence[TrainingProblem],
    table: RolloutTable,
    seed: int,
    step: int,
    stop: tuple[str, ...] = (),
    cache: VerdictCache | None = None,
) -> Rollout:
    """Draw `table.samples` answers to each exercise, executing each as soon as it is written. Attempts come back in the
    order of exercise and index. `stop` strings end a bare completion."""
    asks: list[SampleRequest] = []
    owners: list[tuple[TrainingProblem, int, int]] = []
    for place, exercise in enumerate(exercises):
        for index in range(table.samples):
            # A problem that comes twice in one step must not get the same answers twice.
            one = seed_of(seed, step, f"{exercise.problem.id}/{place}", index)
            asks.append(SampleRequest(len(asks), exercise.prompt, one))
            owners.append((exercise, index, one))
    form: Form = "reply" if table.style == "chat" else "completion"
    verdicts: dict[str, Verdict] = {}
    executor = Executor(sandbox, lambda verdict: verdicts.update({verdict.id: verdict}), cache=cache)
    attempts: dict[int, RolloutSample] = {}
    began = time.perf_counter()
    try:
        drawn = sampler.draw(
            asks,
            temperature=table.temperature,
            max_new_tokens=table.max_new_tokens,
            stop=stop if table.style == "completion" else (),
        )
        for answer in drawn:
            exercise, index, one = owners[answer.key]
            program = extract(exercise.problem, answer.text, form).program
            attempts[answer.key] = RolloutSample(exercise, index, one, answer, program)
            for half, checks in (("paid", exercise.paid), ("held", exercise.held)):
                if checks:
                    executor.submit(_program(f"{half}/{answer.key}", exercise, program, checks, table))
        if len(attempts) != len(asks):
            raise TrainingError(f"the sampler answered {len(attempts)} of {len(asks)} asks")
    except BaseException:
        executor.stop()
        raise
    return Rollout(
        [attempts[key] for key in range(len(asks))], executor, verdicts, time.perf_counter() - began
    )


def _program(
    identity: str, exercise: TrainingProblem, program: str, checks: Sequence[str], table: RolloutTable
) -> Program:
    problem = exercise.problem
    return Program(
        id=identity,
        candidate=program,
        checks=tuple(checks),
        entry_point=problem.entry_point,
        limits=limits_of(table),
        prelude=problem.prompt,
        mode=problem.mode,
    )
