"""Statistics of scores and of comparisons: pure functions over arrays, and the reader of votes.

pass@k with its interval, paired comparisons, and a ranking by Bradley–Terry strengths in which a rank is given only
where a test proves it.
"""

from __future__ import annotations

from assay.harness.stats.ranking import Ranking, Standing, rank
from assay.harness.stats.votes import Matches, read_matches

__all__ = ["Matches", "Ranking", "Standing", "rank", "read_matches"]
