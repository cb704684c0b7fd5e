from __future__ import annotations

from typing import Any

import pytest

from assay.harness.errors import BadInputError
from assay.harness.leaderboard.schema import read_leaderboard
from assay.harness.report.sections.findings import verdict


def board(rows: list[dict[str, Any]], comparisons: list[dict[str, Any]] = []) -> dict[str, Any]:  # noqa: B006
    return {
        "schema": 1,
        "experiment": "e",
        "run": "r",
        "created": "2026-01-01T00:00:00Z",
        "reference": "base",
        "suite": {"name": "pocket"},
        "k": [1],
        "rows": rows,
        "comparisons": comparisons,
    }


def row(name: str, rank: int = 1, parent: str | None = None, **versus: Any) -> dict[str, Any]:
    return {
        "variant": name,
        "kind": "base",
        "rank": rank,
        "parent": parent,
        "pass@k": {"1": {"value": 0.4, "low": 0.35, "high": 0.45}},
        "vs_reference": versus or None,
    }


BETTER = {"difference": 0.123, "low": 0.081, "high": 0.164, "p": 0.00002, "verdict": "better"}
WORSE = {
    "difference": -0.05,
    "low": -0.09,
    "high": -0.01,
    "p": 0.012,
    "p_adjusted": 0.024,
    "verdict": "worse",
}


def said(rows: list[dict[str, Any]], comparisons: list[dict[str, Any]] = []) -> str:  # noqa: B006
    return verdict(read_leaderboard(board(rows, comparisons)))


def test_a_leader_and_those_no_test_tells_from_it() -> None:
    rows = [
        row("base", 4),
        row("gguf", 1, "merged", **BETTER),
        row("adapter", 1, "base", **BETTER),
        row("merged", 1, "adapter", **BETTER),
    ]
    pairs = [
        {"a": "adapter", "b": "merged", "verdict": "equivalent"},
        {"a": "gguf", "b": "adapter", "verdict": "undecided"},
    ]
    assert said(rows, pairs) == (
        "adapter solves 12.3 points more than base (95 % interval 8.1 to 16.4, p < 0.001); "
        "gguf cannot be told apart from adapter; merged is equivalent to adapter."
    )


def test_a_loss_is_told_with_its_interval_turned_and_the_adjusted_p() -> None:
    assert said([row("base"), row("q2", 2, "base", **WORSE)]) == (
        "q2 solves 5.0 points fewer than base (95 % interval 1.0 to 9.0, p = 0.012, adjusted for all claims p = 0.024)."
    )


def test_a_better_variant_that_the_leader_beats() -> None:
    rows = [row("base", 3), row("sft", 1, "base", **BETTER), row("dpo", 2, "base", **BETTER)]
    pairs = [{"a": "sft", "b": "dpo", "verdict": "better"}]
    assert said(rows, pairs).endswith("; dpo solves fewer than sft.")


def test_better_variants_that_were_not_compared_with_each_other_are_each_told() -> None:
    rows = [row("base", 3), row("sft", 1, "base", **BETTER), row("dpo", 1, "base", **BETTER)]
    assert said(rows).count("12.3 points more than base") == 2
    rows += [row(name, 1, "base", **BETTER) for name in ("kto", "orpo")]
    assert said(rows).endswith("; dpo, kto and orpo each solve more than base.")


@pytest.mark.parametrize(
    ("verdicts", "sentence"),
    [
        (["undecided"], "a cannot be told apart from base."),
        (["equivalent", "equivalent"], "a and b are equivalent to base."),
        (["undecided", "equivalent"], "a cannot be told apart from base; b is equivalent to base."),
    ],
)
def test_a_higher_figure_alone_earns_no_claim(verdicts: list[str], sentence: str) -> None:
    rows = [row(name, difference=0.03, verdict=v) for name, v in zip("ab", verdicts, strict=False)]
    assert said([row("base"), *rows]) == sentence


def test_one_variant_alone() -> None:
    assert said([row("base")]) == (
        "base solves 40.0 % of the problems at the first try (95 % interval 35.0 to 45.0); "
        "nothing to compare it with."
    )


def test_what_was_not_measured_is_said_with_its_reason() -> None:
    nothing = {**row("base"), "pass@k": {}, "unmeasured": {"pass@1": "generation ran out of memory"}}
    assert said([nothing]) == "pass@1 of base is unmeasured: generation ran out of memory."
    assert said([row("base"), row("a")]) == (
        "No variant was compared with base; the differences are unmeasured."
    )


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"schema": 2}, "schema"),
        ({"reference": "ghost"}, "'ghost' has no row"),
        ({"rows": [row("base"), row("base")]}, "more than one row"),
        ({"rows": []}, "rows"),
        ({"rows": [{**row("base"), "outcomes": {"passed": 3}}]}, "outcomes"),
        ({"rows": [{**row("base"), "tok_per_s": float("nan")}]}, "tok_per_s"),
        ({"comparisons": [{"a": "base", "b": "ghost"}]}, "'ghost' has no row"),
        ({"comparisons": [{"a": "base", "b": "base", "verdict": "maybe"}]}, "verdict"),
    ],
)
def test_a_malformed_leaderboard_is_refused_by_field(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadInputError, match=complaint):
        read_leaderboard(board([row("base")]) | change)


def test_keys_of_a_later_harness_are_let_through() -> None:
    later = board([{**row("base"), "energy_j": 12.0}]) | {"judges": []}
    assert read_leaderboard(later).rows[0].variant == "base"
