"""The pocket model: a Qwen2 of a few million parameters, trained from scratch by this package's `pretrain`."""
