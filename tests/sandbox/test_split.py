"""Split mode: the judge's cell and the candidate's, the codec between them, and what falls back to shared mode."""

from __future__ import annotations

import math
import socket
import struct
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.sandbox import Limits, Outcome, Program, Sandbox, Verdict
from assay.sandbox.cell import channel, codec
from assay.sandbox.host.needs import Needs
from assay.sandbox.host.verdicts import Rules


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=2) as box:
        yield box


def judge(
    sandbox: Sandbox, candidate: str, *checks: str, prelude: str = "", limits: Limits | None = None
) -> Verdict:
    program = Program("p", candidate, checks, "f", limits or Limits(), prelude)
    (verdict,) = sandbox.run([program])
    return verdict


@pytest.mark.isolated
def test_a_right_and_a_wrong_answer(sandbox: Sandbox) -> None:
    checks = ("assert f(2) == 4", "assert f(3) == 6", "assert f([1]) == [1, 1]")
    right = judge(sandbox, "def f(x):\n    return x * 2", *checks)
    assert (right.outcome, right.checks_passed, right.mode) == (Outcome.PASS, 3, "split")
    wrong = judge(sandbox, "def f(x):\n    return 4", *checks)
    assert (wrong.outcome, wrong.checks_passed) == (Outcome.FAIL, 1)
    assert wrong.detail == "check 2 of 3: AssertionError (line 1)"


@pytest.mark.isolated
def test_check_function_as_human_eval_writes_it(sandbox: Sandbox) -> None:
    check = "def check(candidate):\n    assert candidate(1) == 1\n    assert candidate(0) == 0\n\ncheck(f)"
    assert judge(sandbox, "def f(x):\n    return x", check).passed


@pytest.mark.isolated
def test_arguments_that_a_candidate_changes_are_written_back(sandbox: Sandbox) -> None:
    candidate = "def f(a, d, s, b, *, k):\n    a.sort(); d['x'] = [1]; s.add(9); b += b'z'; k.clear()"
    check = (
        "a, d, s, b, k = [3, 1], {}, {1}, bytearray(b'y'), [1]\n"
        "assert f(a, d, s, b, k=k) is None\n"
        "assert (a, d, s, b, k) == ([1, 3], {'x': [1]}, {1, 9}, bytearray(b'yz'), [])"
    )
    verdict = judge(sandbox, candidate, check)
    assert verdict.passed, verdict.detail


@pytest.mark.isolated
@pytest.mark.parametrize("raised", ["ValueError('no')", "KeyError('k')", "ZeroDivisionError()", "Own('x')"])
def test_exceptions_cross_by_type_name(sandbox: Sandbox, raised: str) -> None:
    candidate = f"class Own(ValueError): pass\ndef f():\n    raise {raised}"
    kind = "ValueError" if "Own" in raised else raised.partition("(")[0]
    check = f"try:\n    f()\nexcept {kind}:\n    pass\nelse:\n    assert False"
    verdict = judge(sandbox, candidate, check)
    assert verdict.passed, verdict.detail
    assert judge(sandbox, candidate, "f()").outcome is Outcome.ERROR


@pytest.mark.isolated
def test_iterators_and_standard_containers_answer_like_themselves(sandbox: Sandbox) -> None:
    candidate = (
        "import collections, enum, itertools, decimal\n"
        "class Color(enum.IntEnum): RED = 1\n"
        "P = collections.namedtuple('P', 'x y')\n"
        "def f(n):\n"
        "    return [(i for i in range(3)), map(str, [1]), collections.Counter('aab'), Color.RED, P(1, 2),\n"
        "            {1: 2}.keys(), collections.deque([1]), decimal.Decimal('0.1'), range(3),\n"
        "            collections.OrderedDict(a=1)][n]"
    )
    checks = (
        "assert list(f(0)) == [0, 1, 2]",
        "assert next(f(1)) == '1'",
        "assert f(2) == {'a': 2, 'b': 1}",
        "assert f(3) == 1",
        "assert f(4) == (1, 2)",
        "assert f(5) == {1}",
        "assert list(f(6)) == [1]",
        "import decimal\nassert f(7) == decimal.Decimal('0.1')",
        "assert f(8) == range(3)",
        "assert f(9) == {'a': 1}",
    )
    verdict = judge(sandbox, candidate, *checks)
    assert verdict.passed, verdict.detail


@pytest.mark.isolated
def test_an_object_is_not_an_answer(sandbox: Sandbox) -> None:
    candidate = "class Any:\n    def __eq__(self, other): return True\ndef f(): return Any()"
    verdict = judge(sandbox, candidate, "assert f() == 3")
    assert verdict.outcome is Outcome.ERROR
    assert verdict.detail == "not data: a check compares a Any by the class's own rule"
    assert verdict.notes == ("not_data",)
    assert verdict.mode == "split"


