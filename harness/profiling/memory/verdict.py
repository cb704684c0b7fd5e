"""The verdict on a run: whether it fits a device, the single changes that would help it to fit, and the largest tier
that does; and the table and JSON object that `assay memory` prints of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from assay.harness.console import new_table, terminal
from assay.harness.errors import BadInputError
from assay.harness.profiling.memory.architecture import Architecture, Tier, find_tier, gib, tier_names
from assay.harness.profiling.memory.devices import Device
from assay.harness.profiling.memory.optimizers import state_bytes
from assay.harness.profiling.memory.predict import UNMEASURED, Prediction, predict, trained_tensors
from assay.harness.profiling.memory.setup import SAMPLES_ITSELF, Setup
from assay.trainers.errors import TrainersError

State = Literal["fits", "tight", "does not fit"]
# The device's context, the allocator's rounding and fragmentation are not predicted: what they usually take stays free.
COMFORTABLE = 0.85
CPU_TIERS = ("pocket", "tiny")  # larger ones fit many machines' RAM, but not a user's patience
_WORTH_NAMING = 0.005  # of the peak


@dataclass(frozen=True, slots=True)
class Option:
    """One change, what the peak would then be, and whether that fits."""

    change: str
    setup: Setup
    peak_bytes: int
    saves_bytes: int
    state: State

    def to_json(self) -> dict[str, Any]:
        return {
            "change": self.change,
            "peak_bytes": self.peak_bytes,
            "saves_bytes": self.saves_bytes,
            "verdict": self.state,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """fits: at most 85 % of the room; tight: it fits by the prediction, but what is not predicted may not.

    `options` are single changes, the greatest saving first; `together` applies as many of them, in that order, as it
    takes to fit. Both are empty where the run fits.
    """

    state: State
    device: Device
    options: tuple[Option, ...]
    together: Option | None

    def to_json(self) -> dict[str, Any]:
        return {
            "verdict": self.state,
            "device": asdict(self.device),
            "comfortable_share": COMFORTABLE,
            "options": [o.to_json() for o in self.options],
            "together": self.together.to_json() if self.together else None,
        }


def judge(prediction: Prediction, device: Device) -> Verdict:
    """Return whether the prediction fits the device, with the changes that would help where it does not."""
    state = state_of(prediction.peak_bytes, device)
    if state == "fits":
        return Verdict(state, device, (), None)
    return Verdict(state, device, find_options(prediction, device), _together(prediction, device))


def state_of(peak_bytes: int, device: Device) -> State:
    """Return whether a peak fits the device's room."""
    if peak_bytes <= COMFORTABLE * device.room_bytes:
        return "fits"
    return "tight" if peak_bytes <= device.room_bytes else "does not fit"


def find_options(prediction: Prediction, device: Device) -> tuple[Option, ...]:
    """Return the single changes that lower the peak, the greatest saving first."""
    options = []
    for change, make_setup in _changes(prediction.architecture, prediction.setup):
        try:
            changed = predict(prediction.architecture, make_setup())
        except (BadInputError, TrainersError):  # what the training table does not allow is no option
            continue
        option = _changed(change, changed, prediction, device)
        if option.saves_bytes > _WORTH_NAMING * prediction.peak_bytes:
            options.append(option)
    return tuple(sorted(options, key=lambda option: -option.saves_bytes))


def _changed(change: str, changed: Prediction, before: Prediction, device: Device) -> Option:
    peak = changed.peak_bytes
    return Option(change, changed.setup, peak, before.peak_bytes - peak, state_of(peak, device))


def _together(prediction: Prediction, device: Device) -> Option | None:
    """Return the changes piled up, the greatest saving of each round first, until the run fits.

    Sequences are halved once at most. None where fewer than two changes can be piled up.
    """
    current, changes = prediction, list[str]()
    while state_of(current.peak_bytes, device) != "fits":
        shortened = current.setup.length < prediction.setup.length
        options = [
            option
            for option in find_options(current, device)
            if not (shortened and option.setup.length < current.setup.length)
        ]
        if not options:
            break
        changes.append(options[0].change)
        current = predict(prediction.architecture, options[0].setup)
    if len(changes) < 2:
        return None
    return _changed("; ".join(changes), current, prediction, device)


