"""One training run: its process, its folder, its log, and what watches it."""
