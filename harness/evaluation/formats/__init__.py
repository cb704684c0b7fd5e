"""Samples files: what other tools and our own runs wrote, read sample by sample, and written for other tools."""

from assay.harness.evaluation.formats.model import Fault, Sample, SampleReader
from assay.harness.evaluation.formats.read import READERS, SampleFile, open_samples
from assay.harness.evaluation.formats.write import WRITERS, write_samples

__all__ = [
    "READERS",
    "WRITERS",
    "Fault",
    "Sample",
    "SampleFile",
    "SampleReader",
    "open_samples",
    "write_samples",
]
