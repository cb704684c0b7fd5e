"""The figures against values done by hand, and the verdict's rules."""

from __future__ import annotations

import json
import math
import weakref
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from assay.harness.equivalence.chain import Link
from assay.harness.equivalence.measures import (
    PassRate,
    compare_logits,
    non_inferiority,
    summarise,
)
from assay.harness.equivalence.states import OnDemand, State, UnreadableError
from assay.harness.equivalence.tokens import Passage, Tokens, load_passages, suite_passages
from assay.harness.equivalence.weights import (
    Rounding,
    Weights,
    compare_weights,
    weight_lines,
)
from assay.harness.errors import BadInputError
from assay.suites import load_suite


def test_kl_of_two_coins() -> None:
    """KL([¾, ¼] ‖ [½, ½]) = ¾ ln 1.5 + ¼ ln 0.5 = 0.1308120; perplexity of the token that followed: 4/3 and 2."""
    a = np.log(np.array([[0.75, 0.25], [0.75, 0.25]]))
    b = np.log(np.array([[0.5, 0.5], [0.25, 0.75]]))
    found = compare_logits(a + 3.0, b, [0, 0])
    assert found.kl[0] == pytest.approx(0.1308120, abs=1e-7)
    assert found.kl[1] == pytest.approx(0.5 * math.log(3), abs=1e-9)
    assert found.top1.tolist() == [True, False]
    summary = summarise([found])
    assert summary.perplexity_a == pytest.approx(4 / 3)
    assert summary.perplexity_b == pytest.approx(2)
    assert summary.top1_agreement == 0.5
    assert summary.kl_max == pytest.approx(0.5 * math.log(3))


def test_a_padded_vocabulary_is_left_out() -> None:
    a = np.zeros((2, 4))
    b = np.concatenate([np.zeros((2, 4)), np.full((2, 3), 9.0)], axis=1)
    assert compare_logits(a, b, [0, 1]).kl.max() == 0


@given(
    st.lists(st.floats(-30, 30), min_size=4, max_size=4), st.lists(st.floats(-30, 30), min_size=4, max_size=4)
)
def test_kl_is_never_negative_and_zero_of_itself(a: list[float], b: list[float]) -> None:
    one, other = np.array([a, a]), np.array([b, b])
    assert (compare_logits(one, other, [0, 1]).kl >= 0).all()
    assert compare_logits(one, one + 5, [0, 1]).kl.max() < 1e-9


def state(**tensors: list[float]) -> State:
    return State({k: np.array(v, dtype=np.float32) for k, v in tensors.items()})


def test_the_adapters_scale_is_found() -> None:
    base, a = state(w=[1, 1, 1, 1]), state(w=[1, 2, 3, 1])
    found = compare_weights(a, state(w=[1, 1.5, 2, 1]), base)
    assert found.adapter_scale == pytest.approx(0.5)
    assert found.adapter_scale_se == pytest.approx(0, abs=1e-6)
    assert any("at 0.50 of its scale" in fault for fault in found.faults)
    assert compare_weights(a, a, base).faults == ()


def test_rounding_errors_by_hand() -> None:
    """Differences 0.3 and 0.4 of weights 3 and 4: RMSE √(0.25/2), a tenth of the tensor's own; an untouched one and
    one of the same type are no rounding."""
    a = state(w=[3, 4], v=[2, 2], same=[1, 5], kept=[1, 1])
    b = state(w=[3.3, 4.4], v=[2, 2.2], same=[1, 5], kept=[1, 2])
    found = compare_weights(a, replace(b, types={"w": "Q8_0", "v": "nf4", "same": "F16"}))
    w, v, *_ = found.tensors
    assert w.rmse == pytest.approx(math.sqrt(0.125), rel=1e-6)
    assert w.relative == pytest.approx(0.1, rel=1e-6)
    assert (v.rmse, v.relative) == pytest.approx((0.2 / math.sqrt(2), 0.2 / math.sqrt(8)), rel=1e-6)
    assert found.rounding == Rounding(
        2, (w.rmse + v.rmse) / 2, (w.relative + v.relative) / 2, "w", w.rmse, w.relative
    )
    assert compare_weights(a, b).rounding is None
    assert compare_weights(a, replace(b, types={"w": "nf4"}), learned=True).rounding is None
    stored = replace(a, types=dict.fromkeys(("w", "v", "same", "kept"), "BF16"))
    assert compare_weights(stored, b).rounding is None  # fp32 holds what bf16 does: something else moved
    assert TypeAdapter(Weights).validate_python(json.loads(json.dumps(found.to_json()))) == found
    told = weight_lines(found)
    assert told[0].endswith(
        "kept 0.71 (70.71%, F32 → F32), w 0.35 (10.00%, F32 → Q8_0), v 0.14 (7.07%, F32 → nf4)"
    )
    assert "rounding, 2 tensors: RMSE 0.25 on average (8.54% of their own RMS), the worst w, 0.35" in told[1]


def test_a_tensor_of_a_type_nobody_reads_is_unmeasured() -> None:
    def fail() -> np.ndarray:
        raise UnreadableError("the gguf package cannot read Q8_K")

    a, b = state(w=[1, 2], v=[1]), State(OnDemand({"w": fail, "v": lambda: np.ones(1, np.float32)}))
    found = compare_weights(a, b)
    assert [t.name for t in found.tensors] == ["v"]
    assert found.unmeasured == {"w": "the gguf package cannot read Q8_K"}
    nothing = compare_weights(state(w=[1, 2]), State(OnDemand({"w": fail})))
    assert (nothing.relative, nothing.tensors, list(nothing.unmeasured)) == (None, (), ["w"])
    assert weight_lines(found) == ["1 tensors unmeasured, as w: the gguf package cannot read Q8_K"]
    assert compare_weights(b, state(v=[1])).faults == ("tensor w is missing in the second",)


