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


def _panel(name: str) -> Callable[[str, str], Any]:
    return lambda flag, text: typer.Option(flag, help=text, rich_help_panel=name)


_model, _work, _device, _train = (_panel(name) for name in ("Model", "Workload", "Device", "Training"))

NoExperiment = Annotated[str | None, typer.Argument(hidden=True, metavar="")]
ProfiledModel = Annotated[str | None, typer.Argument(help="A tier, a folder, a .gguf file or a hub id.")]
TierName = Annotated[str | None, _model("--tier", "pocket, tiny, small (the default), medium or large.")]
ModelInsteadOfTier = Annotated[str | None, _model("--model", "A folder, config.json or hub id, not a tier.")]
Auto = Annotated[bool, _model("--auto", "Choose the largest tier that fits the device.")]
RandomWeights = Annotated[bool, _model("--random-weights", "Fill a tier with random weights; fetch nothing.")]
WeightFormat = Annotated[str, _model("--weights", "Inference weights: stored, int8, nf4 or fp4.")]

Batch = Annotated[int | None, _work("--batch", "Examples in one step: 1, or 2 for kto.")]
Sequences = Annotated[int, _work("--batch", "Sequences at once (dpo, orpo: pairs; ppo: prompts).")]
SequenceTokens = Annotated[int | None, _work("--seq", "Tokens of a sequence: 2048, or the model's context.")]
PromptTokens = Annotated[int, _work("--prompt-tokens", "Tokens of each prompt or trained sequence.")]
NewTokens = Annotated[int, _work("--new-tokens", "Tokens written to each prompt (inference, ppo, grpo).")]
SamplesPerPrompt = Annotated[int, _work("--samples", "Answers to each prompt (generate, ppo).")]
Phases = Annotated[str, _work("--phases", "A comma list of load, prefill, decode and generate.")]
Lengths = Annotated[str | None, _work("--lengths", "Measure at each of these --prompt-tokens (comma list).")]
Repeats = Annotated[int, _work("--repeats", "Repeats of each phase that count.")]
Warmup = Annotated[int, _work("--warmup", "Repeats before the ones that count; they are left out.")]
ExactMemory = Annotated[bool, _work("--exact-memory", "CPU: give freed memory back at once (exact, slower).")]

DeviceName = Annotated[str | None, _device("--device", "auto, gpu, cpu, t4, h100, … or a size such as 8GiB.")]
ProfileDevice = Annotated[str, _device("--device", "auto, cpu or cuda.")]
Dtype = Annotated[str | None, _device("--dtype", "bf16, fp16 or fp32; the device's own (ppo, grpo: fp32).")]
ProfileDtype = Annotated[
    str, _device("--dtype", "auto (the model's, in training the device's), fp32, bf16, fp16.")
]
Attention = Annotated[str | None, _device("--attention", "eager, sdpa (the default) or flash.")]
Threads = Annotated[int, _device("--threads", "CPU threads; 0 is the library's choice.")]
MemoryLimit = Annotated[
    float | None, _device("--memory-limit", "GiB for torch's CUDA allocator; needs CUDA.")
]

Method = Annotated[str, _train("--method", "How weights are used: inference, full, lora, qlora or int8.")]
Objective = Annotated[str, _train("--objective", "sft, dpo, kto, orpo, reward, ppo, grpo or inference.")]
Train = Annotated[
    str | None, _train("--train", "Measure lora, qlora, int8, full, dpo, kto, orpo or ppo steps.")
]
TrainMethod = Annotated[str | None, _train("--method", "Of dpo, kto, orpo, ppo: lora, qlora, int8 or full.")]
AdapterType = Annotated[str | None, _train("--adapter", "The adapter's type: lora, dora, loha or lokr.")]
Rank = Annotated[int | None, _train("--rank", "The adapter's rank: 16.")]
Targets = Annotated[str | None, _train("--targets", "all-linear, attention, or names such as q_proj,v_proj.")]
Optimizer = Annotated[str | None, _train("--optimizer", "As a training file names it: adamw_torch.")]
Accumulation = Annotated[int | None, _train("--accumulation", "Passes that make one optimizer step: 1.")]
Checkpointing = Annotated[
    bool | None,
    _train("--checkpointing/--no-checkpointing", "Recompute activations; on for qlora and int8 on a GPU."),
]
Loss = Annotated[str | None, _train("--loss", "chunked (TRL's) or full (transformers', all logits at once).")]
DoubleQuant = Annotated[
    bool | None, _train("--double-quant/--no-double-quant", "Quantise the scales of 4-bit weights too.")
]
Upcast = Annotated[
    bool | None, _train("--upcast/--no-upcast", "Keep what is not quantised in fp32, as PEFT does.")
]
Reference = Annotated[str | None, _train("--reference", "The reference model: none, shared or separate.")]
TrainAttention = Annotated[str, _train("--attention", "auto (the trainer's choice), sdpa or eager.")]
BaseDtype = Annotated[str, _train("--base", "The type of lora's frozen base; auto is the arithmetic's.")]

PROFILES = Path("results/profiles")
ProfileOut = Annotated[
    Path, typer.Option("--out", "-o", help="The folder of the raw record and its summary.")
]
Within = Annotated[
    float | None,
    typer.Option(
        "--within", help="Exit with 1 where the peak misses its prediction by more than so many per cent."
    ),
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
