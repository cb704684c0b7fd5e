"""Memory predicted, memory and speed measured, and a server measured under load."""
