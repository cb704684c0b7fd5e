"""One training run: its process, its folder, its logs, and the watch over it."""
