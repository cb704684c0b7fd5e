"""What is counted of verdicts, and what is scored of the counts."""

from __future__ import annotations

import random

import pytest

from assay.harness.errors import BadInputError, UnmeasuredError
from assay.harness.evaluation.scores import Tally, base_scores, family_scores, scores
from assay.harness.stats.pass_at_k import estimate_pass_at_k, pass_at_k, sampling_se
from assay.sandbox import Outcome
from assay.suites import Problem, Suite

PROBLEMS = tuple(
    Problem(f"p/{i}", "", "f", ("x",), family="ab"[i % 2] if i < 4 else "", base_checks=1) for i in range(6)
)
SUITE = Suite("six", "0", PROBLEMS)


def tally(outcomes: dict[str, list[Outcome]]) -> Tally:
    found = Tally()
    for task, ended in outcomes.items():
        for outcome in ended:
            found.add(task, outcome, "split", base_passed=outcome in (Outcome.PASS, Outcome.FAIL))
    return found


def test_infra_is_in_no_score_and_in_every_count() -> None:
    found = tally(
        {
            "p/0": [Outcome.PASS, Outcome.INFRA],
            "p/1": [Outcome.FAIL, Outcome.TIMEOUT],
            "p/2": [Outcome.INFRA] * 2,
        }
    )
    assert found.n_samples == 6
    assert found.outcomes == {
        "pass": 1,
        "fail": 1,
        "error": 0,
        "timeout": 1,
        "memory": 0,
        "output": 0,
        "infra": 3,
    }
    assert found.measured() == {"p/0": (1, 1), "p/1": (2, 0)}
    one = scores(found, [1], "here")[1]
    assert (one.value, one.n) == (0.5, 2)
    assert scores(found, [2], "here")[2].n == 1
    assert [row["pass@k"] for row in found.table((1, 2))] == [{"1": 1.0}, {"1": 0.0, "2": 0.0}, {}]


def test_nothing_measured_is_unmeasured_and_too_large_a_k_is_refused() -> None:
    with pytest.raises(UnmeasuredError, match="no problem has 1 samples that could be measured"):
        scores(tally({"p/0": [Outcome.INFRA]}), [1], "here")
    with pytest.raises(BadInputError, match=r"pass@3 needs 3 samples a problem, and p/1 has 2.*in here"):
        scores(tally({"p/0": [Outcome.PASS] * 3, "p/1": [Outcome.PASS] * 2}), [3], "here")


def test_any_list_of_k_is_chens_estimator() -> None:
    drawn = random.Random(1)
    ended = {
        f"p/{i}": [Outcome.PASS if drawn.random() < 0.4 else Outcome.FAIL for _ in range(20)]
        for i in range(6)
    }
    found = scores(tally(ended), [1, 3, 7, 20], "here")
    for k, estimate in found.items():
        expected = [pass_at_k(20, o.count(Outcome.PASS), k) for o in ended.values()]
        assert estimate.value == pytest.approx(sum(expected) / 6)
        assert estimate.low <= estimate.value <= estimate.high
    assert list(scores(tally(ended), None, "here")) == [1, 10]


def test_families_and_base_checks_have_scores_of_their_own() -> None:
    found = tally(
        {"p/0": [Outcome.PASS], "p/1": [Outcome.FAIL], "p/2": [Outcome.ERROR], "p/4": [Outcome.PASS]}
    )
    families = family_scores(SUITE, found, (1,))
    assert {name: (e[1].value, e[1].n) for name, e in families.items()} == {"a": (0.5, 2), "b": (0.0, 1)}
    assert base_scores(SUITE, found, (1,))[1].value == 0.75
    plain = Suite("plain", "0", tuple(Problem(p.id, "", "f", ("x",)) for p in PROBLEMS))
    assert base_scores(plain, found, (1,)) == {}


@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_sampling_error_is_what_redrawing_gives(k: int) -> None:
    import numpy as np

    drawn = np.random.default_rng(0)
    counts = [(n, int(drawn.integers(0, n + 1))) for n in drawn.integers(5, 12, 40).tolist()]
    means = np.zeros(4000)
    for n, c in counts:
        table = np.array([pass_at_k(n, i, k) for i in range(n + 1)])
        means += table[drawn.binomial(n, (c + 0.5) / (n + 1), 4000)] / len(counts)
    assert sampling_se(counts, k) == pytest.approx(means.std(ddof=1), rel=0.05)


def test_values_of_many_kinds_are_taken_together_and_move_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = random.Random(3)
    counts = [(n := drawn.randrange(20, 60), drawn.randrange(n + 1)) for _ in range(1500)]
    fine = estimate_pass_at_k(counts, 2)
    monkeypatch.setattr("assay.harness.stats.bounds._MOST", 200)
    coarse = estimate_pass_at_k(counts, 2)
    assert (coarse.low, coarse.high) == pytest.approx((fine.low, fine.high), abs=1e-5)