Change = tuple[str, Callable[[], Setup]]


def _changes(a: Architecture, s: Setup) -> Iterator[Change]:
    yield from _training_changes(a, s) if s.trains else _inference_changes(s)
    if s.attention == "eager":
        yield "attention sdpa: no stored score matrices", lambda: replace(s, attention="sdpa")
    if s.length >= 512:
        shorter = s.length // 2
        yield f"sequences of {shorter} tokens instead of {s.length}", lambda: replace(s, length=shorter)


def _inference_changes(s: Setup) -> Iterator[Change]:
    nf4 = "weights nf4 with double quantisation"
    if s.weights not in ("nf4", "fp4"):
        instead = " instead of int8" if s.weights == "int8" else ""
        yield nf4 + instead, lambda: replace(s, weights="nf4", double_quant=True)
    elif not s.double_quant:
        yield "double quantisation of the scales", lambda: replace(s, double_quant=True)
    if s.batch > 1:
        yield f"batch 1 instead of {s.batch}", lambda: replace(s, batch=1)


def _training_changes(a: Architecture, s: Setup) -> Iterator[Change]:
    """Yield changes of the training's table, which says whether they can be made."""

    def change(text: str, **settings: Any) -> Change:
        return text, lambda: s.amended(a, **settings)

    separate = s.reference == "separate" and hasattr(s.config, "reference")
    shared = {"reference": "adapter_off"} if separate else {}
    nf4 = {"type": "nf4", "double_quant": True, "upcast_fp32": s.upcast}
    if s.adapter is None:
        yield change("LoRA of rank 16 instead of all weights", adapter={"type": "lora"}, **shared)
    if not s.checkpointing:
        text = "gradient checkpointing: recompute activations, about a third slower"
        yield change(text, gradient_checkpointing=True)
    if s.loss == "full":
        yield "chunked loss: never all logits at once", lambda: replace(s, loss="chunked")
    if s.quantised and s.upcast:
        table = {"type": s.weights, "double_quant": s.double_quant, "upcast_fp32": False}
        yield change(f"leave the unquantised rest in {s.compute} (no fp32 upcast)", quantization=table)
    if shared and s.adapter is not None:
        yield change("reference shared: the policy with its adapter off", **shared)
    if s.gpu and state_bytes("paged_adamw_8bit", trained := trained_tensors(a, s)) < state_bytes(
        s.optimizer, trained
    ):
        yield change("optimizer paged_adamw_8bit", optimizer="paged_adamw_8bit")
    if not s.quantised and s.adapter is not None:
        again = s.checkpointing or s.gpu
        text = "QLoRA: weights nf4 with double quantisation"
        text += ", checkpointing" if again and not s.checkpointing else ""
        yield change(text, quantization=nf4, gradient_checkpointing=again, base_dtype="auto")
    if s.weights == "int8":
        yield change("weights nf4 with double quantisation instead of int8", quantization=nf4)
    if s.weights in ("nf4", "fp4") and not s.double_quant:
        table = {"type": s.weights, "double_quant": True, "upcast_fp32": s.upcast}
        yield change("double quantisation of the scales", quantization=table)
    if s.batch > 1:
        steps = 1 if s.objective in SAMPLES_ITSELF else s.accumulation * s.batch
        text = f"batch 1 instead of {s.batch}"
        text += "" if s.objective in SAMPLES_ITSELF else f", {steps} accumulation steps"
        yield change(text, batch_size=1, gradient_accumulation_steps=steps)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tier with its prediction on the device; `reason` where it could not be predicted."""

    tier: Tier
    prediction: Prediction | None
    state: State
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """The tier that was chosen for a device, and all that were looked at."""

    chosen: Candidate
    candidates: tuple[Candidate, ...]


def choose_tier(device: Device, setup_for: Callable[[Architecture], Setup]) -> Choice:
    """Return the largest tier that fits comfortably; without a GPU only pocket and tiny are looked at.

    Where none fits, the smallest is named with its verdict.
    """
    names = [name for name in tier_names() if device.gpu or name in CPU_TIERS]
    candidates = [_candidate(find_tier(name), device, setup_for) for name in names]
    fitting = [c for c in candidates if c.state == "fits"]
    return Choice(fitting[-1] if fitting else candidates[0], tuple(candidates))


def _candidate(tier: Tier, device: Device, setup_for: Callable[[Architecture], Setup]) -> Candidate:
    try:
        prediction = predict(tier.architecture, setup_for(tier.architecture))
    except (BadInputError, TrainersError) as error:
        return Candidate(tier, None, "does not fit", str(error))
    return Candidate(tier, prediction, state_of(prediction.peak_bytes, device))


def as_object(
    tier: Tier | None, prediction: Prediction, verdict: Verdict, choice: Choice | None
) -> dict[str, Any]:
    """Return a run's prediction, verdict and tier as `assay memory --json` prints them."""
    a = prediction.architecture
    row: dict[str, Any] = {
        "tier": tier.name if tier else None,
        "model": a.name,
        "architecture": architecture_object(a),
        "setup": setup_object(prediction.setup),
        **prediction.to_json(),
        **verdict.to_json(),
    }
    if tier is not None and tier.claim_bytes is not None:
        row["claim_bytes"] = tier.claim_bytes
        row["claim_held"] = prediction.peak_bytes <= tier.claim_bytes
    if choice is not None:
        row["auto"] = [
            {
                "tier": c.tier.name,
                "peak_bytes": c.prediction.peak_bytes if c.prediction else None,
                "verdict": c.state,
                "reason": c.reason,
            }
            for c in choice.candidates
        ]
    return row


