"""How a model is made ready for training: loading, precision, adapters, quantisation, optimizers."""
