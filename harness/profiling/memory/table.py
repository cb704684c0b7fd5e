"""The memory plan as a table for people."""

from __future__ import annotations

from collections.abc import Iterator

from assay.harness.console import terminal
from assay.harness.profiling.memory.architecture import Architecture
from assay.harness.profiling.memory.devices import Device
from assay.harness.profiling.memory.predict import UNMEASURED, Prediction
from assay.harness.profiling.memory.setup import Setup
from assay.harness.profiling.memory.tiers import Choice, Tier
from assay.harness.profiling.memory.verdict import COMFORTABLE, Option, Verdict


def gib(n: int) -> str:
    """Bytes as people read them: GiB, small ones in MiB."""
    return f"{n / 2**30:.2f} GiB" if n >= 2**30 // 10 else f"{n / 2**20:.1f} MiB"


def print_plan(tier: Tier | None, prediction: Prediction, verdict: Verdict) -> None:
    from rich.table import Table

    console = terminal()
    title = f"{tier.name}: {tier.model}" if tier else prediction.architecture.name
    table = Table(title=f"{title}\n{describe_setup(prediction.setup)}", title_justify="left")
    table.add_column("component")
    table.add_column("bytes", justify="right")
    table.add_column("at peak", justify="right")
    table.add_column("what it is")
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
    """What stands under the table: architecture, phases, what is not in it, the claim, the verdict, the options."""
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
        where = s.adapter.targets if isinstance(s.adapter.targets, str) else ", ".join(s.adapter.targets)
        parts.append(f"{s.adapter.kind} r={s.adapter.rank} on {where}")
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
    """The course's figure beside ours, in its own unit of 1e9 bytes."""
    peak = prediction.peak_bytes
    before = prediction.static_bytes
    if prediction.setup.trains and prediction.setup.accumulation == 1:
        before += prediction.bytes_of("gradients") + prediction.bytes_of("first block's gradients")
    held = "does not cover" if peak > claim_bytes else "covers"
    told = f"{before / 1e9:.2f} GB before activations, " if prediction.setup.trains else ""
    return f"the course's ~{claim_bytes / 1e9:.0f} GB {held} this run: {told}{peak / 1e9:.2f} GB at its peak"


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
        yield f"  {_option(option)}"
    if verdict.together is not None:
        yield f"together: {_option(verdict.together)}"
    elif verdict.state != "fits" and not any(o.state == "fits" for o in verdict.options):
        yield "no change of these settings makes it fit: take a smaller tier or a larger device"


def _option(option: Option) -> str:
    return f"{option.change}: saves {gib(option.saves_bytes)}, then {gib(option.peak_bytes)}, {option.state}"


def print_choice(choice: Choice, device: Device) -> None:
    console = terminal()
    if not device.gpu:
        console.print(
            "no GPU: planning for the CPU and its memory, with the tiers pocket and tiny", soft_wrap=True
        )
    for candidate in choice.candidates:
        told = gib(candidate.prediction.peak_bytes) if candidate.prediction else candidate.reason
        chosen = "  <- chosen" if candidate is choice.chosen else ""
        console.print(
            f"{candidate.tier.name:8} {told}, {candidate.state}{chosen}", soft_wrap=True, highlight=False
        )
