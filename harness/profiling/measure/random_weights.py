"""A model at its published architecture with random weights, and the data that a profiled training learns from.

Memory and speed depend on neither. Every tensor has the dtype it would be loaded with; values are small and finite, so
that no arithmetic is slowed by denormals or cut short by infinities. Nothing is fetched and nothing is written. Every
sequence is longer than it may be and is cut at its limit by the trainer itself, so that all are of one length.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.harness.errors import BadInputError, MissingToolError
from assay.harness.generation.batching import GenerationStats, run_batches
from assay.harness.generation.torch_engine import TorchEngine
from assay.harness.generation.types import Request, Sampling
from assay.sandbox import Outcome, StandIn, Verdict
from assay.suites import load_suite
from assay.trainers import Artifact, ArtifactKind, Records, TrainingRecord
from assay.trainers.config import QuantizationTable
from assay.trainers.data.model import Message
from assay.trainers.data.preferences import Pair, Preferences
from assay.trainers.data.problems import SampledAnswer, SampleRequest
from assay.trainers.model.quantize import bitsandbytes_config, forbid_repacking
from assay.trainers.rl.check_split import TrainingProblem
from assay.trainers.run.runtime import quiet_libraries

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_STD = 0.02
ORIGIN = "synthetic text of a stated length"
_SHA256 = hashlib.sha256(ORIGIN.encode()).hexdigest()
_VOCABULARY = 300  # of the stand-in tokenizer: bytes, special tokens and few merges

# A model for loading and running once what every model needs: wide enough that every library is imported and every path
# taken, small enough to weigh nothing.
WARM_UP_MODEL: dict[str, Any] = {
    "model_type": "qwen2",
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 32768,
}


@dataclass(frozen=True, slots=True)
class EngineOf:
    """A model behind the engine that evaluation runs on, taking and giving token ids only."""

    engine: TorchEngine
    backend: str
    vocabulary: int


def load_random(
    config: Mapping[str, Any],
    *,
    device: str,
    dtype: str,
    seed: int,
    quantization: QuantizationTable | None = None,
    layers: int | None = None,
) -> EngineOf:
    """Return an engine over `random_model`; `dtype` auto is the configuration's own."""
    model = random_model(
        config, device=device, dtype=dtype, seed=seed, quantization=quantization, layers=layers
    )
    return engine_of(model, "random ", quantization)


def load_rounded(folder: str, *, device: str, dtype: str, quantization: QuantizationTable) -> EngineOf:
    """Return an engine over a model's folder, its linear layers quantised as it is loaded.

    `dtype` is the compute type.
    """
    from assay.trainers.model.quantize import check_supported, load_quantized

    check_supported(quantization, dtype)
    with quiet_libraries():
        model = load_quantized(folder, quantization, dtype, attention="sdpa", keep_fp32=False)
        _check_place(model, device)
    return engine_of(model, "", quantization)


def _check_place(model: Any, device: str) -> None:
    """Raise BadInputError where bitsandbytes, which loads onto a GPU where there is one, put the model elsewhere."""
    if device not in ("auto", model.device.type):
        raise BadInputError(
            f"device {device!r} was asked for, and bitsandbytes put the quantised model on {model.device.type!r}; "
            "leave --device out"
        )


def engine_of(model: Any, origin: str, quantization: QuantizationTable | None) -> EngineOf:
    if quantization is not None:  # bitsandbytes says at every product that it casts
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    engine = TorchEngine(model.eval(), None)
    weights = str(model.dtype).removeprefix("torch.")
    if quantization is not None:
        weights = f"{quantization.type} over {weights}"
    return EngineOf(
        engine, f"transformers, sdpa attention, {origin}{weights} on {model.device}", engine.vocabulary
    )


