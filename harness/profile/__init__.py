"""Memory and speed of a model, measured: each job in a process of its own, watched from outside."""

from __future__ import annotations

from harness.profile.job import Job, Phase
from harness.profile.predicted import with_prediction
from harness.profile.record import Record, read_record
from harness.profile.summary import summarise
from harness.profile.watch import profile

__all__ = ["Job", "Phase", "Record", "profile", "read_record", "summarise", "with_prediction"]
