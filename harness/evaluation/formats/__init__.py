"""Samples files of other tools and of our own runs, read sample by sample, and written for other tools."""

from assay.harness.evaluation.formats.read import (
    READERS,
    MalformedRow,
    Sample,
    SampleFile,
    SampleReader,
    open_samples,
)
from assay.harness.evaluation.formats.write import WRITERS, write_samples

__all__ = [
    "READERS",
    "WRITERS",
    "MalformedRow",
    "Sample",
    "SampleFile",
    "SampleReader",
    "open_samples",
    "write_samples",
]
