"""Readers of result files: ours, those of other evaluators, and plain tables."""

from __future__ import annotations

from assay.harness.decide.readers.read import READERS, looks_like_results, read_results, split_name
from assay.harness.decide.readers.source import ResultReader, Source

__all__ = ["READERS", "ResultReader", "Source", "looks_like_results", "read_results", "split_name"]
