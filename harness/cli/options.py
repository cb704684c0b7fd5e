from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

_UsageError: type[Exception] = typer.BadParameter.__mro__[1]  # click's own, which typer may hold a copy of


def refuse(flags: dict[str, Any], why: str) -> None:
    """BadInputError that names the flags that were given and have nothing to act on."""
    from assay.harness.errors import BadInputError

    idle = [flag for flag, value in flags.items() if value is not None]
    if idle:
        raise BadInputError(f"{', '.join(idle)}: {why}")


def table(model: Any, **values: Any) -> Any:
    """A checked configuration table from command line values."""
    from pydantic import ValidationError

    from assay.harness.errors import BadInputError
    from assay.harness.experiment.validation import explain

    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise BadInputError(explain(error, model)) from None


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-")[-64:].lstrip("-._")


def parse_options(given: list[str] | None) -> dict[str, str]:
    from assay.harness.errors import BadInputError

    pairs = [text.partition("=") for text in given or []]
    bad = next((key + sign + value for key, sign, value in pairs if not key or not value), None)
    if bad is not None:
        raise BadInputError(f"--suite-option takes KEY=VALUE, such as style=paper; got {bad!r}")
    return {key: value for key, _, value in pairs}


def parse_k(text: str) -> tuple[int, ...] | None:
    from assay.harness.errors import BadInputError

    if not text:
        return None
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise BadInputError(f"--k takes numbers separated by commas, such as 1,10; got {text!r}") from None
    if min(found) < 1:
        raise BadInputError(f"--k: k must be at least 1, got {min(found)}")
    return found


def fresh_path(folder: Path, name: str) -> Path:
    """Return the path of a record in `folder` that does not exist yet, with the time in its name."""
    from datetime import UTC, datetime

    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    path, n = folder / f"{name}-{stamp}.jsonl", 1
    while path.exists():
        n += 1
        path = folder / f"{name}-{stamp}-{n}.jsonl"
    return path


# Options of a run and of the device that it is held against: `memory`, `profile`, `loadtest`.

MODEL_PANEL, WORKLOAD_PANEL, DEVICE_PANEL, TRAINING_PANEL = "Model", "Workload", "Device", "Training"


def _option(flag: str, help_text: str, panel: str) -> Any:
    return typer.Option(flag, help=help_text, rich_help_panel=panel)


