"""One loaded model for many callers: continuous batching with streams, and the OpenAI-compatible server over it."""

from __future__ import annotations

from assay.harness.serving.scheduler import Event, Failure, SampleRequest, Scheduler, Ticket

__all__ = ["Event", "Failure", "SampleRequest", "Scheduler", "Ticket"]
