"""Memory of a run, predicted from a model's config alone: pure arithmetic, no torch."""

from __future__ import annotations

from assay.harness.profiling.memory.architecture import Architecture, parse_architecture, read_architecture
from assay.harness.profiling.memory.optimizers import ATTENTION, Adapter, adapter_parameters
from assay.harness.profiling.memory.predict import Component, Prediction, predict, trained_tensors
from assay.harness.profiling.memory.setup import METHODS, OBJECTIVES, Setup, make_setup
from assay.harness.profiling.memory.tiers import DEFAULT_TIER, Tier, find_tier, published_config, tier_names

__all__ = [
    "ATTENTION",
    "DEFAULT_TIER",
    "METHODS",
    "OBJECTIVES",
    "Adapter",
    "Architecture",
    "Component",
    "Prediction",
    "Setup",
    "Tier",
    "adapter_parameters",
    "find_tier",
    "make_setup",
    "parse_architecture",
    "predict",
    "published_config",
    "read_architecture",
    "tier_names",
    "trained_tensors",
]