def architecture_object(a: Architecture) -> dict[str, Any]:
    same = [
        "model_type",
        "parameters",
        "linear_parameters",
        "hidden",
        "layers",
        "heads",
        "kv_heads",
        "head_dim",
    ]
    same += ["intermediate", "tokenizer_size", "padded_rows", "qkv_bias", "dtype", "assumptions"]
    return {name: getattr(a, name) for name in same} | {
        "vocabulary": a.vocab,
        "tied_embeddings": a.tied,
        "kv_cache_bytes_per_token_16_bit": 2 * a.kv_values_per_token,
    }


def setup_object(setup: Setup) -> dict[str, Any]:
    plain = {k: getattr(setup, k) for k in setup.__dataclass_fields__ if k not in ("adapter", "config")}
    adapter = setup.adapter and {
        "kind": setup.adapter.type,
        "rank": setup.adapter.r,
        "targets": setup.adapter.target_modules,
    }
    return plain | {"value": "head" if setup.value_head else "none", "adapter": adapter}


def print_plan(tier: Tier | None, prediction: Prediction, verdict: Verdict) -> None:
    console = terminal()
    title = f"{tier.name}: {tier.model}" if tier else prediction.architecture.name
    title += f"\n{describe_setup(prediction.setup)}"
    table = new_table(title, "component", "bytes", "at peak", "what it is", right=("bytes", "at peak"))
    peak = prediction.peak_phase
    for component in prediction.components:
        there = gib(component.bytes) if peak in component.phases else "-"
        table.add_row(component.name, gib(component.bytes), there, component.note)
    table.add_section()
    table.add_row("peak", "", gib(prediction.peak_bytes), f"phase {peak!r}")
    console.print(table)
    for line in lines(tier, prediction, verdict):
        console.print(line, soft_wrap=True, highlight=False)


def lines(tier: Tier | None, prediction: Prediction, verdict: Verdict) -> Iterator[str]:
    """Yield the lines under the table: architecture, phases, what is not in it, the claim, the verdict, the options."""
    yield describe_architecture(prediction.architecture)
    yield "phases: " + ", ".join(f"{name} {gib(n)}" for name, n in prediction.phases.items())
    if prediction.setup.trains:
        yield f"trained parameters: {prediction.trained_parameters:,}"
    yield "not predicted: " + "; ".join(f"{name} ({reason})" for name, reason in UNMEASURED)
    for assumption in prediction.architecture.assumptions:
        yield f"assumed: {assumption}"
    if tier is not None and tier.claim_bytes is not None:
        yield claim(tier.claim_bytes, prediction)
    yield from verdict_lines(prediction, verdict)