def random_model(
    config: Mapping[str, Any],
    *,
    device: str,
    dtype: str,
    seed: int,
    quantization: QuantizationTable | None = None,
    attention: str = "sdpa",
    layers: int | None = None,
) -> Any:
    """Return the transformers model that `config` (a config.json's content) describes, with random weights.

    It is laid out without memory first, then every tensor is given its memory once, in its own dtype; quantised
    layers one after another, so that no unquantised copy of the model ever exists. `dtype` auto is the configuration's
    own; `layers` makes a model of fewer blocks. Raises BadInputError for a configuration that transformers does not
    know, MissingToolError for a device that is not there.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise MissingToolError("device 'cuda' was asked for, but torch sees no CUDA device here")
    given = dict(config)
    try:
        parsed = AutoConfig.for_model(given.pop("model_type"), **given)
    except (KeyError, ValueError, TypeError) as error:
        raise BadInputError(
            f"this configuration describes no model that transformers knows: {error}"
        ) from error
    if layers is not None:
        parsed.num_hidden_layers = layers
        if getattr(parsed, "layer_types", None) is not None:
            parsed.layer_types = parsed.layer_types[:layers]
    own = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    compute = getattr(torch, DTYPES.get(dtype, own))
    rest = torch.float32 if quantization is not None and quantization.upcast_fp32 else compute
    with quiet_libraries(), torch.device("meta"):
        model = AutoModelForCausalLM.from_config(
            parsed, dtype=rest, attn_implementation=attention, trust_remote_code=False
        )
        if quantization is not None:
            _make_quantised(model, quantization, compute)
    generator = torch.Generator(device=device).manual_seed(seed)
    filled: dict[int, Any] = {}
    with torch.no_grad():
        for path, module in list(model.named_modules()):
            _fill(module, path, device, generator, rest, filled)
    model.tie_weights()
    _refill_buffers(model, parsed, device)
    if quantization is not None:
        forbid_repacking(model)
    return model


def _make_quantised(model: Any, table: QuantizationTable, compute: Any) -> None:
    """Put bitsandbytes' layers in the place of all linear layers but the head, as loading with that table does it."""
    from transformers.integrations.bitsandbytes import replace_with_bnb_linear
    from transformers.quantizers import AutoHfQuantizer

    name = {v: k for k, v in DTYPES.items()}[str(compute).removeprefix("torch.")]
    settings = bitsandbytes_config(table, name)
    replace_with_bnb_linear(model, modules_to_not_convert=["lm_head"], quantization_config=settings)
    # What loading leaves on a model, and what transformers' Trainer and PEFT ask it for.
    model.is_loaded_in_4bit, model.is_loaded_in_8bit = table.type != "int8", table.type == "int8"
    model.hf_quantizer = AutoHfQuantizer.from_config(settings, pre_quantized=False)
    model.quantization_method, model.is_quantized = settings.quant_method, True


def _fill(module: Any, path: str, device: str, generator: Any, rest: Any, filled: dict[int, Any]) -> None:
    """Give the parameters that the module owns memory and values; `filled` keeps those that are tied together."""
    import torch

    for name, parameter in list(module.named_parameters(recurse=False)):
        if id(parameter) in filled:
            setattr(module, name, filled[id(parameter)][1])
            continue
        value = torch.empty(parameter.shape, dtype=rest, device=device)
        if path.endswith("norm"):
            value.fill_(1.0)
        else:
            value.normal_(0.0, _STD, generator=generator)
        if type(parameter) is torch.nn.Parameter:
            new = torch.nn.Parameter(value, requires_grad=parameter.requires_grad)
        elif hasattr(parameter, "SCB"):
            new = _int8(type(parameter), value)
        else:  # Params4bit quantises when it is put on its device
            fields = {k: v for k, v in parameter.__dict__.items() if k != "quant_state"}
            new = type(parameter)(value, requires_grad=False, **fields).to(device)
        filled[id(parameter)] = (parameter, new)  # the old one too, so that its id is not used again
        setattr(module, name, new)


def _int8(kind: Any, value: Any) -> Any:
    """Return Int8Params of a matrix.

    They quantise by themselves only what comes from the host; a matrix that was made on the device would stay as it is.
    """
    import torch
    from bitsandbytes.functional import int8_vectorwise_quant

    codes, scales, _ = int8_vectorwise_quant(value.to(torch.float16))
    return kind(codes, requires_grad=False, has_fp16_weights=False, CB=codes, SCB=scales)


