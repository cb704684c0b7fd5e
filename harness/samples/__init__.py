"""Samples files: what other tools and our own runs wrote, read sample by sample, and written for other tools."""

from harness.samples.model import Fault, Sample, SampleReader
from harness.samples.read import READERS, SampleFile, open_samples
from harness.samples.write import WRITERS, write_samples

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
