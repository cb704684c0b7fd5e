"""The cell: a fork server that isolates itself once and forks per sample.

Runs as a process of its own under `python -S -s -P`, so everything in this folder uses the standard library only
and none of it imports the rest of the package.
"""
