"""Trainings as experiments see them: what they are made of, what they would take, what they learned."""
