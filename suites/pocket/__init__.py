"""The pocket suite: synthetic Python function problems a model of a few million parameters can learn."""
