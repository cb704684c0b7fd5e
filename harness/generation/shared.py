"""One base in memory for all its adapters: loaded once, each adapter a generator of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from harness.errors import BadInputError
from harness.generation.batching import GenerationStats
from harness.generation.hf import TorchEngine, TransformersGenerator
from harness.generation.model import Request, Sample, Sampling
from trainers.artifact import Artifact, ArtifactKind
from trainers.quantize import read_base_quantization


def load_adapters(
    adapters: Mapping[str, Artifact],
    *,
    batch_size: int = 64,
    threads: int | None = None,
    device: str = "cpu",
    dtype: str = "auto",
) -> TransformersGenerator:
    """A generator that holds every one of `adapters`, all of one base; each request's `adapter` names its own, or
    "__base__" for none, and a batch may mix them. Raises BadInputError and MissingToolError."""
    keys = {name: base_key(adapter) for name, adapter in adapters.items()}
    if len(set(keys.values())) != 1:
        raise BadInputError(
            f"these adapters do not share a base: {', '.join(f'{n} on {k}' for n, k in keys.items())}"
        )
    first = next(iter(adapters.values()))
    assert first.parent is not None  # base_key has refused it otherwise
    if read_base_quantization(first.path) is not None:
        raise BadInputError("adapters of a quantised base are loaded one at a time")
    return TransformersGenerator(
        first.parent, batch_size=batch_size, threads=threads, device=device, dtype=dtype, adapters=adapters
    )


def base_key(adapter: Artifact) -> str:
    """The same for adapters that can be held over one base in memory."""
    if adapter.kind is not ArtifactKind.ADAPTER or adapter.parent is None:
        raise BadInputError(f"{adapter.path} is of kind {adapter.kind}, not an adapter with a known base")
    return adapter.parent.sha256


class OneAdapter:
    """One adapter of a shared generator, behind the Generator protocol. Closing it leaves the others their base."""

    def __init__(self, shared: TransformersGenerator, name: str, others: int) -> None:
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
    def engine(self) -> TorchEngine:
        return self._shared.engine

    @property
    def vocabulary(self) -> int:
        return self._shared.vocabulary

    def close(self) -> None:
        return