NoExperiment = Annotated[str | None, typer.Argument(hidden=True)]
TierName = Annotated[
    str | None,
    _option("--tier", "The course's tier: pocket, tiny, small (the default), medium or large.", MODEL_PANEL),
]
ModelInsteadOfTier = Annotated[
    str | None, _option("--model", "A folder, a config.json or a hub id in place of a tier.", MODEL_PANEL)
]
Auto = Annotated[bool, _option("--auto", "Choose the largest tier that fits the device.", MODEL_PANEL)]
DeviceName = Annotated[
    str | None,
    _option("--device", "The device: auto, gpu, cpu, t4, h100, … or a size such as 8GiB.", DEVICE_PANEL),
]
Dtype = Annotated[
    str | None,
    _option(
        "--dtype",
        "The type that is computed in: bf16, fp16 or fp32. Left out, it is the one that the device has in hardware; "
        "fp32 for ppo and grpo.",
        DEVICE_PANEL,
    ),
]
Attention = Annotated[
    str | None,
    _option("--attention", "The attention kernel: eager, sdpa (the default) or flash.", DEVICE_PANEL),
]
Method = Annotated[
    str,
    _option("--method", "How the weights are used: inference, full, lora, qlora or int8.", TRAINING_PANEL),
]
Objective = Annotated[
    str,
    _option(
        "--objective",
        "What is learned: sft, dpo, kto, orpo, reward, ppo or grpo; inference learns nothing.",
        TRAINING_PANEL,
    ),
]
SequenceTokens = Annotated[
    int | None,
    _option(
        "--seq", "Tokens of a sequence: 2048, or the model's context where that is shorter.", TRAINING_PANEL
    ),
]
Batch = Annotated[int | None, _option("--batch", "Examples in one step: 1, or 2 for kto.", TRAINING_PANEL)]
NewTokens = Annotated[
    int,
    _option("--new-tokens", "Tokens written to each prompt by inference, ppo and grpo.", TRAINING_PANEL),
]
AdapterType = Annotated[
    str | None, _option("--adapter", "The adapter's type: lora, dora, loha or lokr.", TRAINING_PANEL)
]
Rank = Annotated[int | None, _option("--rank", "The adapter's rank: 16.", TRAINING_PANEL)]
Targets = Annotated[
    str | None,
    _option(
        "--targets",
        "The layers that the adapter is put on: all-linear, attention, or names such as q_proj,v_proj.",
        TRAINING_PANEL,
    ),
]
Optimizer = Annotated[
    str | None,
    _option("--optimizer", "The optimizer, as a training file names it: adamw_torch.", TRAINING_PANEL),
]
Accumulation = Annotated[
    int | None,
    _option("--accumulation", "Passes whose gradients make one optimizer step: 1.", TRAINING_PANEL),
]
Checkpointing = Annotated[
    bool | None,
    _option(
        "--checkpointing/--no-checkpointing",
        "Compute activations again in the backward pass. Left out, it is on for qlora and int8 on a GPU.",
        TRAINING_PANEL,
    ),
]
Loss = Annotated[
    str | None,
    _option(
        "--loss", "The loss: chunked (TRL's) or full (transformers', all logits at once).", TRAINING_PANEL
    ),
]
DoubleQuant = Annotated[
    bool | None,
    _option("--double-quant/--no-double-quant", "Quantise the scales of 4-bit weights too.", TRAINING_PANEL),
]
Upcast = Annotated[
    bool | None,
    _option("--upcast/--no-upcast", "Keep what is not quantised in fp32, as PEFT does.", TRAINING_PANEL),
]
Reference = Annotated[
    str | None,
    _option("--reference", "The reference model: none, shared (adapter off) or separate.", TRAINING_PANEL),
]

PROFILES = Path("results/profiles")
ProfileOut = Annotated[
    Path, typer.Option("--out", "-o", help="The folder of the raw record and its summary.")
]
Warmup = Annotated[
    int, typer.Option("--warmup", help="Repeats before the ones that count; they are recorded and left out.")
]


