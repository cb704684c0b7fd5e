"""Generation: one protocol, one backend a file."""

from __future__ import annotations

from assay.harness.generation.batching import GenerationStats
from assay.harness.generation.load import load_generator
from assay.harness.generation.types import FinishReason, Generator, Request, Sample, Sampling

__all__ = ["FinishReason", "GenerationStats", "Generator", "Request", "Sample", "Sampling", "load_generator"]