def describe_setup(s: Setup) -> str:
    parts = [s.objective, f"{s.weights} weights"]
    if s.weights in ("nf4", "fp4"):
        parts[-1] += " with double quantisation" if s.double_quant else ""
    if s.adapter is not None:
        modules = s.adapter.target_modules
        where = modules if isinstance(modules, str) else ", ".join(modules)
        parts.append(f"{s.adapter.type} r={s.adapter.r} on {where}")
    parts.append(f"batch {s.batch} x {s.length} tokens" + ("" if s.trains else f" + {s.new_tokens} new"))
    parts += [f"computing in {s.compute}", f"{s.attention} attention"]
    if s.trains:
        parts += [s.optimizer, "checkpointing" if s.checkpointing else "no checkpointing", f"{s.loss} loss"]
    if s.reference != "none":
        parts.append(f"{s.reference} reference")
    return ", ".join(parts)


def describe_architecture(a: Architecture) -> str:
    vocabulary = f"vocabulary {a.vocab:,}"
    if a.padded_rows is not None:
        vocabulary += f" ({a.padded_rows} rows are padding)" if a.padded_rows else " (no padding)"
    return (
        f"{a.model_type}: {a.parameters:,} parameters, {a.linear_parameters:,} of them in block linears; "
        f"{a.layers} layers, hidden {a.hidden}, {a.heads} heads over {a.kv_heads} KV heads (GQA), "
        f"{'biases on q, k and v' if a.qkv_bias else 'no qkv bias'}, "
        f"{'tied' if a.tied else 'untied'} embeddings, {vocabulary}, "
        f"KV cache {2 * a.kv_values_per_token:,} B a token in 16 bits"
    )


def claim(claim_bytes: int, prediction: Prediction) -> str:
    """Return the course's figure beside ours, in its own unit of 1e9 bytes."""
    peak = prediction.peak_bytes
    before = prediction.static_bytes
    if prediction.setup.trains and prediction.setup.accumulation == 1:
        before += prediction.bytes_of("gradients") + prediction.bytes_of("first block's gradients")
    covers = "does not cover" if peak > claim_bytes else "covers"
    static = f"{before / 1e9:.2f} GB before activations, " if prediction.setup.trains else ""
    return (
        f"the course's ~{claim_bytes / 1e9:.0f} GB {covers} this run: {static}{peak / 1e9:.2f} GB at its peak"
    )


def verdict_lines(prediction: Prediction, verdict: Verdict) -> Iterator[str]:
    device = verdict.device
    share = prediction.peak_bytes / device.room_bytes if device.room_bytes else float("inf")
    yield (
        f"{device.name}: {verdict.state}. {gib(prediction.peak_bytes)} of {gib(device.room_bytes)} "
        f"({100 * share:.0f} %; {device.source}); up to {100 * COMFORTABLE:.0f} % leaves room for what is not predicted"
    )
    if verdict.options:
        yield "what would help, each by itself:"
    for option in verdict.options:
        yield f"  {_in_words(option)}"
    if verdict.together is not None:
        yield f"together: {_in_words(verdict.together)}"
    elif verdict.state != "fits" and not any(o.state == "fits" for o in verdict.options):
        yield "no change of these settings makes it fit: take a smaller tier or a larger device"


def _in_words(option: Option) -> str:
    return f"{option.change}: saves {gib(option.saves_bytes)}, then {gib(option.peak_bytes)}, {option.state}"


def print_choice(choice: Choice, device: Device) -> None:
    console = terminal()
    if not device.gpu:
        console.print(
            "no GPU: planning for the CPU and its memory, with the tiers pocket and tiny", soft_wrap=True
        )
    for candidate in choice.candidates:
        peak = gib(candidate.prediction.peak_bytes) if candidate.prediction else candidate.reason
        mark = "  <- chosen" if candidate is choice.chosen else ""
        console.print(
            f"{candidate.tier.name:8} {peak}, {candidate.state}{mark}", soft_wrap=True, highlight=False
        )
