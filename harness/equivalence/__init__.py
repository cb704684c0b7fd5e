"""Prove that a deployed model is the model that was evaluated, link by link, from tokens to pass@1."""

from __future__ import annotations

from assay.harness.equivalence.chain import Link, LinkVerdict, compare_links
from assay.harness.equivalence.tokens import Passage, load_passages, suite_passages

__all__ = ["Link", "LinkVerdict", "Passage", "compare_links", "load_passages", "suite_passages"]