ProfiledModel = Annotated[
    str | None,
    typer.Argument(help="A tier, a folder, a .gguf file or a hub id; with --random-weights a tier."),
]
RandomWeights = Annotated[
    bool,
    _option(
        "--random-weights",
        "Fill the tier's architecture with random weights: nothing is fetched.",
        MODEL_PANEL,
    ),
]
WeightFormat = Annotated[
    str,
    _option("--weights", "What inference keeps the weights in: stored, int8, nf4 or fp4.", MODEL_PANEL),
]
Phases = Annotated[
    str,
    _option("--phases", "The phases: a comma list of load, prefill, decode and generate.", WORKLOAD_PANEL),
]
Sequences = Annotated[
    int, _option("--batch", "Sequences at once: pairs for dpo and orpo, prompts for ppo.", WORKLOAD_PANEL)
]
PromptTokens = Annotated[
    int,
    _option(
        "--prompt-tokens", "Tokens of each prompt, or of each sequence that is trained on.", WORKLOAD_PANEL
    ),
]
AnswerTokens = Annotated[
    int, _option("--new-tokens", "Tokens written to each prompt, by inference and ppo.", WORKLOAD_PANEL)
]
SamplesPerPrompt = Annotated[
    int, _option("--samples", "Answers to each prompt, in generate and ppo.", WORKLOAD_PANEL)
]
Lengths = Annotated[
    str | None,
    _option(
        "--lengths",
        "A comma list in place of --prompt-tokens: measure the peak against the length.",
        WORKLOAD_PANEL,
    ),
]
Repeats = Annotated[int, _option("--repeats", "Repeats of each phase that count.", WORKLOAD_PANEL)]
ProfileDevice = Annotated[str, _option("--device", "The device: auto, cpu or cuda.", DEVICE_PANEL)]
ProfileDtype = Annotated[
    str,
    _option(
        "--dtype",
        "The type that is computed in: fp32, bf16 or fp16. auto takes the model's own for inference, and for "
        "training the one that the device has in hardware.",
        DEVICE_PANEL,
    ),
]
Threads = Annotated[int, _option("--threads", "CPU threads; 0 is the library's choice.", DEVICE_PANEL)]
MemoryLimit = Annotated[
    float | None,
    _option(
        "--memory-limit", "GiB that torch's CUDA allocator may take; refused without CUDA.", DEVICE_PANEL
    ),
]
ExactMemory = Annotated[
    bool,
    _option(
        "--exact-memory", "On a CPU, give freed memory back at once: exact figures, slower.", DEVICE_PANEL
    ),
]
Within = Annotated[
    float | None,
    typer.Option(
        "--within", help="Exit with 1 where the peak misses its prediction by more than so many per cent."
    ),
]
Train = Annotated[
    str | None,
    _option(
        "--train",
        "Measure training steps in place of inference: lora, qlora, int8, full, dpo, kto, orpo or ppo.",
        TRAINING_PANEL,
    ),
]
TrainMethod = Annotated[
    str | None,
    _option(
        "--method",
        "The weights that dpo, kto, orpo and ppo train on: lora (the default), qlora, int8 or full.",
        TRAINING_PANEL,
    ),
]
TrainRank = Annotated[int, _option("--rank", "The adapter's rank.", TRAINING_PANEL)]
TrainOptimizer = Annotated[
    str, _option("--optimizer", "The optimizer, as a training file names it.", TRAINING_PANEL)
]
TrainAttention = Annotated[
    str, _option("--attention", "The attention: auto (the trainer's choice), sdpa or eager.", TRAINING_PANEL)
]
BaseDtype = Annotated[
    str,
    _option("--base", "The type of lora's frozen base; auto is the arithmetic's.", TRAINING_PANEL),
]
TrainUpcast = Annotated[
    bool,
    _option("--upcast/--no-upcast", "Keep what is not quantised in fp32, as PEFT does.", TRAINING_PANEL),
]


def check_choice(flag: str, value: str | None, known: Sequence[str]) -> None:
    """Raise BadInputError that names the option, the value, the nearest known one, and all known ones."""
    import difflib

    from assay.harness.errors import BadInputError

    if value is None or value in known:
        return
    near = difflib.get_close_matches(value, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise BadInputError(f"{flag} {value!r} is unknown; {hint}known: {', '.join(known)}")


def moved_to(verb: str, goes: Callable[[list[str], set[str]], bool]) -> type[TyperCommand]:
    """Return a command class for a verb a part of whose work is now `verb`: its older spelling stays valid.

    `goes` gets the arguments and the flags that only `verb` has, and says whether the arguments are meant for it. What
    the verb that is meant does not have, such as an option of the other one, raises BadInputError.
    """
    from assay.harness.errors import BadInputError

    class Moved(TyperCommand):
        def make_context(
            self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
        ) -> Any:
            command = None if parent is None else parent.command.get_command(parent, verb)
            name, make = info_name, super().make_context
            if command is not None and goes(args, _flags(command) - _flags(self)):
                name, make = verb, command.make_context
            try:
                return make(name, args, parent=parent, **extra)
            except _UsageError as error:
                raise BadInputError(f"assay {name}: {error.format_message()}") from None  # type: ignore[attr-defined]

    return Moved


def _flags(command: Any) -> set[str]:
    return {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
