"""`[config.adapter]`: the low-rank update that is learned while the base's weights are frozen. Torch-free.

`type` chooses the table. Leaving the table out means LoRA with its defaults; `type = "none"` trains every weight,
and is never what a forgotten table means.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Targets = Literal["all-linear"] | Annotated[list[str], Field(min_length=1)]
Task = Literal["CAUSAL_LM", "SEQ_CLS"]


class _Adapter(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    r: Positive = 16
    """Rank of the adapter's matrices."""
    alpha: Annotated[float, Field(gt=0)] = 32
    """Scale of the update: it is multiplied with alpha/r (rslora: alpha/√r)."""
    target_modules: Targets = "all-linear"
    """Layers that get an adapter: all-linear, or a list of names such as q_proj."""


class LoraTable(_Adapter):
    """W + s·B·A, with s = alpha/r (Hu et al. 2021, arXiv 2106.09685).

    `rslora` has s = alpha/√r instead, so that high ranks learn (Kalajdzievski 2023, arXiv 2312.03732). `dora` learns
    the length of each output's weight vector apart from its direction (Liu et al. 2024, arXiv 2402.09353).
    """

    type: Literal["lora", "rslora", "dora"] = "lora"
    """Kind of adapter; none trains every weight."""
    dropout: Share = 0.0
    """Dropout in front of the adapter, in training only."""
    bias: Literal["none", "all", "lora_only"] = "none"
    """Biases that are trained: none, all of them, or those of layers with an adapter."""


class LohaTable(_Adapter):
    """W + (alpha/r)·(A1·B1)∘(A2·B2), of rank up to r² (Hyeon-Woo et al. 2021, arXiv 2108.06098).

    It has twice LoRA's matrices at the same r.
    """

    type: Literal["loha"]
    """Kind of adapter; none trains every weight."""
    alpha: Annotated[float, Field(gt=0)] = 16
    """Scale of the update: it is multiplied with alpha/r."""
    rank_dropout: Share = 0.0
    """Share of ranks that are left out at random, as in LyCORIS."""
    module_dropout: Share = 0.0
    """Share of adapted layers whose update is left out at random, as in LyCORIS."""


class LokrTable(_Adapter):
    """W + (alpha/r)·kron(A, B), B itself of rank r where that is smaller (Yeh et al. 2023, arXiv 2309.14859)."""

    type: Literal["lokr"]
    """Kind of adapter; none trains every weight."""
    alpha: Annotated[float, Field(gt=0)] = 16
    """Scale of the update: it is multiplied with alpha/r."""
    rank_dropout: Share = 0.0
    """Share of ranks that are left out at random, as in LyCORIS."""
    module_dropout: Share = 0.0
    """Share of adapted layers whose update is left out at random, as in LyCORIS."""
    factor: Literal[-1] | Annotated[int, Field(ge=2)] = -1
    """Size of A's sides where it divides W's; -1 takes the divisors nearest to the square root."""
    decompose_both: bool = False
    """Write A as a product of two smaller matrices too."""


class NoAdapter(BaseModel):
    """Full fine-tuning: every weight is trained and the complete model is saved."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    type: Literal["none"]
    """Kind of adapter; none trains every weight."""


LowRankTable = LoraTable | LohaTable | LokrTable
AdapterTable = LowRankTable | NoAdapter


def peft_arguments(table: LowRankTable, task: Task = "CAUSAL_LM") -> dict[str, Any]:
    """Return the keyword arguments of peft's LoraConfig, LoHaConfig or LoKrConfig.

    A classifier's new head is trained with every weight.
    """
    modules = table.target_modules
    shared = {
        "r": table.r,
        "target_modules": modules if isinstance(modules, str) else list(modules),
        "task_type": task,
        "modules_to_save": ["score"] if task == "SEQ_CLS" else None,
    }
    if isinstance(table, LoraTable):
        return shared | {
            "lora_alpha": table.alpha,
            "lora_dropout": table.dropout,
            "bias": table.bias,
            "use_rslora": table.type == "rslora",
            "use_dora": table.type == "dora",
        }
    own = table.model_dump(include={"alpha", "rank_dropout", "module_dropout", "decompose_both"})
    return shared | own | ({"decompose_factor": table.factor} if isinstance(table, LokrTable) else {})


def scaling(table: LowRankTable) -> float:
    """Return the factor that the product of the adapter's matrices is multiplied with."""
    return table.alpha / (table.r**0.5 if table.type == "rslora" else table.r)
