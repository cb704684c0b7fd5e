"""One prompt, one answer, shown as it is written: what `assay generate` does."""

from __future__ import annotations

import queue
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.errors import UnmeasuredError
from harness.generation.load import MeasuredGenerator
from harness.generation.model import FinishReason, Sampling
from harness.serve.scheduler import Ask, Event, Failure, Scheduler


@dataclass(frozen=True, slots=True)
class Answer:
    """`ttft_s`: asked to first token; `tpot_s`: (last − first token)/(tokens − 1), None with fewer than two tokens;
    `tok_per_s`: tokens over the time from asked to the last one, None with no token."""

    text: str
    token_ids: tuple[int, ...]
    prompt_tokens: int
    finish_reason: FinishReason
    seed: int
    ttft_s: float | None
    tpot_s: float | None
    tok_per_s: float | None

    def to_json(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "token_ids": list(self.token_ids),
            "tokens": len(self.token_ids),
            "prompt_tokens": self.prompt_tokens,
            "finish_reason": self.finish_reason,
            "seed": self.seed,
            "ttft_s": self.ttft_s,
            "tpot_s": self.tpot_s,
            "tok_per_s": self.tok_per_s,
        }


def answer(
    generator: MeasuredGenerator, prompt: str, sampling: Sampling, seed: int, on_text: Callable[[str], None]
) -> Answer:
    """`on_text` is called with each piece as soon as it can no longer change. Raises BadInputError (prompt too long,
    bad sampling) and UnmeasuredError (the engine failed)."""
    engine = generator.engine
    prompt_ids = tuple(generator.encode(prompt))
    scheduler = Scheduler(engine, rows=1, capacity=len(prompt_ids) + sampling.max_new_tokens)
    events: queue.SimpleQueue[Event | Failure] = queue.SimpleQueue()
    pieces: list[str] = []
    try:
        ticket = scheduler.submit(Ask(prompt_ids, sampling, seed), events.put)
        while True:
            event = events.get()
            if isinstance(event, Failure):
                raise UnmeasuredError(f"generation failed: {event.message}")
            pieces.append(event.text)
            if event.text:
                on_text(event.text)
            if event.finish is not None:
                break
    finally:
        scheduler.close()
    times, n = ticket.times, len(ticket.ids)
    duration = None if times.last is None else times.last - times.asked
    return Answer(
        text="".join(pieces),
        token_ids=tuple(ticket.ids),
        prompt_tokens=len(prompt_ids),
        finish_reason=event.finish,
        seed=seed,
        ttft_s=times.ttft_s,
        tpot_s=times.tpot_s(n),
        tok_per_s=n / duration if duration else None,
    )
