"""From an experiment to its steps, and from the steps to their results on disk."""
