"""The llama.cpp backend: GGUF artifacts, many sequences decoded in one batch through the C interface."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from harness.errors import BadInputError, MissingToolError
from harness.generation.batching import GenerationStats, run_batches
from harness.generation.model import Request, Sample, Sampling
from harness.generation.noise import Draws, choose_numpy
from harness.generation.text import END_TOKENS
from trainers.artifact import Artifact
from trainers.errors import MissingExtraError
from trainers.gguf.native import NativeContext, NativeModel

_BATCH_TOKENS = 512  # of one decode call; longer prompts are read in pieces
_MAX_ROWS = 256  # llama.cpp's LLAMA_MAX_SEQ


class LlamaGenerator:
    """A GGUF file behind the Generator protocol."""

    def __init__(
        self, artifact: Artifact, *, batch_size: int, threads: int | None, gpu: bool = False
    ) -> None:
        try:
            model = NativeModel(artifact.path, gpu_layers=-1 if gpu else 0)
        except MissingExtraError as e:
            raise MissingToolError(str(e)) from e
        self._batch_size = min(batch_size, _MAX_ROWS)
        self._engine: _LlamaEngine | None = _LlamaEngine(model, threads or len(os.sched_getaffinity(0)))
        self._template = model.metadata("tokenizer.chat_template")
        self.stats = GenerationStats()

    def render_chat(self, messages: list[dict[str, str]]) -> str:
        if self._template is None:
            raise BadInputError(
                "this GGUF file has no chat template; ask it for completions instead of chats"
            )
        return _render(self._template, messages)

    def encode(self, text: str) -> list[int]:
        return self._open().encode(text)

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Sample]:
        engine = self._open()
        try:
            yield from run_batches(engine, requests, sampling, self._batch_size, self.stats)
        finally:
            engine.end()

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _open(self) -> _LlamaEngine:
        if self._engine is None:
            raise RuntimeError("this generator is closed")
        return self._engine


class _LlamaEngine:
    """Rows are llama.cpp sequences; `_sequence[row]` says which, for rows are renumbered and sequences are not."""

    def __init__(self, model: NativeModel, threads: int) -> None:
        self._model = model
        self._threads = threads
        self._normalise = model.metadata("tokenizer.ggml.pre") == "qwen2"
        self.context = model.trained_context
        self.pieces = [model.piece(i) for i in range(model.n_vocab)]
        self.end_ids = _end_ids(model)
        self._sampling = Sampling()
        self._native: NativeContext | None = None
        self._sequence: list[int] = []
        self._length: list[int] = []
        self._free: list[int] = []

    def encode(self, text: str) -> list[int]:
        # Qwen2's tokenizer normalises to NFC, which llama.cpp leaves to its caller.
        return self._model.tokenize(unicodedata.normalize("NFC", text) if self._normalise else text)

    def begin(self, rows: int, tokens_per_row: int, sampling: Sampling) -> None:
        self.end()
        self._sampling = sampling
        batch_tokens = max(_BATCH_TOKENS, rows)
        self._native = NativeContext(
            self._model,
            rows=rows,
            tokens_per_row=tokens_per_row,
            batch_tokens=batch_tokens,
            threads=self._threads,
        )
        self._free = list(range(rows))

    def admit(self, prompts: Sequence[Sequence[int]], copies: Sequence[int], draws: Draws) -> list[int]:
        native = self._context()
        firsts: list[int] = []
        for prompt, n in zip(prompts, copies, strict=True):
            sequences = [self._free.pop() for _ in range(n)]
            firsts.append(sequences[0])
            self._sequence += sequences
            self._length += [len(prompt)] * n
        last = self._prefill(native, prompts, firsts)
        row = len(self._sequence) - sum(copies)
        for first, n in zip(firsts, copies, strict=True):
            for sequence in self._sequence[row + 1 : row + n]:
                native.copy(first, sequence)
            row += n
        return choose_numpy(last.repeat(copies, axis=0), draws, self._sampling)

    def step(self, tokens: Sequence[int], draws: Draws) -> list[int]:
        logits = self._context().decode(list(tokens), self._length, self._sequence, [True] * len(tokens))
        self._length = [n + 1 for n in self._length]
        return choose_numpy(logits, draws, self._sampling)

    def remove(self, row: int) -> None:
        self._context().forget(self._sequence[row])
        self._free.append(self._sequence[row])
        self._sequence[row], self._length[row] = self._sequence[-1], self._length[-1]
        self._sequence.pop()
        self._length.pop()

    def end(self) -> None:
        if self._native is not None:
            self._native.close()
            self._native = None
        self._sequence, self._length, self._free = [], [], []

    def close(self) -> None:
        self.end()
        self._model.close()

    def _context(self) -> NativeContext:
        assert self._native is not None, "begin() comes first"
        return self._native

    def _prefill(
        self, native: NativeContext, prompts: Sequence[Sequence[int]], sequences: Sequence[int]
    ) -> Any:
        """Read the prompts, packed into batches; the logits [prompts, vocabulary] behind the last token of each."""
        import numpy as np

        feed = [
            (token, at, sequence, at == len(prompt) - 1)
            for prompt, sequence in zip(prompts, sequences, strict=True)
            for at, token in enumerate(prompt)
        ]
        found = []
        for begin in range(0, len(feed), native.batch_tokens):
            tokens, positions, owners, wanted = map(
                list, zip(*feed[begin : begin + native.batch_tokens], strict=True)
            )
            logits = native.decode(tokens, positions, owners, wanted)
            if any(wanted):
                found.append(logits.copy())
        return np.concatenate(found)


def _end_ids(model: NativeModel) -> frozenset[int]:
    import llama_cpp

    return frozenset(
        i
        for i in range(model.n_vocab)
        if llama_cpp.llama_vocab_is_eog(model.vocab, i)
        or (llama_cpp.llama_vocab_is_control(model.vocab, i) and model.token_text(i) in END_TOKENS)
    )


def _render(template: str, messages: list[dict[str, str]]) -> str:
    """Render a chat template as transformers does: sandboxed Jinja, blocks trimmed."""
    from jinja2.exceptions import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    try:
        return environment.from_string(template).render(messages=messages, add_generation_prompt=True)
    except TemplateError as e:
        raise BadInputError(f"the model's chat template cannot be rendered: {e}") from e
