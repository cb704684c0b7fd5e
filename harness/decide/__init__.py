"""Decide from result files alone: read verdicts of any evaluator, compare two of them, rank many on one board.

Nothing here loads a model or runs a program, and no verdict is given anew: what the files say is what is compared.
"""

from __future__ import annotations

from assay.harness.decide.board import Board, make_board
from assay.harness.decide.comparing import ResultComparison, compare_results
from assay.harness.decide.history import load_results
from assay.harness.decide.readers import READERS, read_results
from assay.harness.decide.results import Answer, Results

__all__ = [
    "READERS",
    "Answer",
    "Board",
    "ResultComparison",
    "Results",
    "compare_results",
    "load_results",
    "make_board",
    "read_results",
]
