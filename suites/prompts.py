"""What a model is asked. One builder for every backend; the model's own chat template is applied by its generator."""

from __future__ import annotations

from suites.model import Problem


def chat_messages(problem: Problem) -> list[dict[str, str]]:
    """The problem as one user turn: its instruction, or its prompt where it has none. No system turn is added: a
    template that has a default one, as Qwen2.5's has, adds it itself."""
    return [{"role": "user", "content": problem.instruction or problem.prompt}]


def completion_prompt(problem: Problem) -> str:
    """What a model that completes is given; its completion follows `problem.prompt` in the program."""
    return problem.lead + problem.prompt
