"""Preferences: pairs from executed samples, reward models, and the losses that learn from pairs."""
