"""Resolve the name of a model, a folder, a file or an address to an Artifact."""
