"""`assay generate`"""

from __future__ import annotations

import queue
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.harness.cli.app import Json, Quiet, app, print_json
from assay.harness.errors import UnmeasuredError

if TYPE_CHECKING:
    from assay.harness.generation.load import MeasuredGenerator
    from assay.harness.generation.types import FinishReason, Sampling
    from assay.harness.serving.scheduler import Event


@app.command()
def generate(
    model: Annotated[str, typer.Argument(help="pocket, a folder, a .gguf file or a hub id.")],
    prompt: Annotated[
        str | None, typer.Option("--prompt", "-p", help="What to answer; - reads stdin.")
    ] = None,
    prompt_file: Annotated[
        Path | None, typer.Option("--prompt-file", help="Or a file that holds it.")
    ] = None,
    style: Annotated[
        str, typer.Option("--style", help="chat: by the model's template; completion: continues the prompt.")
    ] = "chat",
    system: Annotated[str | None, typer.Option("--system", help="Chat: the system turn.")] = None,
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", help="Length of the answer, at most.")
    ] = 512,
    temperature: Annotated[float, typer.Option("--temperature", help="0 is greedy.")] = 0.0,
    top_p: Annotated[float, typer.Option("--top-p", help="Nucleus; 1 is off.")] = 1.0,
    top_k: Annotated[int, typer.Option("--top-k", help="Likeliest tokens; 0 is off.")] = 0,
    stop: Annotated[
        list[str] | None, typer.Option("--stop", help="Ends the answer; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the draws, where temperature is above 0.")] = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    dtype: Annotated[str, typer.Option("--dtype", help="auto (as stored), fp32, bf16 or fp16.")] = "auto",
    threads: Annotated[int, typer.Option("--threads", help="CPU threads; 0 is one per core.")] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Answer one prompt with a base, adapter, merged or GGUF model, streamed to the terminal."""
    import os

    from assay.harness.errors import BadInputError
    from assay.harness.generation import Sampling, load_generator
    from assay.harness.models.resolve import resolve_model

    text = read_prompt(prompt, prompt_file)
    if style not in ("chat", "completion"):
        raise BadInputError(f"--style must be chat or completion, got {style!r}")
    if system is not None and style != "chat":
        raise BadInputError("--system belongs to a chat; a completion has no turns")
    artifact = resolve_model(model)
    started = time.perf_counter()
    generator = load_generator(
        artifact,
        batch_size=1,
        threads=threads or len(os.sched_getaffinity(0)),
        device=device,
        dtype=dtype,
    )
    load_s = time.perf_counter() - started
    sampling = Sampling(temperature, top_p, top_k, max_new_tokens, tuple(stop or ()))
    try:
        if style == "chat":
            turns = [{"role": "system", "content": system}] if system is not None else []
            text = generator.render_chat([*turns, {"role": "user", "content": text}])
        found = answer(generator, text, sampling, seed, (lambda piece: None) if as_json else show)
        backend = generator.backend
    finally:
        generator.close()
    if as_json:
        about = {"model": model, "kind": artifact.kind.value, "sha256": artifact.sha256, "backend": backend}
        print_json(about | {"style": style, "prompt": text, "load_s": load_s} | found.to_json())
        return
    sys.stdout.write("\n")
    if not quiet:
        told = [f"{len(found.token_ids)} tokens", found.finish_reason, f"seed {found.seed}"]
        told += [] if found.ttft_s is None else [f"first after {found.ttft_s * 1000:.0f} ms"]
        told += [] if found.tok_per_s is None else [f"{found.tok_per_s:,.0f} tokens/s"]
        print(f"[{', '.join(told)}; {backend}; loaded in {load_s:.1f} s]", file=sys.stderr)


def read_prompt(prompt: str | None, file: Path | None) -> str:
    from assay.harness.errors import BadInputError

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


# One prompt, one answer, shown as it is written: what `assay generate` does.


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
    from assay.harness.serving.scheduler import Failure, SampleRequest, Scheduler

    engine = generator.engine
    prompt_ids = tuple(generator.encode(prompt))
    scheduler = Scheduler(engine, rows=1, capacity=len(prompt_ids) + sampling.max_new_tokens)
    events: queue.SimpleQueue[Event | Failure] = queue.SimpleQueue()
    pieces: list[str] = []
    try:
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
    finally:
        scheduler.close()
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
