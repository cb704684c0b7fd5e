"""`assay plan --tier`: the memory that one run needs, and whether a device has it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from assay.harness.cli.app import print_json
from assay.harness.errors import BadInputError
from assay.harness.models.resolve import HUB_ID, POCKET, POCKET_FOLDER
from assay.harness.profiling.memory.architecture import CONFIG, Architecture, Dtype, read_architecture
from assay.harness.profiling.memory.devices import Device, find_device
from assay.harness.profiling.memory.optimizers import ATTENTION, Adapter, AdapterKind, Optimizer
from assay.harness.profiling.memory.predict import Prediction, predict
from assay.harness.profiling.memory.setup import (
    SAMPLES_ITSELF,
    Attention,
    Loss,
    Method,
    Objective,
    Reference,
    Setup,
    make_setup,
)
from assay.harness.profiling.memory.table import print_choice, print_plan
from assay.harness.profiling.memory.tiers import DEFAULT_TIER, Choice, Tier, choose_tier, find_tier
from assay.harness.profiling.memory.verdict import Verdict, judge

DEFAULT_LENGTH = 2048
TRAINING = ("optimizer", "accumulation", "checkpointing", "loss", "reference")
LOADING = ("attention", "double_quant", "upcast")
Positive = Annotated[int, Field(ge=1)]


class MemoryOptions(BaseModel):
    """What the command line asked for; None is the method's own choice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Method = "qlora"
    objective: Objective = "sft"
    batch: Positive | None = None
    seq: Positive | None = None
    new_tokens: Annotated[int, Field(ge=0)] = 512
    adapter: AdapterKind | None = None
    rank: Positive | None = None
    targets: str | None = None
    optimizer: Optimizer | None = None
    accumulation: Positive | None = None
    checkpointing: bool | None = None
    attention: Attention | None = None
    loss: Loss | None = None
    dtype: Dtype | None = None
    double_quant: bool | None = None
    upcast: bool | None = None
    reference: Reference | None = None


def plan_memory(
    wishes: MemoryOptions,
    *,
    tier: str | None,
    model: str | None,
    device_name: str | None,
    auto: bool,
    as_json: bool,
) -> None:
    """Print the table and the verdict. Raises BadInputError for what cannot run, on that device or at all."""
    if sum((tier is not None, model is not None, auto)) > 1:
        raise BadInputError("--tier, --model and --auto each say which model: give one of them")
    device = find_device(device_name)
    choice: Choice | None = None
    found: Tier | None = None
    if auto:
        choice = choose_tier(device, lambda architecture: setup_of(wishes, architecture, device))
        found, architecture = choice.chosen.tier, choice.chosen.tier.architecture
    elif model is not None:
        architecture = architecture_of(model)
    else:
        found = find_tier(tier or DEFAULT_TIER)
        architecture = found.architecture
    setup = setup_of(wishes, architecture, device)
    prediction = predict(architecture, setup)
    verdict = judge(prediction, device)
    if as_json:
        print_json(as_object(found, prediction, verdict, choice))
        return
    if choice is not None:
        print_choice(choice, device)
    print_plan(found, prediction, verdict)


def setup_of(wishes: MemoryOptions, architecture: Architecture, device: Device) -> Setup:
    """What was asked for, with the device's own type and kernels where nothing was."""
    compute = wishes.dtype or device.default_compute
    inference = wishes.method == "inference" or wishes.objective == "inference"
    limit = architecture.max_positions - (wishes.new_tokens if inference else 0)
    changes: dict[str, Any] = {
        "batch": wishes.batch or (2 if wishes.objective == "kto" else 1),
        "length": wishes.seq or min(DEFAULT_LENGTH, limit or DEFAULT_LENGTH),
        "new_tokens": wishes.new_tokens,
        "gpu": device.gpu,
    }
    for name in (
        "optimizer",
        "accumulation",
        "checkpointing",
        "attention",
        "loss",
        "double_quant",
        "upcast",
        "reference",
    ):
        if (value := getattr(wishes, name)) is not None:
            changes[name] = value
    if inference and wishes.dtype is None:  # weights are used as they are stored, where the device can
        compute = (
            "fp32" if device.gpu and architecture.dtype == "bf16" and not device.bf16 else architecture.dtype
        )
    if wishes.objective in SAMPLES_ITSELF and not inference and wishes.dtype is None:
        compute = "fp32"  # as their tables have it
    changes["compute"] = compute
    if wishes.method in ("lora", "inference") or (inference and wishes.method == "full"):
        changes["weights"] = (
            "fp32" if compute == "fp16" and not inference else compute
        )  # as base_dtype has it
    if wishes.method not in ("inference", "full"):
        changes |= _adapter(wishes, inference)
    device.check(compute, changes.get("attention", "sdpa"))
    return make_setup(wishes.method, architecture, wishes.objective, **changes)