@pytest.mark.isolated
def test_a_prelude_is_the_judges_own(sandbox: Sandbox) -> None:
    prelude = "def helper(x):\n    return x - 3\n\ndef f(x):\n    '''What f does.'''\n"
    check = "assert helper(f(1)) == 0"
    forged = "def helper(x):\n    return 0\ndef f(x):\n    return 99"
    assert judge(sandbox, forged, check).passed  # without a prelude the helper is the candidate's
    assert judge(sandbox, forged, check, prelude=prelude).outcome is Outcome.FAIL
    assert judge(sandbox, "def f(x):\n    return 3", check, prelude=prelude).passed


@pytest.mark.isolated
def test_a_candidate_that_ends_or_fails_to_load(sandbox: Sandbox) -> None:
    gone = judge(sandbox, "import os\ndef f(): os._exit(0)", "assert True", "assert f() == 1")
    assert (gone.outcome, gone.checks_passed) == (Outcome.ERROR, 1)
    assert gone.detail == "exited with status 0 before its checks were done"
    assert judge(sandbox, "x = y", "assert f() == 1").detail == "NameError: name 'y' is not defined (line 1)"
    assert judge(sandbox, "x = 1", "f()").detail == "NameError: name 'f' is not defined (line 1)"
    assert judge(sandbox, "x = bytearray(8 << 30)", "f()").outcome is Outcome.MEMORY
    assert judge(sandbox, "def f(): return bytearray(8 << 30)", "f()").outcome is Outcome.MEMORY


@pytest.mark.isolated
def test_limits_hold_in_calls(sandbox: Sandbox) -> None:
    limits = Limits(cpu_s=0.5, wall_s=2)
    busy = judge(sandbox, "def f():\n    while True: pass", "f()", limits=limits)
    idle = judge(sandbox, "import time\ndef f(): time.sleep(60)", "f()", limits=limits)
    assert busy.outcome is idle.outcome is Outcome.TIMEOUT
    assert idle.detail.startswith("wall time")
    flood = judge(sandbox, "def f(): print('x' * 3_000_000)", "f()")
    assert flood.outcome is Outcome.OUTPUT


@pytest.mark.isolated
def test_output_of_candidate_is_captured(sandbox: Sandbox) -> None:
    assert judge(sandbox, "def f(): print('hello')", "f()").output == "hello\n"


@pytest.mark.isolated
@pytest.mark.parametrize(
    "check",
    [
        "assert 'f' in globals()",
        "class Mine(Stack): pass\nassert isinstance(Mine(), Stack)",
        "assert Stack() == Stack()",
        "import gc\nassert f(lambda x: x) == 1",
        "from unittest.mock import patch\nwith patch('time.sleep'):\n    assert f(lambda x: x) == 1",
        "from unittest.mock import Mock\nassert f(Mock(return_value=3)) == 3",
    ],
)
def test_checks_that_need_more_than_handles_are_judged_in_shared_mode(sandbox: Sandbox, check: str) -> None:
    candidate = (
        "LIMIT = 3\ndef f(g): return g(1)\nclass Stack(list):\n    def push(self, x): self.append(x)\n"
    )
    verdict = judge(sandbox, candidate, check)
    assert verdict.passed, verdict.detail
    assert verdict.mode == "shared"


@pytest.mark.isolated
def test_a_program_may_ask_for_its_mode(sandbox: Sandbox) -> None:
    programs = [
        Program(mode, "def f(): return 1", ("assert f() == 1",), "f", mode=mode)
        for mode in ("split", "shared")
    ]
    assert {v.id: v.mode for v in sandbox.run(programs)} == {"split": "split", "shared": "shared"}


@pytest.mark.isolated
def test_split_mode_asked_for_is_split_mode_whatever_the_checks_look_like(sandbox: Sandbox) -> None:
    program = Program("p", "def Make(): return 1", ("assert Make() == Make()",), "Make", mode="split")
    assert Rules("split").needs(program).mode == "shared"
    (verdict,) = sandbox.run([program])
    assert (verdict.outcome, verdict.mode) == (Outcome.PASS, "split")


