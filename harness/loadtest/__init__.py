"""An OpenAI-compatible server under load: many requests at once, each answer's latencies kept, figures from them."""

from __future__ import annotations

from harness.loadtest.drive import Workload, measure
from harness.loadtest.figures import summarise

__all__ = ["Workload", "measure", "summarise"]
