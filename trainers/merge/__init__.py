"""Merge adapters into their base: one folder that loads without peft."""

from __future__ import annotations

from assay.trainers.merge.recipe import STRATEGIES, MergeRecipe
from assay.trainers.merge.write import merge, merge_adapter

__all__ = ["STRATEGIES", "MergeRecipe", "merge", "merge_adapter"]
