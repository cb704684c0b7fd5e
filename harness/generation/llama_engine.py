"""The llama.cpp backend: GGUF artifacts, many sequences decoded in one batch through the C interface.

A chat template in a GGUF file was written for transformers' `apply_chat_template`, so `render` gives it all that is
defined there: the special tokens' texts, `raise_exception`, `strftime_now`, a `tojson` that escapes no HTML, loop
controls, `generation` blocks, and `tools` and `documents`, which are None. A prompt in another rendering would ask the
model another question. Source: transformers/utils/chat_template_utils.py, v5.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Never

from assay.harness.errors import BadInputError, MissingToolError
from assay.harness.generation.batching import EngineGenerator
from assay.harness.generation.text import END_TOKENS
from assay.harness.generation.token_choice import Draws, choose_numpy
from assay.harness.generation.types import Sampling
from assay.trainers.artifact import Artifact
from assay.trainers.gguf.native import NativeContext, NativeModel, llama_cpp

if TYPE_CHECKING:
    from jinja2 import Template

_BATCH_TOKENS = 512  # of one decode call; longer prompts are read in pieces
_MAX_ROWS = 256  # llama.cpp's LLAMA_MAX_SEQ
_SPECIAL = {
    "bos_token": "bos",
    "eos_token": "eos",
    "unk_token": "unknown",
    "pad_token": "padding",
    "sep_token": "seperator",  # so spelt in the format
    "mask_token": "mask",
}


def load_llama(artifact: Artifact, *, batch_size: int, threads: int | None, device: str) -> EngineGenerator:
    """Load a GGUF file. Raises MissingExtraError, and MissingToolError for a device that this build cannot use."""
    offload = offloads(device)
    model = NativeModel(artifact.path, gpu_layers=-1 if offload else 0)
    template, special = model.metadata("tokenizer.chat_template"), _special_texts(model)

    def render_chat(messages: list[dict[str, str]]) -> str:
        if template is None:
            raise BadInputError(
                "this GGUF file has no chat template; ask it for completions instead of chats"
            )
        return render(template, messages, special)

    return EngineGenerator(
        LlamaEngine(model, threads or len(os.sched_getaffinity(0))),
        batch_size=min(batch_size, _MAX_ROWS),
        backend=f"llama.cpp, flash attention, F16 cache on {'GPU' if offload else 'CPU'}",
        render_chat=render_chat,
    )


class LlamaEngine:
    """An engine whose row i is llama.cpp's sequence i.

    Rows stay dense and in order, for llama.cpp computes a run of consecutive sequences at once, and each gap costs a
    pass of its own.
    """

    def __init__(self, model: NativeModel, threads: int) -> None:
        self._model = model
        self._threads = threads
        self._normalise = model.metadata("tokenizer.ggml.pre") == "qwen2"
        self.context = model.trained_context
        self.vocabulary = model.n_vocab
        self.pieces = [model.piece(i) for i in range(model.n_vocab)]
        self.end_ids = _end_ids(model)
        self._sampling = Sampling()
        self._native: NativeContext | None = None
        self._length: list[int] = []

    def encode(self, text: str) -> list[int]:
        # Qwen2's tokenizer normalises to NFC, which llama.cpp leaves to its caller.
        return self._model.tokenize(unicodedata.normalize("NFC", text) if self._normalise else text)

    def logits(self, ids: Sequence[int]) -> Any:
        """Return what the model expects behind each token of a text: an fp32 array [tokens, vocabulary]."""
        n = len(ids)
        native = self._open(1, n, max(n, 32))
        try:
            return native.decode(list(ids), range(n), [0] * n, [True] * n).copy()
        finally:
            native.close()

    def begin(self, rows: int, tokens_per_row: int, sampling: Sampling) -> None:
        self.end()
        self._sampling = sampling
        self._native = self._open(rows, tokens_per_row, max(_BATCH_TOKENS, rows))

    def admit(self, prompts: Sequence[Sequence[int]], copies: Sequence[int], draws: Draws) -> list[int]:
        """Read prompt i into row base+i, then copy each to the places of its rows, the last prompt first.

        In that order no copy lands on a row that is still to be copied from.
        """
        native, base = self._context(), len(self._length)
        last = self._prefill(native, prompts, base)
        end = base + sum(copies)
        for i in reversed(range(len(prompts))):
            for row in range(end - copies[i], end):
                if row != base + i:
                    native.copy(base + i, row)
            end -= copies[i]
        self._length += [len(prompt) for prompt, n in zip(prompts, copies, strict=True) for _ in range(n)]
        return choose_numpy(last.repeat(copies, axis=0), draws, self._sampling)

    def step(self, tokens: Sequence[int], draws: Draws) -> list[int]:
        n = len(tokens)
        logits = self._context().decode(list(tokens), self._length, range(n), [True] * n)
        self._length = [length + 1 for length in self._length]
        return choose_numpy(logits, draws, self._sampling)

    def remove(self, row: int) -> None:
        last = len(self._length) - 1
        if row != last:
            self._context().copy(last, row)
            self._length[row] = self._length[last]
        self._context().forget(last)
        self._length.pop()

    def end(self) -> None:
        if self._native is not None:
            self._native.close()
            self._native = None
        self._length = []

    def close(self) -> None:
        self.end()
        self._model.close()

    def _open(self, rows: int, length: int, batch_tokens: int) -> NativeContext:
        return NativeContext(
            self._model, rows=rows, tokens_per_row=length, batch_tokens=batch_tokens, threads=self._threads
        )

    def _context(self) -> NativeContext:
        assert self._native is not None, "begin() comes first"
        return self._native

    def _prefill(self, native: NativeContext, prompts: Sequence[Sequence[int]], base: int) -> Any:
        """Read prompt i into row base+i, and return the logits [prompts, vocabulary] behind the last token of each.

        One prompt at a time: llama.cpp would cut a batch of unequal ones into pieces of equal length.
        """
        import numpy as np

        last = []
        for row, prompt in enumerate(prompts, base):
            native.forget(row)
            for begin in range(0, len(prompt), native.batch_tokens):
                tokens = prompt[begin : begin + native.batch_tokens]
                outputs = [begin + i == len(prompt) - 1 for i in range(len(tokens))]
                logits = native.decode(
                    list(tokens), range(begin, begin + len(tokens)), [row] * len(tokens), outputs
                )
            last.append(logits[0].copy())
        return np.stack(last)


def offloads(device: str) -> bool:
    """Return whether layers go to a GPU. Raises MissingToolError for a requested GPU that this build cannot use."""
    able = bool(llama_cpp().llama_supports_gpu_offload())
    if device.startswith("cuda") and not able:
        raise MissingToolError(
            f"device {device!r} was asked for, but this build of llama-cpp-python runs on the CPU only; rebuild it "
            "with CMAKE_ARGS=-DGGML_CUDA=on, or ask for device 'auto' or 'cpu'"
        )
    return able and device != "cpu"


def _end_ids(model: NativeModel) -> frozenset[int]:
    lib = llama_cpp()
    return frozenset(
        i
        for i in range(model.n_vocab)
        if lib.llama_vocab_is_eog(model.vocab, i)
        or (lib.llama_vocab_is_control(model.vocab, i) and model.token_text(i) in END_TOKENS)
    )


def _special_texts(model: NativeModel) -> dict[str, str]:
    """Return the special tokens' texts by their names in transformers, as far as the file names them."""
    ids = {name: model.metadata(f"tokenizer.ggml.{key}_token_id") for name, key in _SPECIAL.items()}
    # A tokenizer without a first token has its padding token in that place, for llama.cpp requires one.
    if ids["bos_token"] == ids["pad_token"] and model.metadata("tokenizer.ggml.add_bos_token") == "false":
        ids["bos_token"] = None
    return {name: model.token_text(int(token)) for name, token in ids.items() if token is not None}


def render(template: str, messages: list[dict[str, str]], special: Mapping[str, str]) -> str:
    """Render `messages` by a chat template, with the generation prompt appended.

    `special` are the special tokens' texts by their names in transformers (bos_token, eos_token, …); one that is
    missing is undefined in the template, as it is there. Raises BadInputError where the template is broken, or refuses
    these messages (many allow no system turn).
    """
    from jinja2.exceptions import TemplateError

    given = {"messages": messages, "tools": None, "documents": None, "add_generation_prompt": True}
    try:
        return _compiled(template).render(**given, **special)
    except (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as e:
        raise BadInputError(f"the model's chat template cannot be rendered: {e}") from e


@cache
def _compiled(template: str) -> Template:
    from jinja2 import nodes
    from jinja2.exceptions import TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """The block `{% generation %}`, which marks what a trainer learns from; in a prompt its body stands as it is.

        It is a scope of its own, as the macro that transformers makes of it.
        """

        tags = {"generation"}  # noqa: RUF012 - jinja's own way

        def parse(self, parser: Any) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body).set_lineno(line)

    def raise_exception(message: str) -> Never:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(template)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
