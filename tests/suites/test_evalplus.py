"""EvalPlus-form suites: its rules held against numpy's own functions, its inputs' types, and what a bad file says."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.suites import Suite, SuiteError, load_suite
from assay.suites.evalplus.build import LARGE_CHARS, make_oracle
from assay.suites.evalplus.compare import assay_compare
from assay.suites.evalplus.inputs import mbpp_arguments
from assay.suites.evalplus.profile import PROFILES, is_floats
from assay.suites.evalplus.values import assay_values

agrees, close = assay_compare()
to_text, decode, fingerprint = assay_values()
NEW, OLD = PROFILES["evalplus-0.3.1"], PROFILES["evalplus-0.2.2"]

ROW = {
    "task_id": "Mbpp/2",
    "prompt": '"""\nAdd.\nassert plus((1, 2)) == 3\n"""\n',
    "entry_point": "plus",
    "canonical_solution": "def plus(pair):\n    return pair[0] + pair[1]\n",
    "base_input": [[[1, 2]]],
    "plus_input": [[[3, 4]], [[0, 0]]],
    "atol": 0,
}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


numbers = st.one_of(st.floats(), st.integers(-(2**40), 2**40), st.booleans())
nested = st.recursive(numbers, lambda inner: st.lists(inner, max_size=3), max_leaves=8)


@given(nested, nested, st.sampled_from([1e-6, 1e-4]))
def test_close_is_numpys_allclose(out: Any, exp: Any, atol: float) -> None:
    def reference() -> bool:
        with np.errstate(all="ignore"):
            return bool(np.allclose(out, exp, rtol=1e-07, atol=atol))

    try:
        expected_result: bool | type = reference()
    except (TypeError, ValueError):
        expected_result = TypeError
    try:
        found: bool | type = bool(close(out, exp, atol))
    except TypeError:
        found = TypeError
    assert found == expected_result


@given(st.floats(-1e6, 1e6), st.floats(-2e-6, 2e-6))
def test_close_beside_the_tolerance(exp: float, off: float) -> None:
    assert close([exp + off], [exp], 1e-6) == np.allclose([exp + off], [exp], rtol=1e-07, atol=1e-6)


@given(nested, nested)
def test_the_older_release_compares_as_assert_allclose_does(out: Any, exp: Any) -> None:
    try:
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(out, exp, atol=1e-4)
        expected_result = True
    except (AssertionError, TypeError, ValueError):
        expected_result = False
    try:
        found = bool(agrees("equal", [], out, exp, 1e-4, False))
    except TypeError:
        found = False
    assert found == expected_result or out == exp  # an exact match is not looked at any further


@pytest.mark.parametrize(
    ("rule", "args", "out", "exp", "atol", "right"),
    [
        ("equal", [], (1, 2), (1, 2), 0, True),
        ("equal", [], [1, 2], (1, 2), 0, False),
        ("equal", [], 1.0000001, 1.0, 1e-6, True),
        ("equal", [], 1, 1.0, 0, True),
        ("equal", [], [1.0, 2.0], [1.0], 1e-6, False),
        ("equal", [], (1.0000001,), [1.0], 1e-6, False),  # the type has to be the reference's
        ("set", [], [2, 1, 1], (1, 2), 0, True),
        ("set", [], [2], (1, 2), 0, False),
        ("not-none", [], object(), True, 0, True),
        ("not-none", [], None, True, 0, False),
        ("not-none", [], None, False, 0, True),
        ("not-none", [], False, True, 0, False),
        ("any", [], "whatever", True, 0, True),
        ("zero-too", [], 0, 7, 0, True),
        ("zero-too", [], 1, 7, 0, False),
        ("surface", [3, 4], 35, 100, 0, True),
        ("digits", [1, 23], 4, 5, 0, True),
        ("root", [[1, 2]], -0.5, None, 1e-4, True),
        ("root", [[1, 2]], -5.0, None, 1e-4, False),
    ],
)
def test_the_rules(rule: str, args: list[Any], out: Any, exp: Any, atol: float, right: bool) -> None:
    assert bool(agrees(rule, args, out, exp, atol)) is right


def test_a_root_below_zero_passed_in_the_older_release() -> None:
    assert not agrees("root-below", [[1, 2]], 5.0, 5.0, 1e-4, False)
    assert agrees("root-below", [[1, 2]], -5.0, -5.0, 1e-4, False)


def test_the_tolerance_stays_once_floats_were_expected() -> None:
    assert NEW.tolerances(0, [1, 2.0, 3]) == [0, 1e-6, 1e-6]
    assert NEW.tolerances(1e-4, [2.0]) == [1e-4]
    assert NEW.tolerances(0, [[], 1]) == [0, 0]
    assert OLD.tolerances(0, [[], 1]) == [1e-6, 1e-6]
    assert not is_floats([1.0, 2])


data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
        | st.frozensets(st.integers() | st.text(), max_size=4)
        | st.sets(st.integers(), max_size=4)
    ),
    max_leaves=12,
)


@given(data)
def test_values_come_back_as_they_were(value: Any) -> None:
    back = decode(json.loads(to_text(value)))
    assert back == value
    assert type(back) is type(value)


def test_values_that_json_has_not() -> None:
    for value in (10**6000, 1j, range(3, 9, 2), math.inf, -0.0, {1: (2, {3})}):
        assert decode(json.loads(to_text(value))) == value
    assert math.isnan(decode(json.loads(to_text(math.nan))))
    with pytest.raises(TypeError, match="a object is not data"):
        to_text([object()])


def test_a_fingerprint_tells_values_and_types_apart() -> None:
    assert fingerprint([("a", 1)]) == fingerprint([("a", 1)])
    assert len({fingerprint(v) for v in ([1], [1.0], [True], (1,), ["1"])}) == 5
    assert fingerprint(object()) == ""


@pytest.mark.parametrize(
    ("task", "given_", "real"),
    [
        (2, [[1], [2]], [(1,), (2,)]),
        (63, [[[1, 2], [3, 4]]], [[(1, 2), (3, 4)]]),
        (75, [[[1, 2]], 3], [[(1, 2)], 3]),
        (106, [[1], [2]], [[1], (2,)]),
        (115, [[[1, 2], [], {}]], [[{1, 2}, {}, {}]]),
        (124, ["0", "1j"], [0.0, 1j]),
        (252, ["1+2j"], [1 + 2j]),
        (259, [[[1, 2]], [[3]]], [((1, 2),), ((3,),)]),
        (278, [[1, [2, 3]]], [(1, (2, 3))]),
        (307, [[1], 2, 3], [(1,), 2, 3]),
        (580, [[1, [2, [3]]]], [(1, (2, (3,)))]),
        (722, [{"a": [1, 2]}, 3], [{"a": (1, 2)}, 3]),
        (4, [[1], 2], [[1], 2]),
    ],
)
def test_inputs_get_their_types_back(task: int, given_: list[Any], real: list[Any]) -> None:
    found = mbpp_arguments(f"Mbpp/{task}", given_)
    assert found == real
    assert [type(value) for value in found] == [type(value) for value in real]


def oracle_of(suite: Suite) -> Any:
    (problem,) = suite.problems
    return problem.oracle


def test_checks_are_made_of_the_references_answers(tmp_path: Path) -> None:
    oracle = oracle_of(load_suite("mbpp+", path=write(tmp_path / "m.jsonl", ROW)))
    made = oracle.make_checks("[3,7,0]")
    assert (len(made.checks), made.base_checks, made.mode, made.left_out) == (4, 2, "split", 0)
    assert made.inputs == (None, 0, 1, 2)
    namespace: dict[str, Any] = {"plus": lambda pair: pair[0] + pair[1] if isinstance(pair, tuple) else None}
    for check in made.checks:
        exec(check, namespace)
    with pytest.raises(ValueError, match="2 answers to 3 inputs"):
        oracle.make_checks("[3,7]")


def test_an_input_the_reference_has_no_memory_for_is_left_out_and_counted(tmp_path: Path) -> None:
    oracle = oracle_of(load_suite("mbpp+", path=write(tmp_path / "m.jsonl", ROW)))
    made = oracle.make_checks('[3,{"x":"memory"},0]')
    assert (len(made.checks), made.base_checks, made.left_out) == (3, 2, 1)
    assert made.inputs == (None, 0, 2)


def test_a_large_answer_is_compared_by_hash_and_shared() -> None:
    arguments: dict[str, Any] = {
        "suite": "mbpp",
        "program": "",
        "entry_point": "f",
        "atol": 0,
        "profile": NEW,
    }
    oracle = make_oracle(**arguments, base=[[1]], plus=[])
    big = "x" * (LARGE_CHARS + 1)
    made = oracle.make_checks(json.dumps([{"h": fingerprint(big)}]))
    assert made.mode == "shared"
    for answer, right in ((big, True), ("y" + big[1:], False)):
        namespace: dict[str, Any] = {"f": lambda n, answer=answer: answer}
        try:
            for check in made.checks:
                exec(check, namespace)
            passed = True
        except AssertionError:
            passed = False
        assert passed is right


def test_after_a_failed_case_no_other_passes(tmp_path: Path) -> None:
    oracle = oracle_of(load_suite("mbpp+", path=write(tmp_path / "m.jsonl", ROW)))
    checks = oracle.make_checks("[3,8,0]").checks
    namespace: dict[str, Any] = {"plus": sum}
    outcomes = []
    for check in checks:
        try:
            exec(check, namespace)
            outcomes.append("pass")
        except AssertionError as error:
            outcomes.append(str(error))
    assert outcomes[:2] == ["pass", "pass"]
    assert outcomes[2] == "for ((3, 4)) returned 7, not 8"
    assert outcomes[3] == "not run, since a case before it failed"


def test_a_builtin_that_the_solution_is_named_after_is_not_used_by_the_rules(tmp_path: Path) -> None:
    row = {**ROW, "task_id": "Mbpp/126", "entry_point": "sum", "base_input": [[1, 2]], "plus_input": []}
    oracle = oracle_of(load_suite("mbpp+", path=write(tmp_path / "m.jsonl", row)))
    namespace: dict[str, Any] = {"sum": lambda a, b: a + b, "len": None, "list": None, "type": None}
    for check in oracle.make_checks("[3]").checks:
        exec(check, namespace)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"entry_point": "f()"}, "line 1: field 'entry_point'"),
        ({"base_input": []}, "line 1: field 'base_input'"),
        ({"base_input": [[5]]}, "inputs of Mbpp/2 are not what its function takes"),
        ({"atol": -1}, "line 1: field 'atol'"),
        ({"task_id": "two"}, "line 1: field 'task_id'"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(SuiteError, match=said.replace("(", r"\(")):
        load_suite("mbpp+", path=write(tmp_path / "m.jsonl", {**ROW, **change}))


def test_options_splits_and_missing_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_DATA", str(tmp_path / "data"))
    file = write(tmp_path / "m.jsonl", ROW)
    assert load_suite("mbpp+", path=file).revision.endswith(":evalplus-0.3.1")
    assert load_suite("mbpp+", path=file, options={"compat": "evalplus-0.2.2"}).revision.endswith("0.2.2")
    with pytest.raises(SuiteError, match=r"unknown profile '1'; known: evalplus-0\.3\.1, evalplus-0\.2\.2"):
        load_suite("mbpp+", path=file, options={"compat": "1"})
    with pytest.raises(SuiteError, match="no option 'style'; known: compat"):
        load_suite("mbpp+", path=file, options={"style": "paper"})
    with pytest.raises(SuiteError, match="only the split 'test'"):
        load_suite("mbpp+", path=file, split="train")
    with pytest.raises(SuiteError, match=r"Fetch MbppPlus\.jsonl\.gz from https://.*mbppplus_release"):
        load_suite("mbpp+")
    with pytest.raises(SuiteError, match="not on the hub in a form that can be read"):
        load_suite("mbpp+", path=Path("hub:"))
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "MbppPlus.jsonl", ROW)
    assert [p.id for p in load_suite("mbpp+").problems] == ["Mbpp/2"]


def test_the_early_humaneval_plus_has_humanevals_own_check_as_its_base(tmp_path: Path) -> None:
    file = write(tmp_path / "h.jsonl", {"task_id": "HumanEval_53", "inputs": [[0, 1], [2, 3]]})
    suite = load_suite("humaneval+", path=file)
    assert len(suite.problems) == 164
    problem = suite.by_id()["HumanEval/53"]
    assert problem.oracle is not None
    made = problem.oracle.make_checks("[1,5]")
    assert (made.base_checks, len(made.checks)) == (1, 4)
    outcomes = []
    namespace: dict[str, Any] = {"add": lambda x, y: 1 if (x, y) == (0, 1) else 5}
    for check in made.checks:
        try:
            exec(check, namespace)
            outcomes.append(True)
        except Exception:
            outcomes.append(False)
    assert outcomes == [False] * 4  # right on all added inputs, but the base check comes first
