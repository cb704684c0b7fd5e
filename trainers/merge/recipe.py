"""The strategies by which adapters are merged, and what each needs. Torch-free."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

_Random = Literal["dare_linear", "dare_linear_svd", "dare_ties", "dare_ties_svd"]
_Pruning = Literal["ties", "ties_svd", _Random, "magnitude_prune", "magnitude_prune_svd"]
Strategy = Literal["lora", "linear", "cat", "svd", _Pruning, "slerp"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
# These combine the factors A and B apart from each other, so both adapters' must have the same shape.
_EQUAL_RANKS: frozenset[Strategy] = frozenset(
    {"linear", "ties", "dare_linear", "dare_ties", "magnitude_prune"}
)
_PRUNING: frozenset[Strategy] = frozenset(get_args(_Pruning))
_RANDOM: frozenset[Strategy] = frozenset(get_args(_Random))


class MergeRecipe(BaseModel):
    """One way to fold adapters into their base; `[variant.merging]` of an experiment and the flags of `assay merge`.

    lora: one adapter of any kind that PEFT can merge, W + ΔW. The others combine LoRA adapters, Δ standing for
    (alpha/r)·B·A:

    - cat: Σ wᵢ·Δᵢ exactly. svd: the same, cut to `svd_rank` (the largest rank given where None).
    - linear: A and B are averaged apart, each with √(wᵢ·scaleᵢ); cheap, and cross terms Bᵢ·Aⱼ come with it.
    - magnitude_prune: keep the largest share `density` of each adapter's entries, then as linear.
    - ties: prune so, elect each entry's sign, average those that agree (Yadav et al. 2023, arXiv 2306.01708).
    - dare_linear, dare_ties: drop entries at random with probability 1 − density and divide what is left by density
      (Yu et al. 2023, arXiv 2311.03099); `seed` fixes which.
    - …_svd: the same on Δ in place of A and B, cut to `svd_rank`.
    - slerp: two adapters, Δ on the arc between Δ₁ and Δ₂ (Shoemake 1985), at w₂/(w₁+w₂) of the way.

    `weights` default to 1/n each (lora: 1). `onto` is what the adapter is added to: "full", the base as it is
    stored; "trained", the base as it was while the adapter was trained, which for QLoRA is what the quantisation left
    of it, dequantised; or `nf4`, `fp4` (double quantisation) or `int8`, so quantised and dequantised whatever the
    adapter was trained on. `dtype` is how the sum, always made in fp32, is stored.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    strategy: Strategy = "lora"
    """The way to combine the adapters: lora merges one adapter; the others combine several LoRA adapters."""
    weights: tuple[float, ...] = ()
    """The weight of each adapter; left out, 1/n each."""
    density: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The share of entries that the pruning strategies (ties, dare, magnitude_prune) keep."""
    svd_rank: Annotated[int, Field(ge=1)] | None = None
    """The rank that strategies ending in svd cut to; left out, the largest rank given."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """The seed of the entries that DARE drops."""
    onto: Literal["full", "trained", "nf4", "fp4", "int8"] = "full"
    """The base that the sum is added to: as stored, as it was while the adapter was trained, or quantised so."""
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"
    """The type that the sum, always made in fp32, is stored in."""

    @model_validator(mode="after")
    def _only_what_the_strategy_takes(self) -> MergeRecipe:
        if self.strategy in _PRUNING and self.density is None:
            raise ValueError(
                f"strategy {self.strategy!r} needs a density, the share of entries kept, such as 0.5"
            )
        if self.strategy not in _PRUNING and self.density is not None:
            raise ValueError(f"strategy {self.strategy!r} takes no density; {', '.join(sorted(_PRUNING))} do")
        if self.svd_rank is not None and not self.strategy.endswith("svd"):
            raise ValueError(f"strategy {self.strategy!r} takes no svd_rank; those that end in 'svd' do")
        return self

    def fault(self, ranks: list[int]) -> str | None:
        """Return why adapters of these ranks cannot be merged by this recipe; None where they can."""
        n = len(ranks)
        if n == 0:
            return "no adapter was given"
        if self.strategy == "lora" and n != 1:
            return f"strategy 'lora' merges one adapter, {n} were given; for several: {', '.join(STRATEGIES[1:])}"
        if self.strategy != "lora" and n < 2:
            return f"strategy {self.strategy!r} combines two or more adapters, one was given; use 'lora'"
        if self.strategy == "slerp" and n != 2:
            return f"strategy 'slerp' joins two adapters by an arc, {n} were given; use cat or ties"
        if self.weights and len(self.weights) != n:
            return f"{len(self.weights)} weights for {n} adapters: {list(self.weights)}"
        if self.strategy == "slerp" and self.weights and (min(self.weights) < 0 or sum(self.weights) == 0):
            return f"strategy 'slerp' takes weights of 0 or more, not all 0: {list(self.weights)}"
        if self.strategy in _EQUAL_RANKS and len(set(ranks)) > 1:
            return (
                f"strategy {self.strategy!r} needs adapters of one rank, these have {', '.join(map(str, ranks))}; "
                "use cat, slerp or one that ends in 'svd'"
            )
        return None

    def weights_of(self, n: int) -> tuple[float, ...]:
        """Return one weight for each of n adapters."""
        return self.weights or (1 / n,) * n

    def describe(self, n: int) -> str:
        """Return the recipe for n adapters as a text that a person can repeat."""
        parts = [f"strategy {self.strategy}"]
        if n > 1 or self.weights:
            parts.append("weights " + ", ".join(f"{w:g}" for w in self.weights_of(n)))
        if self.density is not None:
            parts.append(f"density {self.density:g}")
        if self.svd_rank is not None:
            parts.append(f"rank {self.svd_rank}")
        if self.strategy in _RANDOM:
            parts.append(f"seed {self.seed}")
        onto = {"full": "", "trained": " onto the base as the adapter was trained on it"}.get(
            self.onto, f" onto the base quantised to {self.onto} and dequantised"
        )
        return f"PEFT merge, {', '.join(parts)}{onto}, summed in fp32, stored as {self.dtype}"
