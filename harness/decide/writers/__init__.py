"""Writers of result files: what Assay measured, in the forms that other evaluators and the hub read."""

from __future__ import annotations

from assay.harness.decide.writers.measured import MeasuredModel, SampleVerdict, measured_model
from assay.harness.decide.writers.write import WRITERS, ResultWriter, Written, write_results

__all__ = [
    "WRITERS",
    "MeasuredModel",
    "ResultWriter",
    "SampleVerdict",
    "Written",
    "measured_model",
    "write_results",
]
