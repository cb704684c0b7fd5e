"""The training methods, one a file; `_trl` is what they share."""
