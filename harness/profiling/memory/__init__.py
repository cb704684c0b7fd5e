"""Memory of a run, predicted from a model's config alone: pure arithmetic, no torch."""

from __future__ import annotations

from assay.harness.profiling.memory.architecture import (
    DEFAULT_TIER,
    Architecture,
    Tier,
    find_tier,
    parse_architecture,
    published_config,
    read_architecture,
    tier_names,
)
from assay.harness.profiling.memory.optimizers import ATTENTION, adapter_parameters
from assay.harness.profiling.memory.predict import Component, Prediction, predict, trained_tensors
from assay.harness.profiling.memory.setup import METHODS, OBJECTIVES, Setup, checked_config, method_settings

__all__ = [
    "ATTENTION",
    "DEFAULT_TIER",
    "METHODS",
    "OBJECTIVES",
    "Architecture",
    "Component",
    "Prediction",
    "Setup",
    "Tier",
    "adapter_parameters",
    "checked_config",
    "find_tier",
    "method_settings",
    "parse_architecture",
    "predict",
    "published_config",
    "read_architecture",
    "tier_names",
    "trained_tensors",
]
