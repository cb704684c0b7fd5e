"""From a model's reply to the program in it."""
