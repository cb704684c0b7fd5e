"""Reward shaping: terms added to the reward that steer learning.

A potential's term moves the return of every policy from a state by the same amount, so that the best policy stays the
best (Ng, Harada and Russell 1999, theorem 1). A length penalty is no such term: it changes what is best, on purpose.
"""

from __future__ import annotations

import codeop
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def potential_terms(potentials: Tensor, mask: Tensor, gamma: float) -> Tensor:
    """F_t = γ·Φ(s_{t+1}) − Φ(s_t) for each step; all [rows, steps], `potentials[:, t]` of the state before step t.

    The state after an episode's last step is terminal and has potential 0, without which the theorem does not hold.
    """
    import torch

    ahead = torch.zeros_like(potentials)
    ahead[:, :-1] = potentials[:, 1:] * mask[:, 1:]
    return (gamma * ahead - potentials) * mask


def length_penalty(tokens: int, free: int, per_token: float) -> float:
    """What `tokens` cost: nothing up to `free`, `per_token` for each beyond. Never positive."""
    return 0.0 - per_token * max(0, tokens - free)


def syntax_potentials(
    prompt: str, tokens: Sequence[int], decode: Callable[[Sequence[int]], str]
) -> list[float]:
    """Φ of the state before each token of a bare answer to `prompt`: 1 while what is written can still become a
    program, 0 once a finished line has made that impossible. Judged at line ends, where Python's grammar decides."""
    found, alive = [], True
    for t, token in enumerate(tokens):
        found.append(float(alive))
        if alive and "\n" in decode([token]):
            alive = can_become_a_program(prompt + decode(tokens[: t + 1]))
    return found


def can_become_a_program(text: str) -> bool:
    """Whether some continuation of the whole lines of `text` parses. Compiles, runs nothing."""
    lines = text[: text.rfind("\n") + 1]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SyntaxWarning: the program's business
            codeop.compile_command(lines, symbol="exec")
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return False
    return True
