"""Models made ready for training: loading, precision, adapters, quantisation, optimizers."""
