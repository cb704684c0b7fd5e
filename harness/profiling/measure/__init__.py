"""Memory and speed of a model, measured: each job in a process of its own, watched from outside."""

from __future__ import annotations

from assay.harness.profiling.measure.job import Job, Phase, Record, read_record
from assay.harness.profiling.measure.predicted import with_prediction
from assay.harness.profiling.measure.summary import summarise
from assay.harness.profiling.measure.watch import profile

__all__ = ["Job", "Phase", "Record", "profile", "read_record", "summarise", "with_prediction"]
