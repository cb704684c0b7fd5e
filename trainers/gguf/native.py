"""The part of llama.cpp's C interface that is used here: models, adapters and contexts that are closed again."""

from __future__ import annotations

import atexit
import ctypes
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from assay.trainers.errors import ArtifactError, MissingExtraError
from assay.trainers.run.runtime import let_idle_threads_sleep


def llama_cpp() -> Any:
    """Return the llama_cpp module, its log limited to errors. Raises MissingExtraError where it is not installed."""
    let_idle_threads_sleep()
    try:
        import llama_cpp as module
    except ImportError as e:
        raise MissingExtraError("llama-cpp-python", "gguf") from e
    _close_at_exit()
    # The module prints what its C side logs, at every level, unless its logger says otherwise.
    logging.getLogger("llama-cpp-python").setLevel(logging.CRITICAL)
    return module


@cache
def _close_at_exit() -> None:
    """Close at exit the null device, which llama_cpp opens twice on import: Python warns of open files."""
    from llama_cpp import _utils

    for name in ("outnull_file", "errnull_file"):
        file = getattr(_utils, name, None)
        if file is not None:
            atexit.register(file.close)


@contextmanager
def captured_log() -> Iterator[list[str]]:
    """Give the list to which llama.cpp's log within the block is appended."""
    lib = llama_cpp()
    pieces: list[str] = []

    @lib.llama_log_callback  # type: ignore[untyped-decorator]
    def keep(_level: int, text: bytes, _data: Any) -> None:
        pieces.append(text.decode("utf-8", errors="replace"))

    from llama_cpp import _logger

    lib.llama_log_set(keep, ctypes.c_void_p(0))
    try:
        yield pieces
    finally:
        lib.llama_log_set(_logger.llama_log_callback, ctypes.c_void_p(0))


class NativeModel:
    """An open GGUF model. Close it, or use it in a `with` block: what is left open breaks the interpreter's exit."""

    def __init__(self, path: Path, *, gpu_layers: int = 0) -> None:
        self._lib = llama_cpp()
        self._lib.llama_backend_init()
        params = self._lib.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        # Builds with ggml's AMX kernels die of SIGILL on some CPUs when these buffers are used with quantised weights.
        params.use_extra_bufts = b"AMX_INT8 = 1" not in self._lib.llama_print_system_info()
        with captured_log() as log:
            self.pointer = self._lib.llama_model_load_from_file(os.fsencode(path), params)
        if not self.pointer:
            message = next((line for line in "".join(log).splitlines() if "error" in line), "no reason given")
            raise ArtifactError(f"llama.cpp cannot load {path}: {message.strip():.300}")
        self.vocab = self._lib.llama_model_get_vocab(self.pointer)
        self.n_vocab = int(self._lib.llama_vocab_n_tokens(self.vocab))
        self.trained_context = int(self._lib.llama_model_n_ctx_train(self.pointer))

    def metadata(self, key: str) -> str | None:
        """Return one entry of the file's metadata as text; None where there is none."""
        size = 256
        while True:
            buffer = ctypes.create_string_buffer(size)
            needed = self._lib.llama_model_meta_val_str(self.pointer, key.encode(), buffer, size)
            if needed < 0:
                return None
            if needed < size:
                return buffer.value.decode("utf-8")
            size = needed + 1

    def tokenize(self, text: str) -> list[int]:
        """Return token ids; special tokens written in the text are parsed, none is added."""
        raw = text.encode()
        room = len(raw) + 8
        tokens = (ctypes.c_int32 * room)()
        n = self._lib.llama_tokenize(self.vocab, raw, len(raw), tokens, room, False, True)
        if n < 0:
            raise ValueError(f"llama.cpp could not tokenise a text of {len(raw)} bytes (status {n})")
        return list(tokens[:n])

    def piece(self, token_id: int) -> bytes:
        """Return the bytes of a token; none for a control token."""
        size = 256
        while True:
            buffer = ctypes.create_string_buffer(size)
            n = self._lib.llama_token_to_piece(self.vocab, token_id, buffer, size, 0, False)
            if n >= 0:
                return buffer.raw[:n]
            size = -n

    def token_text(self, token_id: int) -> str:
        raw: bytes = self._lib.llama_vocab_get_text(self.vocab, token_id)
        return raw.decode("utf-8", errors="replace")

    def close(self) -> None:
        if self.pointer:
            self._lib.llama_model_free(self.pointer)
            self.pointer = None

    def __enter__(self) -> NativeModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class NativeAdapter:
    """An open GGUF LoRA file of one open model; close it before the model, and after the contexts that use it."""

    def __init__(self, model: NativeModel, path: Path) -> None:
        self._lib = llama_cpp()
        self.pointer = self._lib.llama_adapter_lora_init(model.pointer, os.fsencode(path))
        if not self.pointer:
            raise ArtifactError(
                f"llama.cpp cannot apply {path} to this model: it is of another base, or not a LoRA file"
            )

    def close(self) -> None:
        if self.pointer:
            self._lib.llama_adapter_lora_free(self.pointer)
            self.pointer = None


