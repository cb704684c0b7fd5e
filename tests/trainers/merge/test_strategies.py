"""Every strategy on adapters small enough to do by hand; what cannot be combined is refused by name."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from assay.trainers import Artifact, ArtifactError, identify
from assay.trainers.merge import STRATEGIES, MergeRecipe, merge
from tests.tiny import make_tiny_model
from tests.trainers.merge.toys import change_of, toy_adapter

pytestmark = pytest.mark.train

# Rank 1. Δ₁ = 1·B₁A₁ = [[2, 1], [6, 3]], Δ₂ = 2·B₂A₂ = [[-4, 8], [-2, 4]].
FIRST = {"a": [[2, 1]], "b": [[1], [3]], "alpha": 1}
SECOND = {"a": [[-1, 2]], "b": [[2], [1]], "alpha": 2}
# At right angles to each other: Δ = diag(3, 0) and diag(0, 1).
ALONG = {"a": [[3, 0]], "b": [[1], [0]], "alpha": 1}
ACROSS = {"a": [[0, 1]], "b": [[0], [1]], "alpha": 1}
HALVES = (0.5, 0.5)
# w·scale is 1 for both of FIRST and SECOND, so that the factors are added as they stand.
EVEN = (1.0, 0.5)
ONE_OF_EIGHT, TWO_OF_EIGHT, FOUR_OF_64 = 1 / 8, 2 / 8, 4 / 64


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return make_tiny_model(tmp_path_factory.mktemp("toy") / "base", ["x"], hidden_size=8, layers=1)


HAND = [
    # Σ w·Δ: ½[[2, 1], [6, 3]] + ½[[-4, 8], [-2, 4]]
    ("cat", {"weights": HALVES}, FIRST, SECOND, [[-1, 4.5], [2, 3.5]]),
    ("cat", {"weights": (1, -1)}, FIRST, SECOND, [[6, -7], [8, -1]]),
    ("svd", {"weights": HALVES, "svd_rank": 2}, FIRST, SECOND, [[-1, 4.5], [2, 3.5]]),
    # diag(1.5, 0.5) cut to its larger direction
    ("svd", {"weights": HALVES}, ALONG, ACROSS, [[1.5, 0], [0, 0]]),
    # A = [2, 1] + [-1, 2] = [1, 3], B = [1, 3] + [2, 1] = [3, 4]
    ("linear", {"weights": EVEN}, FIRST, SECOND, [[3, 9], [4, 12]]),
    # The largest of each: A₁ [2, 0], A₂ [0, 2], B₁ [0, 3], B₂ [2, 0]; A = [2, 2], B = [2, 3]
    ("magnitude_prune", {"weights": EVEN, "density": ONE_OF_EIGHT}, FIRST, SECOND, [[4, 4], [6, 6]]),
    # The largest entry: Δ₁ 6 at (1, 0), Δ₂ 8 at (0, 1); halved
    (
        "magnitude_prune_svd",
        {"weights": HALVES, "density": 1 / 64, "svd_rank": 2},
        FIRST,
        SECOND,
        [[0, 4], [3, 0]],
    ),
    # Signs of A₁ + A₂ = [1, 3] are +, +: A = [2, (1 + 2)/2]; of B₁ + B₂ = [3, 4]: B = [(1 + 2)/2, (3 + 1)/2]
    ("ties", {"weights": EVEN, "density": TWO_OF_EIGHT}, FIRST, SECOND, [[3, 2.25], [4, 3]]),
    # Signs of Δ₁ + Δ₂ = [[-2, 9], [4, 7]]: -4 alone, (1 + 8)/2, 6 alone, (3 + 4)/2
    (
        "ties_svd",
        {"weights": (1, 1), "density": FOUR_OF_64, "svd_rank": 2},
        FIRST,
        SECOND,
        [[-4, 4.5], [6, 3.5]],
    ),
    # At right angles, half-way: sin 45° of each
    ("slerp", {"weights": HALVES}, ALONG, ACROSS, [[3 * 0.70710678, 0], [0, 0.70710678]]),
    # a third of the way: sin 60° and sin 30°
    ("slerp", {"weights": (2, 1)}, ALONG, ACROSS, [[3 * 0.8660254, 0], [0, 0.5]]),
    # parallel: the straight line between 1·Δ and 2·Δ
    ("slerp", {"weights": HALVES}, ALONG, ALONG | {"alpha": 2}, [[4.5, 0], [0, 0]]),
]


@pytest.mark.parametrize(("strategy", "settings", "first", "second", "expected"), HAND)
def test_the_hand_computed_answer(
    base: Artifact, tmp_path: Path, strategy: str, settings: Any, first: Any, second: Any, expected: Any
) -> None:
    import torch

    adapters = [toy_adapter(base, tmp_path / "1", **first), toy_adapter(base, tmp_path / "2", **second)]
    made = merge(adapters, tmp_path / "out", MergeRecipe(strategy=strategy, **settings))  # type: ignore[arg-type]
    whole = torch.zeros(8, 8)
    whole[:2, :2] = torch.tensor(expected, dtype=torch.float32)
    assert torch.allclose(change_of(base, made), whole, atol=1e-5)


@pytest.mark.parametrize("strategy", ["dare_linear", "dare_ties"])
def test_dare_drops_at_random_rescales_and_is_fixed_by_its_seed(
    base: Artifact, tmp_path: Path, strategy: str
) -> None:
    """Every possible answer is written out; each merge gives one of them, the same for the same seed."""
    import torch

    adapters = [toy_adapter(base, tmp_path / "1", **FIRST), toy_adapter(base, tmp_path / "2", **SECOND)]
    possible = [
        outer(b, a) for a in factors(strategy, (2, 1), (-1, 2)) for b in factors(strategy, (1, 3), (2, 1))
    ]
    found = {}
    for seed in range(6):
        recipe = MergeRecipe(strategy=strategy, weights=EVEN, density=0.5, seed=seed)  # type: ignore[arg-type]
        made = merge(adapters, tmp_path / f"seed{seed}", recipe)
        found[seed] = change_of(base, made)
        assert any(torch.allclose(found[seed][:2, :2], p, atol=1e-5) for p in possible), found[seed][:2, :2]
        assert f"seed {seed}" in made.recipe
    assert any(not torch.equal(found[0], found[seed]) for seed in found)
    recipe = MergeRecipe(strategy=strategy, weights=EVEN, density=0.5, seed=3)  # type: ignore[arg-type]
    assert torch.equal(change_of(base, merge(adapters, tmp_path / "again", recipe)), found[3])


def factors(strategy: str, first: tuple[int, int], second: tuple[int, int]) -> list[list[float]]:
    """All the factors that dropping each of four entries with probability ½, the rest doubled, can lead to."""
    found = []
    for kept in itertools.product((0, 2), repeat=4):
        one, two = (
            [v * k for v, k in zip(first, kept[:2], strict=True)],
            [v * k for v, k in zip(second, kept[2:], strict=True)],
        )
        if strategy == "dare_linear":
            found.append([x + y for x, y in zip(one, two, strict=True)])
            continue
        entries = []
        for x, y in zip(one, two, strict=True):
            sign = 1 if x + y >= 0 else -1
            agree = [v for v in (x, y) if v * sign > 0]
            entries.append(sum(agree) / max(1, len(agree)))
        found.append(entries)
    return found


def outer(b: list[float], a: list[float]) -> Any:
    import torch

    return torch.outer(torch.tensor(b, dtype=torch.float32), torch.tensor(a, dtype=torch.float32))


@pytest.mark.parametrize("strategy", ["cat", "svd", "slerp"])
def test_unequal_ranks_where_the_strategy_allows_them(base: Artifact, tmp_path: Path, strategy: str) -> None:
    """cat is exact whatever the ranks; svd at full rank too."""
    import torch

    two = {"a": [[1, 0], [0, 1]], "b": [[1, 2], [3, 4]], "alpha": 2}  # scale 1: Δ = [[1, 2], [3, 4]]
    adapters = [toy_adapter(base, tmp_path / "1", **FIRST), toy_adapter(base, tmp_path / "2", **two)]  # type: ignore[arg-type]
    settings: dict[str, Any] = {"svd_rank": 3} if strategy == "svd" else {}
    made = merge(adapters, tmp_path / "out", MergeRecipe(strategy=strategy, weights=HALVES, **settings))  # type: ignore[arg-type]
    if strategy != "slerp":
        assert torch.allclose(
            change_of(base, made)[:2, :2], torch.tensor([[1.5, 1.5], [4.5, 3.5]]), atol=1e-5
        )
    assert change_of(base, made).abs().sum() > 0


@pytest.mark.parametrize("strategy", ["linear", "ties", "dare_linear", "dare_ties", "magnitude_prune"])
def test_unequal_ranks_where_it_does_not(base: Artifact, tmp_path: Path, strategy: str) -> None:
    two = {"a": [[1, 0], [0, 1]], "b": [[1, 2], [3, 4]]}
    adapters = [toy_adapter(base, tmp_path / "1", **FIRST), toy_adapter(base, tmp_path / "2", **two)]  # type: ignore[arg-type]
    density = None if strategy == "linear" else 0.5
    recipe = MergeRecipe(strategy=strategy, density=density)  # type: ignore[arg-type]
    with pytest.raises(
        ArtifactError, match=rf"'{strategy}' needs adapters of one rank, these have 1, 2; use cat"
    ):
        merge(adapters, tmp_path / "out", recipe)
    assert not any(p.name.endswith("out") or p.name.endswith(".part") for p in tmp_path.iterdir())


def test_rank_stabilised_scales_are_applied_once(base: Artifact, tmp_path: Path) -> None:
    """alpha/√r: 2/√4 = 1 for rank 4. PEFT alone would give the combined adapter √8 times its size."""
    import torch

    four = {"a": [[1], [0], [0], [0]], "b": [[1, 0, 0, 0]], "alpha": 2, "use_rslora": True}
    adapters = [toy_adapter(base, tmp_path / str(i), **four) for i in (1, 2)]  # type: ignore[arg-type]
    made = merge(adapters, tmp_path / "out", MergeRecipe(strategy="cat", weights=(1, 1)))
    assert torch.allclose(change_of(base, made)[0, 0], torch.tensor(2.0), atol=1e-5)


def test_a_weight_scales_a_single_adapter(base: Artifact, tmp_path: Path) -> None:
    import torch

    adapter = toy_adapter(base, tmp_path / "1", **FIRST)  # type: ignore[arg-type]
    made = merge([adapter], tmp_path / "out", MergeRecipe(weights=(0.5,)))
    assert torch.allclose(change_of(base, made)[:2, :2], torch.tensor([[1, 0.5], [3, 1.5]]), atol=1e-5)
    change = json.loads((made.path / "merge.json").read_text())
    assert change["tensors_changed"] == 1
    assert change["change_norm"] == pytest.approx((1 + 0.25 + 9 + 2.25) ** 0.5, rel=1e-4)


def test_a_merge_is_done_once_and_never_over_something_else(base: Artifact, tmp_path: Path) -> None:
    adapters = [toy_adapter(base, tmp_path / "1", **FIRST), toy_adapter(base, tmp_path / "2", **SECOND)]  # type: ignore[arg-type]
    out, recipe = tmp_path / "out", MergeRecipe(strategy="cat")
    (tmp_path / ".out.part").mkdir()  # what a killed merge left
    (tmp_path / ".out.part" / "model.safetensors").write_text("half")
    made = merge(adapters, out, recipe)
    written = (out / "model.safetensors").stat().st_mtime_ns
    assert merge(adapters, out, recipe) == made == identify(out)
    assert (out / "model.safetensors").stat().st_mtime_ns == written
    assert [p.sha256 for p in made.parents] == [a.sha256 for a in adapters]
    with pytest.raises(ArtifactError, match="holds something else"):
        merge(adapters, out, MergeRecipe(strategy="slerp"))


def test_adapters_of_different_bases_are_refused(base: Artifact, tmp_path: Path) -> None:
    other = make_tiny_model(tmp_path / "base", ["x"], hidden_size=8, layers=1, seed=3)
    adapters = [toy_adapter(base, tmp_path / "1", **FIRST), toy_adapter(other, tmp_path / "2", **SECOND)]  # type: ignore[arg-type]
    with pytest.raises(ArtifactError, match="different bases"):
        merge(adapters, tmp_path / "out", MergeRecipe(strategy="cat"))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"strategy": "ties"}, "needs a density"),
        ({"strategy": "cat", "density": 0.5}, "takes no density"),
        ({"strategy": "cat", "svd_rank": 4}, "takes no svd_rank"),
        ({"strategy": "ties", "density": 1.0}, "less than 1"),
        ({"strategy": "average"}, "Input should be"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        MergeRecipe.model_validate(values)


@pytest.mark.parametrize(
    ("recipe", "n", "says"),
    [
        (MergeRecipe(), 2, "'lora' merges one adapter"),
        (MergeRecipe(strategy="cat"), 1, "combines two or more"),
        (MergeRecipe(strategy="slerp"), 3, "joins two adapters"),
        (MergeRecipe(strategy="cat", weights=(1,)), 2, "1 weights for 2 adapters"),
        (MergeRecipe(strategy="slerp", weights=(1, -1)), 2, "weights of 0 or more"),
    ],
)
def test_counts_that_do_not_fit_are_named(recipe: MergeRecipe, n: int, says: str) -> None:
    assert says in str(recipe.fault([8] * n))


def test_every_strategy_of_the_list_has_a_test() -> None:
    tested = {row[0] for row in HAND} | {"dare_linear", "dare_ties", "lora"}
    assert set(STRATEGIES) - tested == {
        "dare_linear_svd",
        "dare_ties_svd",
    }  # the same arithmetic on Δ: PEFT's