def _refill_buffers(model: Any, config: Any, device: str) -> None:
    """Compute the buffers that no weights file has (rotary frequencies), which were laid out without content."""
    rotary = model.base_model.rotary_emb
    fresh = type(rotary)(config=config).to(device)
    for name, value in fresh.named_buffers():
        rotary.register_buffer(name, value, persistent=False)


def stand_in(config: dict[str, Any], folder: Path) -> Artifact:
    """Write a base without weights: the configuration, and a small tokenizer whose ids lie within its vocabulary."""
    from assay.trainers.pocket.pretrain import train_tokenizer

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    train_tokenizer([_text(0, 64)], _VOCABULARY).save_pretrained(str(folder))
    return Artifact(ArtifactKind.BASE, folder, _SHA256)


def chats(rows: int, tokens: int) -> Records:
    """Return chats of at least `tokens` tokens each, nearly all of them the assistant's."""
    kept = tuple(
        TrainingRecord(
            (Message("user", "count"), Message("assistant", _text(row, tokens))), f"synthetic:{row}"
        )
        for row in range(rows)
    )
    return Records(kept, rows, _SHA256, origin=ORIGIN)


def pairs(rows: int, tokens: int) -> Preferences:
    """Return pairs whose two sequences have at least `tokens` tokens each."""
    kept = tuple(
        Pair(str(row), "given", "count ", _text(row, tokens), _text(row + rows, tokens))
        for row in range(rows)
    )
    return Preferences(kept, _SHA256, ORIGIN)


def exercises(count: int) -> list[TrainingProblem]:
    """Return problems to ask about; a row of random tokens is asked in place of each one's prompt, by its number."""
    problems = load_suite("pocket", split="train", limit=count).problems
    return [TrainingProblem(problem, str(row), problem.checks) for row, problem in enumerate(problems)]


def _text(row: int, tokens: int) -> str:
    """Return a text that has at least one token a word in any tokenizer."""
    return " ".join(str(row + n) for n in range(tokens))


class Endless:
    """An engine on which nothing ends a sample but its length, and whose prompts are rows of tokens by number."""

    def __init__(self, engine: Any, vocabulary: int, rows: list[list[int]]) -> None:
        self._rows = rows
        self.end_ids: frozenset[int] = frozenset()
        self.pieces = [b""] * vocabulary
        self.context = engine.context
        self.begin, self.admit = engine.begin, engine.admit
        self.step, self.remove = engine.step, engine.remove

    def encode(self, text: str) -> list[int]:
        return list(self._rows[int(text)])


class EndlessSampler:
    """A policy's sampler (assay.trainers.rl) whose answers all have the length they may have."""

    def __init__(self, model: Any, rows: list[list[int]]) -> None:
        self.engine = TorchEngine(model, None)
        self._rows = rows
        self._endless = Endless(self.engine, self.engine.vocabulary, rows)

    def draw(
        self,
        asks: Iterable[SampleRequest],
        *,
        temperature: float,
        max_new_tokens: int,
        stop: tuple[str, ...] = (),
    ) -> Iterator[SampledAnswer]:
        requests = [Request(str(a.key), a.key, a.prompt, a.seed) for a in asks]
        sampling = Sampling(temperature=temperature, max_new_tokens=max_new_tokens)
        for sample in run_batches(self._endless, requests, sampling, len(requests), GenerationStats()):
            prompt = tuple(self._rows[int(sample.prompt)])
            yield SampledAnswer(sample.index, prompt, sample.token_ids, sample.completion, ended=False)


def unjudged() -> StandIn:
    """Return what takes the sandbox's place: every answer fails. Programs run in processes of their own, which a
    profile of the training's memory does not cover, and which a machine that cannot isolate could not run."""
    return StandIn(
        lambda program: Verdict(program.id, Outcome.FAIL, "not executed: a profile", 0, len(program.checks))
    )
