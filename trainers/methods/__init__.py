"""The training methods, one a file."""
