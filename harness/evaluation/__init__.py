"""Judging samples: execute, compare with what is expected, count, score."""
