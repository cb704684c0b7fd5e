"""Extraction of the program from a model's reply."""
