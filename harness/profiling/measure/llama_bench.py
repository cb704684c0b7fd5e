"""A GGUF file's speed by llama.cpp's own definitions, those of its `llama-bench` (tools/llama-bench).

*pp512* decodes 512 random tokens into an empty cache, *tg128* then 128 single random tokens into an empty cache, one
after the other: no prompt before them, nothing is sampled. Of each repeat the tokens/s, of these the mean and the
sample standard deviation, as llama-bench prints them. One repeat before them is dropped. Flash attention is on, as
everywhere here (llama-bench's `-fa 1`), the cache is F16, micro-batches are of 512 tokens.

They differ from the phases `prefill` and `decode`, which choose tokens and decode behind a prompt. They are measured in
a process of their own: `python -m assay.harness.profiling.measure.llama_bench` reads a request from stdin and
writes seconds to stdout.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.harness import formatting
from assay.harness.console import new_table
from assay.harness.profiling.measure.job import Job, how_it_ended
from assay.trainers.artifact import ArtifactKind

if TYPE_CHECKING:
    from rich.console import RenderableType

    from assay.trainers.gguf.native import NativeContext, NativeModel

MICRO_BATCH = 512  # llama-bench's -ub


def applies(job: Job) -> bool:
    return job.source is not None and job.source.kind is ArtifactKind.GGUF


def llama_bench(job: Job, raw: Path) -> dict[str, Any]:
    """Measure a GGUF job's prompt and answer lengths and add the raw seconds to its record `raw`.

    Of each test `n`, `mean` and `sd` in tokens/s under `tests`; what failed says why under `unmeasured`.
    """
    assert job.source is not None
    request = {
        "path": str(job.source.path),
        "device": job.device,
        "threads": job.threads or len(os.sched_getaffinity(0)),
        "prompt": job.prompt_tokens,
        "new": job.new_tokens,
        "repeats": job.repeats,
        "seed": job.seed,
    }
    code, output, errors = _in_its_own_process(json.dumps(request))
    if code:
        return {"unmeasured": how_it_ended(code, errors)}
    seconds: dict[str, list[float]] = json.loads(output)
    with raw.open("a", encoding="utf-8") as out:
        out.write(json.dumps({"event": "llama_bench", "asked": request, "seconds": seconds}) + "\n")
    sizes = {f"pp{job.prompt_tokens}": job.prompt_tokens, f"tg{job.new_tokens}": job.new_tokens}
    return {
        "threads": request["threads"],
        "flash_attention": True,
        "warmup_dropped": 1,
        "tests": {name: _rates(n, seconds[name[:2]]) for name, n in sizes.items()},
    }


def _in_its_own_process(request: str) -> tuple[int, str, str]:
    """Return the exit status, stdout and stderr of a process of its own.

    Files, not pipes: those would be read until also what it started ends.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "assay.harness.profiling.measure.llama_bench"],
            input=request.encode(),
            stdout=output,
            stderr=errors,
            check=False,
        )
        for file in (output, errors):
            file.seek(0)
        return done.returncode, output.read().decode(), errors.read().decode(errors="replace")


def _rates(tokens: int, seconds: list[float]) -> dict[str, Any]:
    rates = [tokens / s for s in seconds]
    return {
        "n": len(rates),
        "mean": statistics.fmean(rates),
        "sd": statistics.stdev(rates) if len(rates) > 1 else None,
    }


def render(result: Mapping[str, Any]) -> RenderableType:
    from rich.text import Text

    if "unmeasured" in result:
        return Text(f"llama-bench: {formatting.UNMEASURED}: {result['unmeasured']}")
    title = f"By llama-bench's definitions: {result['threads']} threads, flash attention, nothing sampled"
    table = new_table(title, "test", "tokens/s", "n (dropped)", right=("tokens/s", "n (dropped)"))
    for name, s in result["tests"].items():
        spread = "" if s["sd"] is None else f" ± {s['sd']:,.2f}"
        table.add_row(name, f"{s['mean']:,.2f}{spread}", f"{s['n']} ({result['warmup_dropped']})")
    return table


def measure(request: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return the seconds of each repeat of "pp" and "tg"."""
    from assay.harness.generation.llama_engine import offloads
    from assay.trainers.gguf.native import NativeModel

    with NativeModel(Path(request["path"]), gpu_layers=-1 if offloads(request["device"]) else 0) as model:
        return {
            "pp": _repeats(model, request, request["prompt"], min(request["prompt"], MICRO_BATCH)),
            "tg": _repeats(model, request, request["new"], 1),
        }


def _repeats(model: NativeModel, request: Mapping[str, Any], n: int, at_once: int) -> list[float]:
    """Return the seconds of each repeat, warmed up as llama-bench does: with a prompt (its first micro-batch), and with
    one token of an answer.
    """
    from assay.trainers.gguf.native import NativeContext

    tokens, seconds = _tokens(model, n, request["seed"]), []
    context = NativeContext(model, rows=1, tokens_per_row=n, batch_tokens=at_once, threads=request["threads"])
    try:
        _read(context, tokens[:at_once], at_once)
        for _ in range(request["repeats"]):
            began = time.perf_counter()
            _read(context, tokens, at_once)
            seconds.append(time.perf_counter() - began)
    finally:
        context.close()
    return seconds


def _tokens(model: NativeModel, n: int, seed: int) -> list[int]:
    draw = random.Random(seed)
    return [draw.randrange(model.n_vocab) for _ in range(n)]


def _read(context: NativeContext, tokens: list[int], at_once: int) -> None:
    """Decode tokens from an empty cache; of each batch the last token's logits are computed, as llama-bench does."""
    context.forget(0)
    for begin in range(0, len(tokens), at_once):
        part = tokens[begin : begin + at_once]
        with_logits = [False] * (len(part) - 1) + [True]
        context.decode(part, range(begin, begin + len(part)), [0] * len(part), with_logits)


def main() -> None:
    sys.stdout.write(json.dumps(measure(json.loads(sys.stdin.read()))))


if __name__ == "__main__":
    main()
