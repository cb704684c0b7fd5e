"""Who is stronger, from who beat whom: Bradley–Terry strengths, intervals, and a rank only where it is proven."""

from __future__ import annotations

from harness.ranking.matches import Matches
from harness.ranking.read import read_matches
from harness.ranking.standings import Ranking, Standing, rank

__all__ = ["Matches", "Ranking", "Standing", "rank", "read_matches"]