class NativeContext:
    """A decoding context: `rows` sequences of up to `tokens_per_row`, and a batch buffer to feed them through."""

    def __init__(
        self, model: NativeModel, *, rows: int, tokens_per_row: int, batch_tokens: int, threads: int
    ) -> None:
        import numpy as np

        self._lib = llama_cpp()
        self._n_vocab = model.n_vocab
        self.rows = rows
        params = self._lib.llama_context_default_params()
        params.n_ctx = tokens_per_row * rows
        params.n_seq_max = rows
        params.n_batch = params.n_ubatch = batch_tokens
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = False  # each sequence looks over its own keys only, not over everybody's
        params.flash_attn_type = self._lib.LLAMA_FLASH_ATTN_TYPE_ENABLED
        params.no_perf = True
        self.pointer = self._lib.llama_init_from_model(model.pointer, params)
        if not self.pointer:
            raise MemoryError(
                f"llama.cpp could not make a context of {rows} sequences of {tokens_per_row} tokens"
            )
        self.memory = self._lib.llama_get_memory(self.pointer)
        self.batch_tokens = batch_tokens
        self._batch = self._lib.llama_batch_init(batch_tokens, 0, 1)
        view = np.ctypeslib.as_array
        self._token = view(self._batch.token, (batch_tokens,))
        self._pos = view(self._batch.pos, (batch_tokens,))
        self._n_seq = view(self._batch.n_seq_id, (batch_tokens,))
        self._n_seq[:] = 1
        self._seq = [view(self._batch.seq_id[i], (1,)) for i in range(batch_tokens)]
        self._with_logits = view(self._batch.logits, (batch_tokens,))

    def decode(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        sequences: Sequence[int],
        with_logits: Sequence[bool],
    ) -> Any:
        """Feed tokens, each at a position of a sequence; return the fp32 logits [n, vocabulary] of the n `with_logits`.

        The array is llama.cpp's own memory: read it before the next call.
        """
        import numpy as np

        n = len(tokens)
        self._token[:n], self._pos[:n], self._with_logits[:n] = tokens, positions, with_logits
        for i, sequence in enumerate(sequences):
            self._seq[i][0] = sequence
        self._batch.n_tokens = n
        status = self._lib.llama_decode(self.pointer, self._batch)
        if status != 0:
            raise RuntimeError(f"llama_decode failed with status {status} on {n} tokens")
        shape = (sum(with_logits), self._n_vocab)
        return np.ctypeslib.as_array(self._lib.llama_get_logits(self.pointer), shape)

    def copy(self, source: int, target: int) -> None:
        """Copy what sequence `source` has read to sequence `target`."""
        self._lib.llama_memory_seq_cp(self.memory, source, target, -1, -1)

    def use(self, adapter: NativeAdapter, scale: float = 1.0) -> None:
        """Apply a LoRA adapter to the model in this context, its delta times `scale`."""
        pointers = (self._lib.llama_adapter_lora_p_ctypes * 1)(adapter.pointer)
        status = self._lib.llama_set_adapters_lora(self.pointer, pointers, 1, (ctypes.c_float * 1)(scale))
        if status != 0:
            raise RuntimeError(f"llama_set_adapters_lora failed with status {status}")

    def forget(self, sequence: int) -> None:
        self._lib.llama_memory_seq_rm(self.memory, sequence, -1, -1)

    def close(self) -> None:
        if self.pointer:
            self._lib.llama_batch_free(self._batch)
            self._lib.llama_free(self.pointer)
            self.pointer = None
