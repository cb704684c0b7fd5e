"""The steps of an experiment: planning them, running them, and keeping their results on disk."""
