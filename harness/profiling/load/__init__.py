"""An OpenAI-compatible server under load: many requests at once, each answer's latencies kept, figures from them."""

from __future__ import annotations

from assay.harness.profiling.load.drive import Workload, measure
from assay.harness.profiling.load.figures import summarise

__all__ = ["Workload", "measure", "summarise"]
