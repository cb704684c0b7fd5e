"""Statistics of scores: pure functions over arrays, no I/O."""
