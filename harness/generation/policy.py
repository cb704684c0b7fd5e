"""The sampler that a policy is trained with: the engine of evaluation, on the live model (docs/decisions/0005)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from harness.generation.batching import GenerationStats, run_batches
from harness.generation.hf import TorchEngine
from harness.generation.model import Request, Sampling
from trainers.rl.sampler import Ask, Drawn


class PolicySampler:
    """Draws with the weights as they are at each call; a token's random draws depend on its ask's seed alone."""

    def __init__(self, model: Any, tokenizer: Any, batch_size: int) -> None:
        self._engine = TorchEngine(model, tokenizer)
        self._batch_size = batch_size
        self.stats = GenerationStats()

    def draw(
        self, asks: Iterable[Ask], *, temperature: float, max_new_tokens: int, stop: tuple[str, ...] = ()
    ) -> Iterator[Drawn]:
        sampling = Sampling(temperature=temperature, max_new_tokens=max_new_tokens, stop=stop)
        asked = list(asks)
        prompts = {prompt: tuple(self._engine.encode(prompt)) for prompt in {a.prompt for a in asked}}
        requests = [Request(str(a.key), a.key, a.prompt, a.seed) for a in asked]
        for sample in run_batches(self._engine, requests, sampling, self._batch_size, self.stats):
            end = () if sample.end_id is None else (sample.end_id,)
            yield Drawn(
                sample.index,
                prompts[sample.prompt],
                sample.token_ids + end,
                sample.completion,
                sample.finish_reason == "stop",
            )


def open_policy_sampler(model: Any, tokenizer: Any, *, batch_size: int) -> PolicySampler:
    """An `OpenSampler` of trainers.rl: at module level, so that it pickles to a training's own process."""
    return PolicySampler(model, tokenizer, batch_size)
