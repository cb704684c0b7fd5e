"""Generation: one protocol, one backend a file."""

from __future__ import annotations

from harness.generation.batching import GenerationStats
from harness.generation.load import load_generator
from harness.generation.model import FinishReason, Generator, Request, Sample, Sampling

__all__ = ["FinishReason", "GenerationStats", "Generator", "Request", "Sample", "Sampling", "load_generator"]
