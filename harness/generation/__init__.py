"""Generation: one protocol, one backend a file."""
