"""`assay generate`: one prompt, one answer, shown as it is written."""

from __future__ import annotations

import queue
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from assay.harness.cli import options
from assay.harness.cli.app import print_json, verb
from assay.harness.errors import BadInputError, UnmeasuredError

if TYPE_CHECKING:
    from assay.harness.generation.load import MeasuredGenerator
    from assay.harness.generation.types import FinishReason, Sampling
    from assay.harness.serving.scheduler import Event


@verb()
def generate(
    model: options.Model,
    prompt: Annotated[str | None, Option("--prompt", "-p", help="The prompt; - reads it from stdin.")] = None,
    prompt_file: Annotated[Path | None, Option(help="A file that holds the prompt.")] = None,
    style: options.Style = "chat",
    system: Annotated[str | None, Option(help="The system turn of a chat.")] = None,
    max_new_tokens: options.MaxNewTokens = 512,
    temperature: options.Temperature = 0.0,
    top_p: Annotated[
        float, Option(help="Nucleus sampling: the share of probability that is kept; 1 turns it off.")
    ] = 1.0,
    top_k: Annotated[int, Option(help="Sample from this many likeliest tokens; 0 turns it off.")] = 0,
    stop: Annotated[list[str] | None, Option(help="A text that ends the answer; may be repeated.")] = None,
    seed: options.Seed = 0,
    engine: options.Engine = options.ENGINE,
    shown: options.Shown = options.SHOWN,
) -> None:
    """Answer one prompt, streamed to the terminal."""
    from assay.harness.generation import Sampling
    from assay.harness.models.resolve import resolve_model

    text = read_prompt(prompt, prompt_file)
    options.one_of("--style", style, ("chat", "completion"))
    if system is not None and style != "chat":
        raise BadInputError(
            f"--system {system!r} belongs to a chat; --style completion has no turns: leave it out"
        )
    artifact = resolve_model(model)
    started = time.perf_counter()
    generator = engine.load(artifact, batch_size=1)
    load_s = time.perf_counter() - started
    sampling = Sampling(temperature, top_p, top_k, max_new_tokens, tuple(stop or ()))
    with closing(generator):
        if style == "chat":
            turns = [{"role": "system", "content": system}] if system is not None else []
            text = generator.render_chat([*turns, {"role": "user", "content": text}])
        written = answer(generator, text, sampling, seed, (lambda piece: None) if shown.as_json else show)
        backend = generator.backend
    if shown.as_json:
        about = {"model": model, "kind": artifact.kind.value, "sha256": artifact.sha256, "backend": backend}
        print_json(about | {"style": style, "prompt": text, "load_s": load_s} | written.to_json())
        return
    sys.stdout.write("\n")
    if not shown.quiet:
        facts = [f"{len(written.token_ids)} tokens", written.finish_reason, f"seed {written.seed}"]
        facts += [] if written.ttft_s is None else [f"first after {written.ttft_s * 1000:.0f} ms"]
        facts += [] if written.tok_per_s is None else [f"{written.tok_per_s:,.0f} tokens/s"]
        print(f"[{', '.join(facts)}; {backend}; loaded in {load_s:.1f} s]", file=sys.stderr)


def read_prompt(prompt: str | None, file: Path | None) -> str:
    if (prompt is None) == (file is None):
        raise BadInputError("give --prompt TEXT (- for stdin) or --prompt-file FILE; one of the two")
    try:
        if file is not None:
            return file.read_text(encoding="utf-8")
        return sys.stdin.read() if prompt == "-" else str(prompt)
    except UnicodeDecodeError as error:
        raise BadInputError(f"the prompt is not UTF-8: {error}") from None


def show(piece: str) -> None:
    sys.stdout.write(piece)
    sys.stdout.flush()


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with its timings.

    `ttft_s` is the time from request to first token; `tpot_s` is (last − first token)/(tokens − 1), None with fewer
    than two tokens; `tok_per_s` is tokens over the time from request to last token, None without tokens.
    """

    text: str
    token_ids: tuple[int, ...]
    prompt_tokens: int
    finish_reason: FinishReason
    seed: int
    ttft_s: float | None
    tpot_s: float | None
    tok_per_s: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"token_ids": list(self.token_ids), "tokens": len(self.token_ids)}


def answer(
    generator: MeasuredGenerator, prompt: str, sampling: Sampling, seed: int, on_text: Callable[[str], None]
) -> Answer:
    """Generate one answer; `on_text` is called with each piece as soon as it can no longer change.

    Raises BadInputError (prompt too long, bad sampling) and UnmeasuredError (the engine failed).
    """
    from assay.harness.serving.scheduler import Failure, SampleRequest, Scheduler

    engine = generator.engine
    prompt_ids = tuple(generator.encode(prompt))
    scheduler = Scheduler(engine, rows=1, capacity=len(prompt_ids) + sampling.max_new_tokens)
    events: queue.SimpleQueue[Event | Failure] = queue.SimpleQueue()
    pieces: list[str] = []
    with closing(scheduler):
        ticket = scheduler.submit(SampleRequest(prompt_ids, sampling, seed), events.put)
        while True:
            event = events.get()
            if isinstance(event, Failure):
                raise UnmeasuredError(f"generation failed: {event.message}")
            pieces.append(event.text)
            if event.text:
                on_text(event.text)
            if event.finish is not None:
                break
    times, n = ticket.times, len(ticket.ids)
    duration = times.latency_s
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
