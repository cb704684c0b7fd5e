"""The transformers backend: base, merged and adapter artifacts, on CPU or GPU.

The decode loop is our own because transformers' `generate` keeps finished rows until the last one is done, copies the
cache at every step and prefills a prompt once per sample.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from assay.harness.errors import BadInputError, MissingToolError
from assay.harness.generation.batching import EngineGenerator
from assay.harness.generation.kv_cache import SlotCache
from assay.harness.generation.text import END_TOKENS, token_pieces
from assay.harness.generation.token_choice import Draws, choose_numpy, choose_torch
from assay.harness.generation.types import Sampling
from assay.trainers.artifact import Artifact, ArtifactKind, is_reward_model, model_folder
from assay.trainers.folder_checks import loading
from assay.trainers.model.precision import bf16_in_hardware, refuse_emulated_bf16
from assay.trainers.model.quantize import load_rounded_base, read_base_quantization
from assay.trainers.run.runtime import let_idle_threads_sleep, quiet_libraries
from assay.trainers.templates import load_tokenizer, render

BASE = "__base__"  # PEFT's name for no adapter
_DTYPES = {"auto", "fp32", "bf16", "fp16"}
_SHORT_DTYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


def load_transformers(
    artifact: Artifact,
    *,
    batch_size: int,
    threads: int | None,
    device: str,
    dtype: str,
    adapters: Mapping[str, Artifact] | None = None,
) -> EngineGenerator:
    """Load a causal language model; `adapters`, all of the base `artifact`, are held by name, one named by a request.

    Raises BadInputError (a reward model, an unknown dtype) and MissingToolError (no transformers, no such device).
    """
    for one in (artifact, *(adapters or {}).values()):
        if is_reward_model(one):
            raise BadInputError(
                f"{one.path} is a reward model: it scores answers and writes none; name it in ppo's reward.model"
            )
    tokenizer, model = _load(artifact, threads, device, dtype)
    if adapters:
        model = _with_adapters(model, adapters)

    def render_chat(messages: list[dict[str, str]]) -> str:
        if tokenizer.chat_template is None:
            raise BadInputError("this model has no chat template; ask it for completions instead of chats")
        return render(tokenizer, messages, answer_next=True)

    weights = str(model.dtype).removeprefix("torch.")
    return EngineGenerator(
        TorchEngine(model, tokenizer, tuple(adapters or ())),
        batch_size=batch_size,
        backend=f"transformers, sdpa attention, {weights} on {model.device}",
        render_chat=render_chat,
    )


def loading_dtype(requested: str, stored: str, device: str) -> str:
    """Return the type to load weights in: `requested`, or for auto the type they are `stored` in.

    `stored` is auto where the model's configuration names no type. auto on a CUDA device without bf16 is fp32 for
    weights that are or may be in bf16: it holds each of their values, and fp16 does not. Raises TrainingError for a
    requested bf16 there.
    """
    cuda = device.startswith("cuda")
    if requested == "bf16" and cuda:
        refuse_emulated_bf16("dtype")
    if requested != "auto":
        return requested
    return "fp32" if cuda and stored in ("bf16", "auto") and not bf16_in_hardware() else stored


def short_dtype(dtype: Any) -> str:
    """Return a dtype of torch, or its name in a config.json, as fp32, bf16 or fp16; auto for none and any other."""
    return _SHORT_DTYPES.get(str(dtype).removeprefix("torch."), "auto")


def _load(artifact: Artifact, threads: int | None, device: str, dtype: str) -> tuple[Any, Any]:
    let_idle_threads_sleep()
    try:
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM
    except ImportError as e:
        raise MissingToolError(
            f"{e.name} is not installed; install it with: pip install 'assay[train]'"
        ) from e
    if threads is not None:
        torch.set_num_threads(threads)
    if dtype not in _DTYPES:
        raise BadInputError(f"unknown dtype {dtype!r}; known: {', '.join(sorted(_DTYPES))}")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise MissingToolError(f"device {device!r} was asked for, but torch sees no CUDA device here")
    folder = str(model_folder(artifact))
    with quiet_libraries():
        with loading(folder, "configuration"):
            stored = short_dtype(AutoConfig.from_pretrained(folder, trust_remote_code=False).dtype)
        chosen = loading_dtype(dtype, stored, device)
        types: dict[str, Any] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        torch_dtype = types.get(chosen, "auto")
        tokenizer = load_tokenizer(artifact)
        rounded = read_base_quantization(artifact.path) if artifact.kind is ArtifactKind.ADAPTER else None
        if rounded is None:
            with loading(folder, "weights"):
                model = AutoModelForCausalLM.from_pretrained(
                    folder,
                    dtype=torch_dtype,
                    attn_implementation="sdpa",
                    trust_remote_code=False,
                    use_safetensors=True,
                )
        else:  # the weights that the adapter was trained on, which are not quite the base's
            model = load_rounded_base(folder, rounded, dtype=types.get(dtype))
        if artifact.kind is ArtifactKind.ADAPTER:
            from peft import PeftModel

            with loading(artifact.path, "adapter"):
                model = PeftModel.from_pretrained(model, str(artifact.path))
        if getattr(model, "is_quantized", False):  # it logs a cast at every product
            logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        return tokenizer, model.to(device).eval()


def _with_adapters(model: Any, adapters: Mapping[str, Artifact]) -> Any:
    from peft import PeftModel

    (first, path), *others = ((name, str(a.path)) for name, a in adapters.items())
    with quiet_libraries():
        peft = PeftModel.from_pretrained(model, path, adapter_name=first)
        for name, other in others:
            peft.load_adapter(other, adapter_name=name)
    return peft.eval()


class TorchEngine:
    """An engine whose rows have fixed places in a cache: a new row is copied in, a step writes in place."""

    def __init__(self, model: Any, tokenizer: Any | None, adapters: Sequence[str] = ()) -> None:
        """Without a tokenizer, as for random weights, the engine takes and gives token ids only.

        `adapters` are the names of the adapters that `model` holds, in which its rows may differ.
        """
        self.model = model
        self._routes = AdapterRoutes(model, adapters)
        self._tokenizer = tokenizer
        config = model.config.get_text_config()
        self.context = int(config.max_position_embeddings)
        window = getattr(config, "sliding_window", None)
        if window and "sliding_attention" in (getattr(config, "layer_types", None) or ("sliding_attention",)):
            self.context = min(self.context, int(window))  # up to there a window attends to everything
        self.vocabulary = int(config.vocab_size)
        self.pieces = [] if tokenizer is None else token_pieces(tokenizer, self.vocabulary)
        self.end_ids = frozenset() if tokenizer is None else _end_ids(model, tokenizer)
        self._sampling = Sampling()
        self._cache: SlotCache | None = None

    @property
    def cache_bytes(self) -> int:
        """Bytes of the keys and values that the rows of the last `begin` have room for, also after their end."""
        return 0 if self._cache is None else self._cache.nbytes

    def encode(self, text: str) -> list[int]:
        assert self._tokenizer is not None, "this engine has no tokenizer"
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def route(self, adapters: Sequence[str], copies: Sequence[int]) -> None:
        self._routes.admit(adapters, copies)

    def logits(self, ids: Sequence[int]) -> Any:
        """Return what the model expects behind each token of a text: an fp32 array [tokens, vocabulary]."""
        import torch

        with torch.inference_mode():
            out = self.model(input_ids=torch.tensor([list(ids)], device=self.model.device), use_cache=False)
        return out.logits[0].float().cpu().numpy()

    def begin(self, rows: int, tokens_per_row: int, sampling: Sampling) -> None:
        self._sampling = sampling
        self._routes.clear()
        self._cache = SlotCache(rows, tokens_per_row)

    def admit(self, prompts: Sequence[Sequence[int]], copies: Sequence[int], draws: Draws) -> list[int]:
        """Prefill right-padded: under a causal mask no token attends to the padding behind it."""
        import torch
        from transformers import DynamicCache

        lengths = [len(p) for p in prompts]
        ids = torch.zeros((len(prompts), max(lengths)), dtype=torch.long)
        for i, prompt in enumerate(prompts):
            ids[i, : len(prompt)] = torch.tensor(prompt)
        device = self.model.device
        ends = sorted({n - 1 for n in lengths})
        with torch.inference_mode():
            cache = DynamicCache()
            out = self.model(
                input_ids=ids.to(device),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=torch.tensor(ends, device=device),
                **self._routes.arguments(self._routes.prompts),
            )
            which = [i for i, n in enumerate(copies) for _ in range(n)]
            at = [ends.index(lengths[i] - 1) for i in which]
            logits = out.logits[which, at].float()
            self._slots().append(cache, which, [lengths[i] for i in which])
            return self._choose(logits, draws)

    def step(self, tokens: Sequence[int], draws: Draws) -> list[int]:
        import torch

        device = self.model.device
        cache = self._slots()
        with torch.inference_mode():
            positions, mask = cache.before_step(self.model.dtype)
            out = self.model(
                input_ids=torch.tensor(tokens, device=device)[:, None],
                attention_mask=mask,
                position_ids=positions[:, None],
                past_key_values=cache.cache,
                use_cache=True,
                **self._routes.arguments(self._routes.rows),
            )
            cache.after_step()
            return self._choose(out.logits[:, -1].float(), draws)

    def remove(self, row: int) -> None:
        import torch

        with torch.inference_mode():
            self._slots().remove(row)
        self._routes.remove(row)

    def end(self) -> None:
        """Keep the cache, whose bytes are read after a run, until the next `begin` replaces it."""

    def close(self) -> None:
        import torch

        self.model = self._cache = None
        self._routes = AdapterRoutes(None, ())
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _choose(self, logits: Any, draws: Draws) -> list[int]:
        if logits.device.type == "cpu":  # numpy's 64-bit integers are twice as fast here, and the same
            return choose_numpy(logits.numpy(), draws, self._sampling)
        return choose_torch(logits, draws, self._sampling)

    def _slots(self) -> SlotCache:
        assert self._cache is not None, "begin() comes first"
        return self._cache


def _end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    named = getattr(model.generation_config, "eos_token_id", None)
    ids = set(named if isinstance(named, list) else [named]) | {tokenizer.eos_token_id}
    ids |= {i for i, token in tokenizer.added_tokens_decoder.items() if token.content in END_TOKENS}
    return frozenset(i for i in ids if i is not None)


class AdapterRoutes:
    """The adapter of every row of a batch, in step with the rows of the cache, in the terms of PEFT's forward pass.

    A batch of one adapter has it set as the active one, which every kind of adapter can do and costs nothing; a mixed
    batch passes PEFT's `adapter_names`, which LoRA layers (DoRA's apart) can.
    """

    def __init__(self, model: Any, names: Sequence[str]) -> None:
        self.model = model
        self._names = tuple(names)
        self._active = ""
        self.prompts: list[str] = []
        self.rows: list[str] = []
        self._mixes = bool(names) and all(_mixes(model.peft_config[name]) for name in names)

    def clear(self) -> None:
        self.prompts, self.rows = [], []

    def admit(self, adapters: Sequence[str], copies: Sequence[int]) -> None:
        known = (*self._names, BASE) if self._names else ("",)
        for name in adapters:
            if name not in known:
                names = ", ".join(self._names) or "none: its requests name no adapter"
                raise BadInputError(f"this generator holds no adapter {name!r}; it holds {names}")
        self.prompts = list(adapters)
        self.rows += [name for name, n in zip(adapters, copies, strict=True) for _ in range(n)]

    def remove(self, row: int) -> None:
        if self._names:
            self.rows[row] = self.rows[-1]
        if self.rows:
            self.rows.pop()

    def arguments(self, adapters: Sequence[str]) -> dict[str, Any]:
        """Return the keyword arguments of the forward pass over `prompts`, or over `rows`."""
        if not self._names:
            return {}
        distinct = set(adapters)
        if len(distinct) == 1 and distinct != {BASE}:
            (name,) = distinct
            if name != self._active:
                self.model.set_adapter(name)
                self._active = name
            return {}
        if not self._mixes:
            raise BadInputError(
                f"adapters {', '.join(sorted(distinct))} cannot share a batch: not all of them are plain LoRA; "
                "ask them one after the other"
            )
        return {"adapter_names": list(adapters)}


def _mixes(config: Any) -> bool:
    kind = str(getattr(config.peft_type, "value", config.peft_type))
    return kind == "LORA" and not config.use_dora and config.bias == "none" and not config.modules_to_save
