"""Load the generator that runs an artifact: alone, as one adapter of a shared base, or over a policy in training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

from assay.harness.errors import BadInputError
from assay.harness.generation.batching import EngineGenerator, GenerationStats, LoadedEngine, run_batches
from assay.harness.generation.torch_engine import TorchEngine, load_transformers
from assay.harness.generation.types import Generator, Request, Sample, Sampling
from assay.trainers.artifact import Artifact, ArtifactKind
from assay.trainers.data.problems import SampledAnswer, SampleRequest
from assay.trainers.model.quantize import read_base_quantization


class MeasuredGenerator(Generator, Protocol):
    """A generator with a tally, the path that it computes by (library, attention, arithmetic, device) and its engine.

    Token ids lie below `vocabulary`.
    """

    stats: GenerationStats
    backend: str

    @property
    def engine(self) -> LoadedEngine: ...

    @property
    def vocabulary(self) -> int: ...


def load_generator(
    artifact: Artifact,
    *,
    batch_size: int = 64,
    threads: int | None = None,
    device: str = "cpu",
    dtype: str = "auto",
) -> MeasuredGenerator:
    """Load a model to generate with; close it when done.

    `batch_size` samples are decoded at once. `threads` are CPU threads (None: the library's default). `device` is
    "cpu", "cuda" or "auto", which is CUDA where torch, or the build of llama.cpp, can use it; `dtype` is fp32, bf16,
    fp16 or auto, the one the weights are stored in (a GGUF file has its own).
    Raises BadInputError and MissingToolError.
    """
    if batch_size < 1:
        raise BadInputError(f"batch_size must be at least 1, got {batch_size}")
    if artifact.kind is ArtifactKind.ENDPOINT:
        from assay.harness.generation.openai_client import OpenAIGenerator

        return OpenAIGenerator(artifact, batch_size=batch_size)
    if artifact.kind is ArtifactKind.GGUF:
        from assay.harness.generation.llama_engine import load_llama

        if dtype != "auto":
            raise BadInputError(f"a GGUF file's weights have their own type; dtype {dtype!r} cannot be set")
        return load_llama(artifact, batch_size=batch_size, threads=threads, device=device)
    return load_transformers(artifact, batch_size=batch_size, threads=threads, device=device, dtype=dtype)


class PolicySampler:
    """Samples from a policy while it is trained: the engine of evaluation on the live model (docs/decisions/0005).

    Each call uses the weights as they are then; a token's random draws depend on its request's seed alone. The class is
    the trainers' `OpenSampler`; at module level, it pickles to a training's own process.
    """

    def __init__(self, model: Any, tokenizer: Any, *, batch_size: int) -> None:
        self._engine = TorchEngine(model, tokenizer)
        self._batch_size = batch_size
        self.stats = GenerationStats()

    def draw(
        self,
        asks: Iterable[SampleRequest],
        *,
        temperature: float,
        max_new_tokens: int,
        stop: tuple[str, ...] = (),
    ) -> Iterator[SampledAnswer]:
        """Yield answers as they end, in any order; the token that ended one is its last."""
        sampling = Sampling(temperature=temperature, max_new_tokens=max_new_tokens, stop=stop)
        requests = [Request(str(a.key), a.key, a.prompt, a.seed) for a in asks]
        prompts = {prompt: tuple(self._engine.encode(prompt)) for prompt in {r.prompt for r in requests}}
        for sample in run_batches(self._engine, requests, sampling, self._batch_size, self.stats):
            end = () if sample.end_id is None else (sample.end_id,)
            yield SampledAnswer(
                sample.index,
                prompts[sample.prompt],
                sample.token_ids + end,
                sample.completion,
                sample.finish_reason == "stop",
            )


def load_adapters(
    adapters: Mapping[str, Artifact],
    *,
    batch_size: int = 64,
    threads: int | None = None,
    device: str = "cpu",
    dtype: str = "auto",
) -> EngineGenerator:
    """Load one base and all of its `adapters`; a request's `adapter` names one, or "__base__" for none.

    A batch may mix them where all are plain LoRA. Raises BadInputError and MissingToolError.
    """
    keys = {name: base_key(adapter) for name, adapter in adapters.items()}
    if len(set(keys.values())) != 1:
        raise BadInputError(
            f"these adapters do not share a base: {', '.join(f'{n} on {k}' for n, k in keys.items())}"
        )
    first = next(iter(adapters.values()))
    assert first.parent is not None  # base_key has refused it otherwise
    if read_base_quantization(first.path) is not None:
        raise BadInputError("adapters of a quantised base are loaded one at a time")
    return load_transformers(
        first.parent, batch_size=batch_size, threads=threads, device=device, dtype=dtype, adapters=adapters
    )


def base_key(adapter: Artifact) -> str:
    """Return a key that is the same for adapters that can be held over one base in memory."""
    if adapter.kind is not ArtifactKind.ADAPTER or adapter.parent is None:
        raise BadInputError(f"{adapter.path} is of kind {adapter.kind}, not an adapter with a known base")
    return adapter.parent.sha256


class OneAdapter:
    """One adapter of a shared generator, behind the Generator protocol; closing it leaves the base to the others."""

    def __init__(self, shared: EngineGenerator, name: str, others: int) -> None:
        self._shared, self._name = shared, name
        self.stats = GenerationStats()
        self.backend = (
            f"{shared.backend}, one of {others + 1} adapters over one base" if others else shared.backend
        )

    def render_chat(self, messages: list[dict[str, str]]) -> str:
        return self._shared.render_chat(messages)

    def encode(self, text: str) -> list[int]:
        return self._shared.encode(text)

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Sample]:
        before = replace(self._shared.stats)
        yield from self._shared.generate((replace(r, adapter=self._name) for r in requests), sampling)
        now = self._shared.stats
        self.stats.samples += now.samples - before.samples
        self.stats.new_tokens += now.new_tokens - before.new_tokens
        self.stats.prompt_tokens += now.prompt_tokens - before.prompt_tokens
        self.stats.seconds += now.seconds - before.seconds

    @property
    def engine(self) -> LoadedEngine:
        return self._shared.engine

    @property
    def vocabulary(self) -> int:
        return self._shared.vocabulary

    def close(self) -> None:
        return