def _adapter(wishes: MemoryOptions, inference: bool) -> dict[str, Any]:
    kind, rank, targets = wishes.adapter or "lora", wishes.rank or 16, wishes.targets or "all-linear"
    asked = any(value is not None for value in (wishes.adapter, wishes.rank, wishes.targets))
    if inference and not asked:
        return {}
    if targets == "all-linear":
        return {"adapter": Adapter(kind, rank, "all-linear")}
    names = ATTENTION if targets == "attention" else tuple(t.strip() for t in targets.split(",") if t.strip())
    return {"adapter": Adapter(kind, rank, names)}


def architecture_of(model: str) -> Architecture:
    """The architecture of `pocket`, a folder, a config.json, or a hub id, of which only its config.json is fetched."""
    path = Path(model)
    if model == POCKET:
        return read_architecture(POCKET_FOLDER, name=POCKET)
    if path.exists():
        return read_architecture(path, name=model)
    if not HUB_ID.match(model):
        raise BadInputError(
            f"no model {model!r}: it is neither a path that exists nor a hub id (org/name[@revision])"
        )
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise BadInputError(
            f"{model!r} lies on the hub; to read its {CONFIG}: pip install 'assay[train]', or give a local folder"
        ) from None
    from assay.harness.models.hub.fetch import parse_name

    repository, revision = parse_name(model)
    try:
        file = Path(hf_hub_download(repository, CONFIG, revision=revision))
    except Exception as error:  # the hub's client raises its own, httpx's and the OS's errors
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadInputError(
            f"could not fetch the {CONFIG} of {model!r} ({reason}); offline, give a local folder"
        ) from error
    return read_architecture(file, name=model)


def as_object(
    tier: Tier | None, prediction: Prediction, verdict: Verdict, choice: Choice | None
) -> dict[str, Any]:
    a = prediction.architecture
    found: dict[str, Any] = {
        "tier": tier.name if tier else None,
        "model": a.name,
        "architecture": architecture_object(a),
        "setup": setup_object(prediction.setup),
        **prediction.to_json(),
        **verdict.to_json(),
    }
    if tier is not None and tier.claim_bytes is not None:
        found["claim_bytes"] = tier.claim_bytes
        found["claim_held"] = prediction.peak_bytes <= tier.claim_bytes
    if choice is not None:
        found["auto"] = [
            {
                "tier": c.tier.name,
                "peak_bytes": c.prediction.peak_bytes if c.prediction else None,
                "verdict": c.state,
                "reason": c.reason,
            }
            for c in choice.candidates
        ]
    return found


def architecture_object(a: Architecture) -> dict[str, Any]:
    return {
        "model_type": a.model_type,
        "parameters": a.parameters,
        "linear_parameters": a.linear_parameters,
        "hidden": a.hidden,
        "layers": a.layers,
        "heads": a.heads,
        "kv_heads": a.kv_heads,
        "head_dim": a.head_dim,
        "intermediate": a.intermediate,
        "vocabulary": a.vocab,
        "tokenizer_size": a.tokenizer_size,
        "padded_rows": a.padded_rows,
        "tied_embeddings": a.tied,
        "qkv_bias": a.qkv_bias,
        "dtype": a.dtype,
        "kv_cache_bytes_per_token_16_bit": 2 * a.kv_values_per_token,
        "assumptions": list(a.assumptions),
    }


def setup_object(setup: Setup) -> dict[str, Any]:
    plain = {name: getattr(setup, name) for name in Setup.__dataclass_fields__ if name != "adapter"}
    adapter = setup.adapter
    told = None
    if adapter is not None:
        targets = adapter.targets if isinstance(adapter.targets, str) else list(adapter.targets)
        told = {"kind": adapter.kind, "rank": adapter.rank, "targets": targets}
    return plain | {"adapter": told}