def test_needs_are_read_from_the_checks() -> None:
    def needs_of(*checks: str, packages: tuple[str, ...] = ()) -> Needs:
        return Rules("split", packages).needs(Program("p", "", checks, "f"))

    needs = needs_of("import math\nx = 1\ndef g(y): return y\nassert g(f(x)) == h(math.pi)")
    assert (needs.names, needs.mode) == (("f", "h"), "split")
    assert needs_of("import numpy as np\nassert np.all(f())", packages=("numpy",)).mode == "shared"
    assert needs_of("assert f(1 == 2").mode == "split"
    assert (
        needs_of("assert Diff([1], [-2]) == {'a': (1, None)}").mode == "split"
    )  # a function's name, as in MBPP
    assert (
        needs_of("assert Point(1) == Point(2)").mode
        == needs_of("p = Point(1)\nassert p == q").mode
        == "shared"
    )


# --- the codec ---------------------------------------------------------------------------------------------------


def there_and_back(value: Any) -> Any:
    return codec.decode(codec.from_bytes(codec.to_bytes([codec.encode(value, [])]))[0], [])


def same(a: Any, b: Any) -> bool:
    """Equal in type and value, NaN and the sign of zero included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (a == b and math.copysign(1, a) == math.copysign(1, b)) or (math.isnan(a) and math.isnan(b))
    if isinstance(a, complex):
        return same(a.real, b.real) and same(a.imag, b.imag)
    if isinstance(a, (list, tuple, deque)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a.items(), b.items(), strict=True))
    return bool(a == b)


# No NaN in keys and sets, which tell their members apart by equality.
keys = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()) | st.binary()
    | st.complex_numbers(allow_nan=False)
)  # fmt: skip
hashable = st.recursive(
    keys, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5
)
scalars = keys | st.floats()
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner) | st.dictionaries(hashable, inner, max_size=4) | st.tuples(inner, inner)
        | st.sets(hashable, max_size=4) | st.lists(inner).map(deque)
    ),
    max_leaves=12,
)  # fmt: skip


@given(values)
def test_data_crosses_exactly(value: Any) -> None:
    assert same(there_and_back(value), value)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"), float("inf"), -float("inf"), -0.0, 10**5000, -(2**70), "\udcff\0", bytearray(b"a"),
        range(9, 1, -2),
        Decimal("1.10"), Fraction(1, 3), datetime(2024, 5, 6, 7, 8, 9, 10), date(2024, 2, 29), timedelta(-1, 3, 7),
        Counter("aab"), OrderedDict(b=1, a=2), [], {}, set(), (), {"d": 1}, {"i": {"t": [1]}}, [[[[]]]],
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_special_values_cross_exactly(value: Any) -> None:
    assert same(there_and_back(value), value)


class Sly(list):  # type: ignore[type-arg]
    def __iter__(self) -> Iterator[Any]:
        return iter([42])

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class Number(IntEnum):
    ONE = 1


class Pair(NamedTuple):
    a: int


def test_only_data_has_a_form_of_its_own() -> None:
    for value in (Sly([1]), Number.ONE, Pair(1), iter([1]), object(), print):
        with pytest.raises(codec.NotDataError):
            codec.encode(value, [])


def test_caps_on_depth_and_size() -> None:
    deep: list[Any] = []
    for _ in range(1000):
        deep = [deep]
    cycle: list[Any] = []
    cycle.append(cycle)
    for value in (deep, cycle):
        with pytest.raises(codec.NotDataError, match="deep"):
            codec.encode(value, [])
    with pytest.raises(codec.NotDataError, match="bytes"):
        codec.to_bytes([codec.encode("x" * (codec.MAX_BYTES + 1), [])])


@given(
    st.recursive(
        st.none() | st.text(max_size=3) | st.integers(),
        lambda i: st.lists(i) | st.dictionaries(st.text(max_size=2), i),
    )
)
def test_a_decoder_makes_data_or_refuses(form: Any) -> None:
    """Whatever a hostile candidate writes, decoding ends in data or in an error that the judge expects."""
    try:
        value = codec.decode(form, [])
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError):
        return
    assert type(value).__module__ in ("builtins", "collections", "datetime", "decimal", "fractions")


def test_messages_are_taken_in_order_however_they_arrive() -> None:
    """All at once, in pieces, or one by one: a reader gives the same messages."""
    sent = [[0], [2, "x" * 100, []], [3, ["ValueError"], "y"]]
    stream = b"".join(
        struct.pack("!I", len(data)) + data for data in (codec.to_bytes(message) for message in sent)
    )
    for piece in (1, 3, 7, 50, len(stream)):
        ours, other = socket.socketpair()
        with ours, other:
            for start in range(0, len(stream), piece):
                other.sendall(stream[start : start + piece])
            other.shutdown(socket.SHUT_WR)
            reader = channel.Reader(ours.fileno())
            assert [reader.receive() for _ in sent] == sent
            with pytest.raises(EOFError):
                reader.receive()
