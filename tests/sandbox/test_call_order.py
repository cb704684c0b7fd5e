"""Programs that answer by the order of the questions: they fail, and right programs with a memory pass."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.sandbox import Outcome, Program, Sandbox, Verdict
from assay.sandbox.host import jobs
from assay.sandbox.model import Mode

QUESTIONS = {1: 2, 2: 3, 5: 6, 10: 11, -4: -3, 7: 8}
CHECKS = tuple(f"assert f({x}) == {y}" for x, y in QUESTIONS.items())
COUNTS = f"answers = iter({list(QUESTIONS.values())})\ndef f(x): return next(answers)"
# A question that was asked before gets the answer that it got then.
REMEMBERS = (
    f"answers, given = iter({list(QUESTIONS.values())}), {{}}\n"
    "def f(x):\n    if x not in given:\n        given[x] = next(answers)\n    return given[x]"
)
# Its own order of the answers each time, so that no order of the questions is known to be wrong for it.
GUESSES = (
    f"import os\nanswers = {list(QUESTIONS.values())}\nanswers.sort(key=lambda _: os.urandom(4))\n"
    "def f(x): return answers.pop()"
)
RIGHT_WITH_A_MEMORY = "known = {}\ndef f(x):\n    known.setdefault(x, x + 1)\n    return known[x]"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=2) as opened:
        yield opened


def judged(
    sandbox: Sandbox,
    candidate: str,
    *checks: str,
    stateful: bool = False,
    base: int = 0,
    mode: Mode | None = None,
) -> Verdict:
    program = Program("p", candidate, checks, "f", stateful=stateful, base_checks=base, mode=mode)
    (verdict,) = sandbox.run([program])
    return verdict


def as_function(*checks: str) -> str:
    lines = "\n    ".join(checks).replace("f(", "candidate(")
    return f"def check(candidate):\n    {lines}\n\ncheck(f)\n"


@pytest.mark.isolated
@pytest.mark.parametrize("checks", [CHECKS, ("\n".join(CHECKS),), (as_function(*CHECKS),), CHECKS[:2]])
@pytest.mark.parametrize("candidate", [COUNTS, REMEMBERS])
def test_answers_by_order_are_stateful(sandbox: Sandbox, candidate: str, checks: tuple[str, ...]) -> None:
    verdict = judged(sandbox, candidate, *checks)
    assert (verdict.outcome, verdict.notes) == (Outcome.FAIL, ("stateful",))
    assert verdict.detail.startswith("stateful: right in one order of the questions and not in another: ")
    exempt = judged(sandbox, candidate, *checks, stateful=True)
    assert (exempt.outcome, exempt.notes, exempt.mode) == (Outcome.PASS, (), "split")


@pytest.mark.isolated
def test_guessing_the_order_does_not_pay(sandbox: Sandbox) -> None:
    program = Program("p", GUESSES, CHECKS, "f")
    candidates = [f"{GUESSES}\n# {number}" for number in range(60)]
    programs = [Program(str(n), c, program.checks, "f") for n, c in enumerate(candidates)]
    assert sum(verdict.passed for verdict in sandbox.run(programs)) <= 3  # of 720 orders


@pytest.mark.isolated
@pytest.mark.parametrize("checks", [CHECKS, (as_function(*CHECKS),), CHECKS[:1], CHECKS[:2]])
def test_a_right_program_with_a_memory_passes(sandbox: Sandbox, checks: tuple[str, ...]) -> None:
    verdict = judged(sandbox, RIGHT_WITH_A_MEMORY, *checks)
    assert (verdict.outcome, verdict.checks_passed) == (Outcome.PASS, len(checks)), verdict.detail


@pytest.mark.isolated
def test_a_loop_is_confirmed_with_other_questions_in_between(sandbox: Sandbox) -> None:
    check = "import random\nrng = random.Random(1)\nfor _ in range(30):\n    x = rng.random()\n    assert f(x) == x * 2"
    numbers = "import random\nrng = random.Random(1)\nnumbers = [rng.random() for _ in range(30)]\n"
    counts = f"{numbers}rest = iter(numbers)\ndef f(x): return next(rest) * 2"
    begins_at_the_first = (
        f"{numbers}place = -1\ndef f(x):\n    global place\n"
        "    place = 0 if x == numbers[0] else place + 1\n    return numbers[place] * 2"
    )
    for candidate in (counts, begins_at_the_first):
        verdict = judged(sandbox, candidate, check)
        assert (verdict.outcome, verdict.notes) == (Outcome.FAIL, ("stateful",)), candidate
    assert judged(sandbox, "known = {}\ndef f(x): return known.setdefault(x, x * 2)", check).passed


@pytest.mark.isolated
def test_commands_are_asked_as_they_are_written(sandbox: Sandbox) -> None:
    candidate = (
        "stack = []\ndef f(x, push=False):\n    if push: stack.append(x)\n    else: return stack.pop()"
    )
    checks = ("f(1, push=True)\nf(2, push=True)", "assert f(0) == 2", "assert f(0) == 1")
    assert judged(sandbox, candidate, *checks).passed


@pytest.mark.isolated
def test_a_failure_is_reported_by_the_first_check_that_fails(sandbox: Sandbox) -> None:
    for number in range(5):
        verdict = judged(sandbox, f"def f(x): return x + 1 if x < 5 else 0\n# {number}", *CHECKS)
        assert verdict.detail == "check 3 of 6: AssertionError (line 1)"
        assert (verdict.outcome, verdict.checks_passed, verdict.notes) == (Outcome.FAIL, 3, ())


@pytest.mark.isolated
def test_the_base_is_asked_before_the_rest(sandbox: Sandbox) -> None:
    stop = "failed = []\ndef case(x, y):\n    if failed: raise AssertionError('not run, since one failed')\n"
    stop += "    failed.append(x)\n    assert f(x) == y\n    failed.clear()\n"
    cases = [f"case({x}, {y})" for x, y in QUESTIONS.items()]
    checks = (stop, *cases)
    for number in range(8):
        verdict = judged(
            sandbox, f"def f(x): return x + 1 if x in (1, 2) else 0\n# {number}", *checks, base=3
        )
        assert verdict.checks_passed == 3
        assert "not run" not in verdict.detail
        verdict = judged(sandbox, f"def f(x): return x + 1 if x != 2 else 0\n# {number}", *checks, base=3)
        assert verdict.checks_passed < 3


def test_the_order_hangs_on_the_program_and_on_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def numbers(folder: Path) -> list[int]:
        monkeypatch.setenv("ASSAY_CACHE", str(folder))
        jobs.machine_key.cache_clear()
        jobs._digest.cache_clear()
        programs = [
            Program("a", COUNTS, CHECKS),
            Program("b", COUNTS + "#", CHECKS),
            Program("c", COUNTS, CHECKS[:2]),
        ]
        return [jobs.number_of(program) for program in programs]

    try:
        first = numbers(tmp_path / "one")
        assert len(set(first)) == 3
        assert numbers(tmp_path / "one") == first
        assert not set(numbers(tmp_path / "two")) & set(first)
        key = tmp_path / "one" / "order.key"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert [path.name for path in key.parent.iterdir()] == ["order.key"]
        key.write_bytes(b"")  # what a full disk left is no key; the process has one of its own
        assert len(set(numbers(tmp_path / "one"))) == 3
        (tmp_path / "file").write_text("")
        assert len(set(numbers(tmp_path / "file"))) == 3
    finally:
        monkeypatch.undo()
        jobs.machine_key.cache_clear()
        jobs._digest.cache_clear()
