"""Which checks may share a judge process, and that one sample leaves nothing there to the next."""

from __future__ import annotations

import random
import sys
import weakref

import pytest

from assay.sandbox import Limits, Outcome, Program, Sandbox
from assay.sandbox.cell import runner
from assay.sandbox.cell.checks import Cache
from assay.sandbox.cell.resident import is_pure


@pytest.mark.parametrize(
    "source",
    [
        "assert f(1) == 2",
        "METADATA = {'a': 1}\ndef check(candidate):\n    assert candidate([1]) == [2]\ncheck(f)",
        "import math\nassert math.isclose(f(1.0), 2.0)",
        "from collections import Counter\nassert Counter(f('a')) == {'a': 1}",
        "for i in range(3):\n    x = [i]\n    x.append(f(i))\n    x[0] = 1\n    assert sorted(x)",
        "import random\nrandom.seed(1)\nassert f(random.gauss(0, 1))",
        "try:\n    f(1)\nexcept ValueError as error:\n    assert str(error)",
    ],
)
def test_pure_checks(source: str) -> None:
    assert is_pure([source.encode()])


@pytest.mark.parametrize(
    "source",
    [
        "import random\nrandom.random = f",
        "import random\nrandom._inst.seed(1)",
        "import sys",
        "import math\nmath.pi = 3",
        "import os.path",
        "from . import x",
        "f.__globals__",
        "().__class__.__bases__",
        "eval('1')",
        "globals()['x'] = 1",
        "setattr(f, 'x', 1)",
        "open('/tmp/x', 'w')",
        "import decimal\ndecimal.getcontext().prec = 3",
        "from decimal import getcontext as g\ng().clear_traps()",
        "class A: pass",
        "def g():\n    global x\n    x = 1",
        "x = (",
    ],
)
def test_checks_that_get_a_process_of_their_own(source: str) -> None:
    assert not is_pure([source.encode()])


@pytest.mark.isolated
def test_samples_share_nothing_but_the_process() -> None:
    """Names that one sample's checks define are gone for the next, and so is what its candidate answered."""
    first = Program("first", "def f(x): return x", ("seen = f(1)\nlimit = 5\nassert seen == 1",), "f")
    second = Program("second", "def f(x): return x", ("assert limit == 5 or f(1)",), "f")
    forked = Program("forked", "def f(x): return x", ("class A: pass\nassert f(1)",), "f")
    with Sandbox(workers=1) as box:
        for _ in range(3):
            outcomes = {v.id: v.outcome for v in box.run([first, second, forked])}
            assert outcomes == {"first": Outcome.PASS, "second": Outcome.ERROR, "forked": Outcome.PASS}


@pytest.mark.isolated
def test_random_numbers_are_the_same_for_every_sample() -> None:
    """Whatever the checks of the one before drew, or seeded."""
    draws = "import random\nassert f(0) or f(random.random()) == {0}\nrandom.gauss(0, 1)\nrandom.seed(9)"
    expected = random.Random(0).random()
    programs = [Program(str(n), "def f(x): return x", (draws.format(expected),), "f") for n in range(4)]
    with Sandbox(workers=1) as box:
        assert [(v.outcome, v.mode) for v in box.run(programs)] == [(Outcome.PASS, "split")] * 4


@pytest.mark.isolated
def test_a_check_that_never_ends_is_stopped_and_the_next_is_judged() -> None:
    endless = Program(
        "endless", "def f(x): return x", ("while f(1): pass",), "f", Limits(cpu_s=0.4, wall_s=3)
    )
    heavy = Program(
        "heavy", "def f(x): return x", ("y = f(1)\nwhile y: pass",), "f", Limits(cpu_s=0.4, wall_s=3)
    )
    fine = Program("fine", "def f(x): return x", ("assert f(1) == 1",), "f")
    with Sandbox(workers=1) as box:
        outcomes = [v.outcome for program in (endless, fine, heavy, fine) for v in box.run([program])]
    assert outcomes == [Outcome.TIMEOUT, Outcome.PASS, Outcome.TIMEOUT, Outcome.PASS]


@pytest.mark.isolated
def test_the_limits_of_a_judge_that_stays_are_those_of_each_sample() -> None:
    """The first sample's limit holds neither for one that may have more, nor for one that may have less."""
    checks = ("big = f(7) * 30\nassert len(big) == 30 * 7 << 20",)
    answers = "def f(x): return 'y' * (x << 20)"
    small, large = Limits(memory_bytes=100 << 20), Limits(memory_bytes=1 << 30)
    first = Program("first", answers, ("assert f(0) == ''",), "f", small)
    programs = [
        Program(f"{n}", answers, checks, "f", limits) for n, limits in enumerate((large, small, large))
    ]
    with Sandbox(workers=1) as box:
        outcomes = [v.outcome for program in (first, *programs) for v in box.run([program])]
    assert outcomes == [Outcome.PASS, Outcome.PASS, Outcome.MEMORY, Outcome.PASS]


def test_nothing_of_a_module_is_left_when_it_is_forgotten() -> None:
    before = {name: sys.modules.get(name) for name in ("__main__", runner.MODULE)}
    try:
        namespace = runner.new_module().__dict__
        source = b"class Answer: pass\nkept = Answer()\ndef check(): return kept\nloop = [check]\nloop.append(loop)"
        runner.run_source(source, "<check 1>", namespace)
        kept = weakref.ref(namespace["kept"])
        runner.forget_module()
        assert kept() is None
        assert runner.MODULE not in sys.modules
    finally:
        sys.modules.update({name: module for name, module in before.items() if module is not None})


def test_the_checks_that_are_kept_are_bounded_by_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.sandbox.cell.checks.Checks", len)
    cache = Cache()
    bodies = [bytes([65 + n]) * (5 << 20) for n in range(5)]
    for body in bodies:
        cache.get(body)
    assert sum(map(len, cache._known)) <= 16 << 20
    assert bodies[-1] in cache._known
