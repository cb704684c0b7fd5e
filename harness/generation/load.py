"""From an artifact to the generator that runs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from harness.errors import BadInputError
from harness.generation.batching import Engine, GenerationStats
from harness.generation.model import Generator
from trainers.artifact import Artifact, ArtifactKind


class ReadingEngine(Engine, Protocol):
    """An engine that also says what its model expects behind each token of a text."""

    def logits(self, ids: Sequence[int]) -> Any:
        """fp32 array [tokens, vocabulary]."""
        ...


class MeasuredGenerator(Generator, Protocol):
    """A generator that says what it has done so far, by which path (library, attention, arithmetic, device), and on
    which engine, whose token ids lie below `vocabulary`."""

    stats: GenerationStats
    backend: str

    @property
    def engine(self) -> ReadingEngine: ...

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
        from harness.generation.openai import OpenAIGenerator

        return OpenAIGenerator(artifact, batch_size=batch_size)
    if artifact.kind is ArtifactKind.GGUF:
        from harness.generation.llama import LlamaGenerator

        if dtype != "auto":
            raise BadInputError(
                f"a GGUF file's weights have their own type; dtype {dtype!r} cannot be asked for"
            )
        return LlamaGenerator(artifact, batch_size=batch_size, threads=threads, device=device)
    from harness.generation.hf import TransformersGenerator

    return TransformersGenerator(artifact, batch_size=batch_size, threads=threads, device=device, dtype=dtype)
