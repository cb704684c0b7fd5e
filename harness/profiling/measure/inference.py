"""The inference workload, the same for every backend: it drives the engine that evaluation itself runs on.

Definitions (the references' words): *prefill* reads `batch_size` prompts and chooses the first token of each, so its
time is the time to first token (TTFT) of requests sent together; *decode* then writes the other tokens, one step each,
and its step times are the inter-token latencies (ITL). *generate* is the generator as an evaluation drives it: samples
drawn in continuous batches. For GGUF at batch 1 prefill and decode are llama-bench's pp and tg, with the choice of the
token added.
"""

from __future__ import annotations

import ctypes
import gc
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from assay.harness.generation.batching import Engine, GenerationStats, run_batches
from assay.harness.generation.load import load_generator
from assay.harness.generation.token_choice import Draws
from assay.harness.generation.torch_engine import TorchEngine, loading_dtype, short_dtype
from assay.harness.generation.types import Request, Sampling
from assay.harness.profiling.measure.job import Job, Recorder, cap_allocator
from assay.harness.profiling.measure.predicted import cache_of, weights_of
from assay.harness.profiling.measure.random_weights import (
    WARM_UP_MODEL,
    Endless,
    EngineOf,
    load_random,
    load_rounded,
    random_model,
    stand_in,
)
from assay.harness.profiling.memory.architecture import FAMILIES
from assay.trainers.artifact import ArtifactKind, model_folder
from assay.trainers.templates import load_tokenizer


class Loaded(Protocol):
    """A loaded model: its engine, the path it takes, the size of its vocabulary."""

    @property
    def engine(self) -> Engine: ...

    @property
    def backend(self) -> str: ...

    @property
    def vocabulary(self) -> int: ...


def measure_inference(job: Job, recorder: Recorder) -> None:
    """Load, then each phase asked for, `warmup + repeats` times."""
    gguf = job.source is not None and job.source.kind is ArtifactKind.GGUF
    with recorder.phase("import"):
        if gguf:
            from assay.trainers.gguf.native import llama_cpp

            llama_cpp()
        else:
            import_torch(job, recorder)
            _warm_up(job)
    if not gguf:
        _warm_kernels(job, recorder)
    with recorder.phase("load"):
        began = time.perf_counter()
        model = _load(job)
        recorder.wait()
        recorder.time(0, True, seconds=time.perf_counter() - began)
    recorder.fact(backend=model.backend, vocabulary=model.vocabulary)
    rows = [tokens_of(job, row, model.vocabulary) for row in range(job.batch_size)]
    for phase, once in _phases(job, model, rows).items():
        if phase in job.phases:
            with recorder.phase(phase):
                repeat_phase(job, recorder, once)
    if isinstance(model.engine, TorchEngine):
        recorder.fact(compute=short_dtype(model.engine.model.dtype))
        recorder.fact(components=weights_of(model.engine.model) | cache_of(model.engine))


def _phases(
    job: Job, model: Loaded, rows: Sequence[Sequence[int]]
) -> dict[str, Callable[[], dict[str, Any]]]:
    return {
        "prefill": lambda: {"seconds": _decode(job, model.engine, rows, 1)["ttft_s"]},
        "decode": lambda: _decode(job, model.engine, rows, job.new_tokens),
        "generate": lambda: _generate(job, model, rows),
    }


def _warm_kernels(job: Job, recorder: Recorder) -> None:
    """Use every kernel that the model will need once on a model of one block of the same widths, which is then given
    back: what stays (code compiled for these shapes, workspaces, the heap of a tokenizer) is the libraries' and not the
    model's, and is recorded as a phase of its own. Left out for an architecture of which no such model can be made."""
    config = config_of(job)
    if config.get("model_type") not in FAMILIES:
        return
    with recorder.phase("kernels"):
        if job.source is not None:
            load_tokenizer(job.source.artifact())
        model = _random(job, config, layers=1)
        rows = [tokens_of(job, row, model.vocabulary) for row in range(job.batch_size)]
        for once in _phases(job, model, rows).values():
            once()
        del model, once
        give_back()


def repeat_phase(job: Job, recorder: Recorder, once: Callable[[], dict[str, Any]]) -> None:
    for repeat in range(job.warmup + job.repeats):
        seconds = once()
        recorder.time(repeat, repeat >= job.warmup, **seconds)


def tokens_of(job: Job, row: int, vocabulary: int) -> list[int]:
    draw = random.Random(f"{job.seed}/{row}")
    return [draw.randrange(vocabulary) for _ in range(job.prompt_tokens)]


def _decode(job: Job, engine: Engine, rows: Sequence[Sequence[int]], tokens_written: int) -> dict[str, Any]:
    """Return TTFT, from the prompts to the first token of each on the host, then the seconds of each step until
    `tokens_written` are written of each row. Making room, always for the job's `new_tokens`, is not counted.
    """
    engine.begin(len(rows), job.prompt_tokens + job.new_tokens, Sampling(max_new_tokens=job.new_tokens))
    began = time.perf_counter()
    tokens = engine.admit(rows, [1] * len(rows), _greedy(len(rows), 0))
    first = time.perf_counter()
    steps, before = [], first
    for position in range(1, tokens_written):
        tokens = engine.step(tokens, _greedy(len(rows), position))
        now = time.perf_counter()
        steps.append(now - before)
        before = now
    return {"ttft_s": first - began, "steps_s": steps, "seconds": before - began}


