"""Decontamination: how much of a suite's problems stands in a training set."""

from harness.contamination.ngrams import METHODS, THRESHOLD, Overlap, overlap
from harness.contamination.run import read_overlap, training_texts, write_overlaps

__all__ = ["METHODS", "THRESHOLD", "Overlap", "overlap", "read_overlap", "training_texts", "write_overlaps"]