def test_tensors_are_not_kept_once_they_are_compared() -> None:
    """Of two models with forty tensors each, a few are in memory at a time."""
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    def read(value: float) -> np.ndarray:
        nonlocal most
        made = np.full(4, value, dtype=np.float32)
        alive.append(weakref.ref(made))
        most = max(most, sum(ref() is not None for ref in alive))
        return made

    def model(off: float) -> State:
        return State(OnDemand({f"w{i}": partial(read, i + off) for i in range(40)}))

    found = compare_weights(model(0), model(0.5))
    assert len(found.tensors) == 40
    assert len(alive) == 80
    assert most <= 4


def test_a_tied_embedding_counts_once() -> None:
    a = state(**{"token_embd.weight": [1, 2]})
    assert [t.name for t in compare_weights(a, a).tensors] == ["token_embd.weight"]
    b = state(**{"token_embd.weight": [1, 2], "output.weight": [2, 1]})
    found = compare_weights(a, b)
    assert [t.name for t in found.tensors] == ["token_embd.weight", "output.weight"]
    assert "output.weight" in found.faults[0]


def test_missing_tensors_are_faults_unless_they_do_nothing() -> None:
    assert compare_weights(state(w=[1], b=[0, 0]), state(w=[1])).faults == ()
    assert compare_weights(state(w=[1], b=[0, 1]), state(w=[1])).faults == (
        "tensor b is missing in the second",
    )
    assert compare_weights(state(w=[1]), state(w=[1], b=[1])).faults == ("tensor b is only in the second",)
    assert "has shape [2]" in compare_weights(state(w=[1]), state(w=[1, 1])).faults[0]


def rate(first: list[int], second: list[int], margin: float = 0.05) -> PassRate:
    one, other = np.array(first, dtype=np.float64), np.array(second, dtype=np.float64)
    return non_inferiority("a", "b", one, other, binary=True, margin=margin)


def test_non_inferiority() -> None:
    same = [1] * 200 + [0] * 200
    assert rate(same, same).verdict == "equivalent"
    assert rate(same, same).lower == pytest.approx(-(1 - 0.05 ** (1 / 400)), abs=1e-8)  # the rule of three
    assert rate(same, [1] * 100 + [0] * 300).verdict == "worse"
    assert rate(same, [1] * 300 + [0] * 100).verdict == "better"
    assert rate([1, 0] * 10, [0, 1] * 10).verdict == "undecided"
    # significantly lower, and within a margin of five points: not inferior
    slightly = rate([1] * 4000, [0] * 80 + [1] * 3920)
    assert slightly.comparison.p < 0.001
    assert slightly.verdict == "equivalent"
    assert rate([1] * 4000, [0] * 80 + [1] * 3920, margin=0.01).verdict == "worse"


def test_more_disagreement_is_never_more_certainty() -> None:
    """One problem each way says less than none: a bootstrap had it the other way about."""
    lower = [rate([1] * k + [0] * k + [1] * (60 - 2 * k), [0] * k + [1] * (60 - k)).lower for k in range(3)]
    assert lower[0] == pytest.approx(-0.0487, abs=1e-3)
    assert lower[2] < lower[1] < lower[0]


def link(
    *, faults: tuple[str, ...] = (), kl: float = 1e-6, kl_max: float = 1e-3, pass_rate: PassRate | None = None
) -> Link:
    rng = np.random.default_rng(0).normal(size=(2, 4))
    figures = summarise([compare_logits(rng, rng, [0, 1])])
    from dataclasses import replace

    distribution = replace(figures, kl_mean=kl, kl_max=kl_max)
    weights = Weights((), 0.0, None, None, ())
    return Link("a", "b", Tokens(1, 1, faults), (), weights, distribution, None, pass_rate, {})


def test_the_verdict() -> None:
    same = [1] * 200 + [0] * 200
    good, bad = rate(same, same), rate(same, [1] * 100 + [0] * 300)
    assert link().verdict == "equivalent"
    assert link(kl=0.01).verdict == "undecided"
    assert link(kl_max=1.0).verdict == "undecided"  # one token far off
    assert link(kl=0.01, pass_rate=good).verdict == "equivalent"
    assert link(kl=0.01, pass_rate=bad).verdict == "worse"
    assert link(pass_rate=bad).verdict == "worse"
    assert link(faults=("other tokens",), pass_rate=good).decided == ("worse", "other tokens")


def test_texts_of_a_file(tmp_path: Path) -> None:
    lines = tmp_path / "texts.jsonl"
    lines.write_text('{"text": "a = 1"}\n{"prompt": "def f():", "completion": " pass"}\n')
    assert load_passages(lines, 9) == [Passage("a = 1"), Passage("def f(): pass")]
    lines.write_text('{"text": "a = 1"}\n{"code": 3}\n')
    with pytest.raises(BadInputError, match="line 2: needs 'text', or 'prompt' and 'completion'"):
        load_passages(lines, 9)
    code = tmp_path / "code.py"
    code.write_text("\n\n".join(f"x{i} = '{'y' * 900}'" for i in range(5)))
    assert [p.text.count("= '") for p in load_passages(code, 9)] == [2, 2, 1]
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(BadInputError, match="no text to compare on"):
        load_passages(tmp_path / "empty.txt", 9)
    with pytest.raises(BadInputError, match="no such file"):
        load_passages(tmp_path / "none.txt", 9)


def test_texts_of_a_suite_are_code_and_chats_in_turn() -> None:
    found = suite_passages(load_suite("pocket", split="dev"), 10)
    assert len(found) == 10
    assert [bool(p.messages) for p in found] == [False, True] * 5
