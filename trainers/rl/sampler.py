"""What draws answers from the policy while it learns. The caller brings it: see docs/decisions/0005.

A trainer may not reach up to the harness, whose generators are the ones that evaluation uses. So a sampler is handed
in as part of the environment, as a module-level function, which pickles into a training's own process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """One answer to draw. `key` is the caller's own; `seed` alone fixes the random draws."""

    key: int
    prompt: str
    seed: int


@dataclass(frozen=True, slots=True)
class SampledAnswer:
    """One answer. `token_ids` are the policy's actions, the one that ended the answer among them; `ended` is false
    where it was cut at its limit. `text` is without an end token and without a stop string."""

    key: int
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    text: str
    ended: bool


class Sampler(Protocol):
    """Draws from the model it was opened on, with the weights as they are at each call."""

    def draw(
        self,
        asks: Iterable[SampleRequest],
        *,
        temperature: float,
        max_new_tokens: int,
        stop: tuple[str, ...] = (),
    ) -> Iterator[SampledAnswer]:
        """Answers as they end, in any order, each ask answered once, sampled from softmax(logits / temperature).
        `stop` strings end an answer."""
        ...


class OpenSampler(Protocol):
    def __call__(self, model: Any, tokenizer: Any, *, batch_size: int) -> Sampler: ...
