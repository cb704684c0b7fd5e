"""Who is stronger, from who beat whom: Bradley–Terry strengths, intervals, and a rank only where it is proven."""

from __future__ import annotations

from assay.harness.stats.ranking import Ranking, Standing, rank
from assay.harness.stats.votes import Matches, read_matches

__all__ = ["Matches", "Ranking", "Standing", "rank", "read_matches"]


# Statistics of scores: pure functions over arrays, no I/O.