def _greedy(rows: int, position: int) -> Draws:
    return Draws(seeds=[0] * rows, steps=[position] * rows)


def _generate(job: Job, model: Loaded, rows: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Return the seconds to draw `samples` of each prompt at temperature 1, all of them in flight together."""
    drawn = product(range(len(rows)), range(job.samples))
    requests = [Request(str(row), index, str(row), seed=index) for row, index in drawn]
    stats = GenerationStats()
    sampling = Sampling(temperature=1.0, max_new_tokens=job.new_tokens)
    began = time.perf_counter()
    endless = Endless(model.engine, model.vocabulary, [list(row) for row in rows])
    samples = list(run_batches(endless, requests, sampling, len(requests), stats))
    seconds = time.perf_counter() - began
    written = sum(len(sample.token_ids) for sample in samples)
    assert written == len(requests) * job.new_tokens
    return {"seconds": seconds, "new_tokens": written, "prompt_tokens": stats.prompt_tokens}


def import_torch(job: Job, recorder: Recorder) -> None:
    """Import torch and what loading needs, so that their memory is not taken for the model's."""
    from assay.trainers.run.runtime import let_idle_threads_sleep

    let_idle_threads_sleep()
    import torch
    import transformers  # noqa: F401

    from assay.harness.generation import torch_engine  # noqa: F401

    if job.threads:
        torch.set_num_threads(job.threads)
    cap = cap_allocator(job)
    if not torch.cuda.is_available() or job.device == "cpu":
        return
    torch.cuda.init()
    major, minor = torch.cuda.get_device_capability()
    recorder.fact(cuda=torch.version.cuda, capability=f"{major}.{minor}", allocator_cap_bytes=cap)
    recorder.wait = torch.cuda.synchronize
    recorder.reset_device_peak = torch.cuda.reset_peak_memory_stats
    recorder.device_memory = lambda: {
        "allocated_bytes": torch.cuda.memory_allocated(),
        "allocated_peak_bytes": torch.cuda.max_memory_allocated(),
        "reserved_bytes": torch.cuda.memory_reserved(),
        "reserved_peak_bytes": torch.cuda.max_memory_reserved(),
    }


def _warm_up(job: Job) -> None:
    """Load and run a model of a few kilobytes by the same way: libraries import and reserve much at their first use
    (240 MB here), which would be taken for the model's memory and time."""
    from assay.harness.generation.torch_engine import load_transformers

    if job.source is not None and job.source.kind is ArtifactKind.ADAPTER:
        import peft  # noqa: F401
    with TemporaryDirectory() as folder:
        tiny = stand_in(WARM_UP_MODEL, Path(folder))
        random_model(WARM_UP_MODEL, device="cpu", dtype="fp32", seed=0).save_pretrained(folder)
        dtype = dtype_of(job)
        model = load_transformers(tiny, batch_size=1, threads=None, device=job.device, dtype=dtype)
        rows = [tokens_of(job, row, model.vocabulary) for row in range(job.batch_size)]
        _decode(job, model.engine, rows, job.new_tokens)
        model.close()


def dtype_of(job: Job) -> str:
    """Return fp32, bf16 or fp16: as asked for, else the type that the model's own configuration names, where the device
    has it. Raises TrainingError for bf16 asked for where it has not.
    """
    import torch

    config = config_of(job)
    stored = short_dtype(config.get("dtype") or config.get("torch_dtype"))
    cuda = job.device != "cpu" and torch.cuda.is_available()
    return loading_dtype(job.dtype, "fp32" if stored == "auto" else stored, "cuda" if cuda else "cpu")


def config_of(job: Job) -> dict[str, Any]:
    """Return the content of the model's config.json."""
    if job.random_config is not None:
        return job.random_config
    assert job.source is not None
    folder = model_folder(job.source.artifact())
    content: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return content


def give_back() -> None:
    """Return what is free to the system and to the device, so that the next figure begins from what is held."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def _load(job: Job) -> Loaded:
    if job.source is None:
        return _random(job, config_of(job))
    artifact, device, table = job.source.artifact(), job.device, job.quantization
    if table is not None:
        folder = str(model_folder(artifact))
        return load_rounded(folder, device=device, dtype=dtype_of(job), quantization=table)
    threads = job.threads or None
    return load_generator(
        artifact, batch_size=job.batch_size, threads=threads, device=device, dtype=job.dtype
    )


def _random(job: Job, config: dict[str, Any], layers: int | None = None) -> EngineOf:
    return load_random(
        config,
        device=job.device,
        dtype=dtype_of(job),
        seed=job.seed,
        quantization=job.quantization,
        layers=layers,
    )
