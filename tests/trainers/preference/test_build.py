"""From executed answers to pairs, and from a file back to what is learned from."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.trainers import DataError, MissingExtraError
from assay.trainers.data.preferences import (
    Answer,
    LabeledCompletion,
    Pair,
    PreferenceDataConfig,
    load_preferences,
    write_preferences,
)
from assay.trainers.preference.build import build, few
from assay.trainers.preference.quality import lint, measure_all

CHAT = ({"role": "user", "content": "Double x."},)


def answer(index: int, text: str, outcome: str = "pass", **changes: Any) -> Answer:
    made = Answer(
        problem_id="p/0",
        index=index,
        seed=100 + index,
        prompt=CHAT,
        text=text,
        program=f"def f(x):\n{text}\n",
        outcome=outcome,
        checks_passed=4 if outcome == "pass" else 1,
        checks_total=4,
        cpu_s=0.001,
        n_tokens=len(text),
        finished=True,
    )
    return replace(made, **changes)


def test_only_problems_with_both_give_pairs() -> None:
    mixed = [answer(0, "    return 2 * x"), answer(1, "    return x", "fail")]
    solved = [answer(i, f"    return {i} * x", problem_id="p/1") for i in range(2)]
    failed = [answer(i, f"    return {i}", "error", problem_id="p/2") for i in range(2)]
    built = build([*mixed, *solved, *failed])
    assert (built.problems, built.mixed) == (3, 1)
    (pair,) = built.pairs
    assert (pair.chosen, pair.rejected) == ("    return 2 * x", "    return x")
    assert pair.reason == "pass against fail (1/4 checks)"
    assert pair.chosen_source is not None
    assert (pair.chosen_source.index, pair.chosen_source.seed) == (0, 100)
    assert len(built.opinions) == 6


def test_what_is_left_out_is_counted_by_reason() -> None:
    rows = [
        answer(0, "    return 2 * x"),
        answer(1, "    return 2 * x  "),
        answer(2, "    return x", "infra"),
        answer(3, "    return x + 0", "fail", finished=False),
        answer(4, "", "error"),
        answer(5, "    return x - 0", "fail"),
        answer(6, "    return slow(x)", program="same"),
        answer(7, "    return slow(x) ", "timeout", program="same"),
    ]
    built = build(rows)
    assert built.dropped == {
        "came twice": 1,
        "infra: not measured": 1,
        "cut at the length limit": 1,
        "empty": 1,
        "the same program passed and failed": 2,
    }
    assert [(p.chosen, p.rejected) for p in built.pairs] == [("    return 2 * x", "    return x - 0")]


def test_nearest_pairs_each_pass_with_the_failure_most_like_it() -> None:
    rows = [
        answer(0, "    return sum(xs) + 1"),
        answer(1, "    total = 0\n    for x in xs:\n        total += x\n    return total"),
        answer(2, "    return sum(xs) - 1", "fail"),
        answer(3, "    total = 0\n    for x in xs:\n        total -= x\n    return total", "fail"),
    ]
    for seed in range(5):
        found = {
            (p.chosen_source.index, p.rejected_source.index)
            for p in build(rows, seed=seed, per_problem=2).pairs
        }  # type: ignore[union-attr]
        assert found == {(0, 2), (1, 3)}


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 20), st.sampled_from(["nearest", "random"]))
def test_no_pair_comes_twice_and_none_is_missing(passes: int, fails: int, wanted: int, match: Any) -> None:
    rows = [answer(i, f"    return {i}") for i in range(passes)]
    rows += [answer(10 + i, f"    return -{i}", "fail") for i in range(fails)]
    pairs = build(rows, per_problem=wanted, match=match).pairs
    assert len({(p.chosen, p.rejected) for p in pairs}) == len(pairs) == min(wanted, passes * fails)
    assert all(p.chosen_source.outcome == "pass" != p.rejected_source.outcome for p in pairs)  # type: ignore[union-attr]


def test_quality_pairs_are_better_in_something_and_worse_in_nothing() -> None:
    clean = answer(0, "    return 2 * x")
    unused = answer(1, "    y = 0\n    return 2 * x")
    branchy = answer(2, "    if x:\n        return 2 * x\n    return 0")
    slow = answer(3, "    return x * 2", cpu_s=0.5)
    untidy_but_simple = answer(4, "    l = 2 * x\n    return l", cpu_s=0.001)
    pairs = build([clean, unused, branchy, slow, untidy_but_simple], kinds=("quality",), per_problem=99).pairs
    found = {(p.chosen_source.index, p.rejected_source.index) for p in pairs}  # type: ignore[union-attr]
    assert {(0, 1), (0, 2), (0, 3), (0, 4)} <= found
    assert (
        not {(1, 2), (2, 1), (4, 2), (2, 4), (4, 3), (3, 4)} & found
    )  # each is better in one and worse in another
    assert all(p.kind == "quality" for p in pairs)
    assert any("CPU 0.001 s against 0.500 s" in p.reason for p in pairs)


def test_the_rubrics_agreement_with_execution_is_a_share_of_what_differs() -> None:
    rows = [
        answer(0, "    return 2 * x"),
        answer(1, "    y = 0\n    return x", "fail"),  # worse and wrong: agrees
        answer(2, "    return x", "fail"),  # no difference: not compared
    ]
    built = build(rows)
    assert (built.compared, built.agreement) == (1, 1.0)


def test_the_rubric_prefers_nothing_where_each_program_is_better_in_something() -> None:
    """As in quality pairs: a lint finding less and a branch more is no preference, and so nothing to agree with."""
    passes = answer(0, "    if x:\n        return 2 * x\n    return 0")
    fails = answer(1, "    y = 0\n    return x", "fail")
    wrong = answer(
        2, "    if x:\n        y = 0\n        return x\n    return 1", "fail"
    )  # worse in lint alone
    assert build([passes, fails]).compared == 0
    assert build([passes, fails]).agreement is None
    built = build([passes, fails, wrong])
    assert (built.compared, built.agreement) == (1, 1.0)


def test_fewer_than_fifty_warns() -> None:
    assert few(50) == []
    assert "only 49 pairs, fewer than 50" in few(49)[0]
    assert build([answer(0, "    return 1"), answer(1, "    return 2", "fail")]).warnings()


@pytest.mark.parametrize(
    ("body", "rules"),
    [
        ("    return 2 * x", []),
        ("    try:\n        return 1\n    except:\n        return 2", ["E722"]),
        ("    return x == None", ["E711"]),
        ("    return not x in [1]", ["E713"]),
        ("    y = 1\n    return x", ["F841"]),
        ("    y = 1  # noqa\n    return x", ["F841"]),
        ("    # ruff: noqa\n    y = 1\n    return x", ["F841"]),
        ("    l = 1\n    return l", ["E741"]),
        ("    sum = 1\n    return sum", ["A001"]),
        ("    import os\n    return x", ["F401"]),
        ("    return {1: 2, 1: 3}", ["F601"]),
        ("    g = lambda: 1\n    return g()", ["E731"]),
        ("    x = x\n    return x", ["PLW0127"]),
        ("    return (", []),
    ],
)
def test_lint(body: str, rules: list[str]) -> None:
    assert [[f.rule for f in found] for found in lint([f"def f(x):\n{body}\n"])] == [rules]


def test_many_programs_are_checked_at_once_and_kept_apart() -> None:
    findings = lint(["l = 1\n", "def f(:", "\n\nimport os\n", "def f(xs=[]):\n    return xs\n", "\0"])
    assert findings == [[("E741", 1)], [], [("F401", 3)], [("B006", 1)], []]
    assert lint([]) == []


def test_complexity_counts_decisions() -> None:
    source = "def f(x):\n    '''d'''\n    if x and x > 1:\n        return [i for i in x if i]\n    return 0\n"
    quality, unparsable = measure_all([source, "def f(:"])
    assert quality is not None
    assert (quality.complexity, quality.docstring, quality.lint) == (1 + 1 + 1 + 2, True, 0)
    assert unparsable is None


def test_without_ruff_pairs_by_execution_are_built_and_quality_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ruff", None)
    rows = [answer(0, "    return 2 * x"), answer(1, "    y = 0\n    return x", "fail")]
    built = build(rows)
    assert (len(built.pairs), built.agreement) == (1, None)
    assert any("pip install 'assay[train]'" in warning for warning in built.warnings())
    with pytest.raises(MissingExtraError, match=r"ruff is not installed; install it with: pip install"):
        build(rows, kinds=("quality",))


# --- files


def rows() -> list[Pair]:
    return [
        Pair(f"p/{i // 2}", "execution", CHAT, f"    return {i}", f"    return -{i + 1}") for i in range(20)
    ]


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "pairs.jsonl"
    write_preferences(path, rows(), {"model_sha256": "ab", "seed": 3})
    line = json.loads(path.read_text().splitlines()[0])
    assert line["chosen"] == [{"role": "assistant", "content": "    return 0"}]
    assert (line["problem_id"], line["model_sha256"], line["seed"], line["kind"]) == (
        "p/0",
        "ab",
        3,
        "execution",
    )
    found = load_preferences(PreferenceDataConfig(file=path))
    assert found.pairs() == tuple(rows())
    assert found.counts() == f"20 pairs on 10 problems from {path}"
    assert len(found.opinions()) == 40
    assert [p.name for p in path.parent.iterdir()] == ["pairs.jsonl"]


def test_held_out_pairs_are_of_other_problems(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    write_preferences(path, rows(), {})
    found = load_preferences(PreferenceDataConfig(file=path, eval_fraction=0.3))
    assert found.evaluation is not None
    trained, held = {r.problem_id for r in found.kept}, {r.problem_id for r in found.evaluation.kept}
    assert (len(trained), len(held), trained & held) == (7, 3, set())
    assert found.sha256 != load_preferences(PreferenceDataConfig(file=path)).sha256


def test_single_answers_are_for_kto_alone(tmp_path: Path) -> None:
    path = tmp_path / "single.jsonl"
    write_preferences(
        path, [LabeledCompletion("p/0", "2+2=", "4", True), LabeledCompletion("p/0", "2+2=", "5", False)], {}
    )
    found = load_preferences(PreferenceDataConfig(file=path), paired=False)
    assert [(o.prompt, o.completion, o.good) for o in found.opinions()] == [
        ("2+2=", "4", True),
        ("2+2=", "5", False),
    ]
    with pytest.raises(DataError, match="line 1 is a single answer with a label"):
        load_preferences(PreferenceDataConfig(file=path))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[1]", r":1: expected a JSON object, got list"),
        ("{", r":1: not JSON"),
        ('{"chosen": "a", "rejected": "b"}', r":1: prompt: a text or a list of messages"),
        ('{"prompt": "x", "chosen": "a"}', r":1: rejected: a text is needed .*got None"),
        ('{"prompt": "x", "completion": "a", "label": 1}', r":1: label: true or false is needed .*got 1"),
        (
            '{"prompt": [{"role": "user", "content": "x"}], "chosen": [], "rejected": "b"}',
            r":1: chosen: one assistant",
        ),
        ('{"prompt": "x", "chosen": "a", "rejected": "a"}', r"gives no preference: .*are the same"),
        ("", "gives no preference: it is empty"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(DataError, match=said):
        load_preferences(PreferenceDataConfig(file=path))
