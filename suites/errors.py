"""What suites raise."""

from __future__ import annotations


class SuiteError(ValueError):
    """A suite's data is missing or malformed; the message names file, line and field, and what to do."""
