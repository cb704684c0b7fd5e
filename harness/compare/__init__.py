"""Is the model that is deployed the model that was evaluated? Link by link, from tokens to pass@1."""

from __future__ import annotations

from harness.compare.chain import compare_links
from harness.compare.corpus import Passage, load_passages, suite_passages
from harness.compare.link import Link, LinkVerdict

__all__ = ["Link", "LinkVerdict", "Passage", "compare_links", "load_passages", "suite_passages"]
