"""Which questions of checks may be moved, and the orders that are drawn for them."""

from __future__ import annotations

import itertools

import pytest

from assay.sandbox.cell import order

NUMBERS = [n * 0x9E3779B97F4A7C15 % 2**64 for n in range(1, 400)]
ASSERTS = ["assert f(1) == 2", "assert f(2) == 3", "assert f(3) == 4"]


def plan(*checks: str, first_run: int = 0) -> order.Plan:
    return order.plan(checks, ["f"], first_run)


def parts_run(source: str, number: int, turn: int = 0) -> list[int]:
    """The first arguments of f, in the order in which a check asks them."""
    made = plan(source)
    asked: list[int] = []
    tree = made.trees.get(0)
    code = compile(source if tree is None else tree, "<check 1>", "exec")

    def answer(x: int) -> int:
        asked.append(x)
        return x + 1

    exec(code, {"f": answer, order.ASK: order.Parts(number, turn), order.CALL: lambda _, f, *a: f(*a)})
    return asked


def test_an_order_is_a_permutation_and_the_same_each_time() -> None:
    drawn = [tuple(order.draw(range(4), number, 0)) for number in NUMBERS]
    assert set(drawn) == set(itertools.permutations(range(4)))
    assert order.draw(range(4), 7, 0) == order.draw(range(4), 7, 0)


@pytest.mark.parametrize("keys", [(0, 1), (0, 1, 2), (0, 0, 1), (0, 1, 0, 1, 1)])
def test_the_second_turn_wants_the_answers_in_another_sequence(keys: tuple[int, ...]) -> None:
    for number in NUMBERS:
        for turn in (1, 2, 3):
            later = order.draw(keys, number, turn)
            assert sorted(later) == list(range(len(keys)))
            assert [keys[i] for i in later] != [keys[i] for i in order.draw(keys, number, 0)]


@pytest.mark.parametrize(
    "source",
    [
        "\n".join(ASSERTS),
        "METADATA = {}\n\ndef check(candidate):\n    assert True, 'never'\n    "
        + "\n    ".join(ASSERTS).replace("f(", "candidate(")
        + "\n\ncheck(f)\n",
        "import math\nLIMIT = 1e-6\ndef near(x, y):\n    return math.fabs(x - y) < LIMIT\n"
        "assert near(f(1), 2)\nassert near(f(2), 3)\nassert near(f(3), 4)",
        "for x in (1,):\n    assert f(x) == x + 1\ny = 2\nz = y + 1\nassert f(y) == z\nassert f(3) == 4",
    ],
)
def test_independent_questions_are_moved(source: str) -> None:
    orders = {tuple(parts_run(source, number)) for number in NUMBERS}
    assert orders == set(itertools.permutations((1, 2, 3)))
    assert parts_run(source, 0) == [1, 2, 3]


def test_statements_that_share_a_variable_stay_together_and_in_order() -> None:
    source = "x = f(1)\nassert x == 2\nx = f(2)\nassert x == 3\nassert f(7) == 8"
    assert {tuple(parts_run(source, number)) for number in NUMBERS} == {(1, 2, 7), (7, 1, 2)}


def test_random_numbers_are_a_variable_too() -> None:
    source = "import random\nassert f(random.random()) > 0\nassert f(random.random()) > 1\nassert f(7) == 8"
    assert len(plan(source).trees) == 1
    assert {parts_run(source, number).index(7) for number in NUMBERS} == {0, 2}


@pytest.mark.parametrize(
    "source",
    [
        "f(1)\nassert f(2) == 3",
        "assert f() == 1\nassert f() == 2",
        "assert f(1) == 1\nassert f(1) == 2",
        "s = f(1)\ns.push(2)\nassert s.pop() == 2",
        "s = f(1)\nassert s.pay(1) == 2\nassert s.pay(1) == 3",
        "f.limit = 3\nassert f(1) == 2\nassert f(2) == 3",
        "exec('assert f(1) == 2')\nassert f(2) == 3",
        "from math import *\nassert f(1) == 2\nassert f(2) == 3",
        "assert f(1) ==",
        "class T(unittest.TestCase):\n    def test_f(self):\n        self.assertEqual(f(1), 2)\n",
    ],
)
def test_commands_and_what_is_not_understood_are_kept(source: str) -> None:
    made = plan(source)
    assert made.kept
    assert not made.trees
    assert made.is_confirmed(0)


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    f(-1)\nexcept ValueError:\n    pass\nelse:\n    assert False\nassert f(1) == 2",
        "import pytest\nwith pytest.raises(ValueError):\n    f(-1)\nassert f(1) == 2",
    ],
)
def test_waiting_for_an_exception_is_a_question(source: str) -> None:
    assert not plan(source).kept
    assert plan(source).bits == 1


def test_checks_are_moved_within_their_run() -> None:
    made = plan(
        "import math\nassert f(1) == 2", *ASSERTS[1:], "assert f(4) == 5", "assert f(6) == 7", first_run=3
    )
    assert [run.positions for run in made.runs] == [(0, 1, 2), (3, 4)]
    assert set(made.heads) == {0}


def test_a_check_that_defines_what_others_use_divides_runs() -> None:
    made = plan(*ASSERTS, "x = f(4)", "assert f(x) == 6", *ASSERTS)
    assert [run.positions for run in made.runs] == [(0, 1, 2), (5, 6, 7)]


def test_numbered_cases_are_questions() -> None:
    maker = (
        "def cases(call):\n    stopped = []\n    def case(i):\n        stopped.clear()\n"
        "        assert call(i) == i + 1\n    return case\n"
    )
    made = plan(maker, "case = cases(lambda x: f(x))\ncase(0)", "case(1)", "case(2)")
    assert not made.kept
    assert [run.positions for run in made.runs] == [(1, 2, 3)]


def test_one_question_needs_no_confirmation_and_few_answers_need_several() -> None:
    assert plan("assert f(1) == 2").is_confirmed(0)
    assert plan("assert f(1) == 2\nassert f(2) == 2").is_confirmed(0)  # one answer passes, whatever is asked
    two = plan(*ASSERTS[:2])
    assert [two.is_confirmed(turn) for turn in range(4)] == [False, False, False, True]
    assert plan(*(f"assert f({n}) == {n + 1}" for n in range(8))).is_confirmed(0)
    loop = plan("for x in range(9):\n    assert f(x) == x + 1")
    assert (loop.bits, [loop.is_confirmed(turn) for turn in range(4)]) == (0, [False, False, False, True])
