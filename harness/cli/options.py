"""The options that several verbs share, each with one wording, and the checks of values given on the command line.

A sentence that describes a field of a file is the field's own; a test compares them.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer import Argument, Option
from typer.core import TyperCommand

from assay.harness.console import Progress
from assay.harness.errors import BadInputError

if TYPE_CHECKING:
    from assay.harness import decide
    from assay.harness.generation.load import MeasuredGenerator
    from assay.harness.report import Document
    from assay.trainers.artifact import Artifact

T = TypeVar("T")
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]  # click's own, which typer may hold a copy of

# The problems.
_suite = Option(
    help="The suite: humaneval, humaneval+, mbpp, mbpp-sanitized, mbpp+, pocket, jsonl, or a plugin's."
)
Suite = Annotated[str, _suite]
OptionalSuite = Annotated[str | None, _suite]
SuitePath = Annotated[
    Path | None,
    Option(help="The suite's file or folder, or hub:ID@REVISION to load it from the hub."),
]
SuiteOption = Annotated[
    list[str] | None,
    Option(
        help="KEY=VALUE, one of the suite's own options, such as style of mbpp and compat of humaneval+ and mbpp+."
    ),
]
Split = Annotated[
    str | None, Option(help="The split, such as train, dev or test, for a suite that has splits.")
]
Limit = Annotated[int | None, Option(min=1, help="Take only this many problems, the first ones.")]

# The settings of sampling.
_temperature = Option(help="Sampling temperature; 0 is greedy decoding.")
_max_new_tokens = Option(help="Tokens that a completion may have at most.")
_style = Option(
    help="The form of a prompt: chat uses the model's chat template, completion continues the problem's code."
)
_seed = Option(help="The seed of everything that is drawn at random.")
Temperature = Annotated[float, _temperature]
MaxNewTokens = Annotated[int, _max_new_tokens]
Style = Annotated[str, _style]
Seed = Annotated[int, _seed]
OptionalSeed = Annotated[int | None, _seed]

# The engine and the sandbox.
EngineThreads = Annotated[
    int, Option("--threads", min=0, help="CPU threads of generation; 0 is one per core.")
]
Workers = Annotated[int, Option(min=0, help="Programs that run at the same time; 0 is one per core.")]
CpuSeconds = Annotated[
    float | None,
    Option(
        help="CPU seconds that a program may use; left out, 5, or more where the reference is slow; given, never more."
    ),
]
Backend = Annotated[
    str, Option(help="The place that programs run in: embedded is this machine, docker a hardened container.")
]
Isolation = Annotated[
    str,
    Option(
        help="cell isolates once for many programs; fresh gives each program a PID and a mount namespace, at a lower "
        "rate."
    ),
]

# What is read, written and printed.
Model = Annotated[str, Argument(help="A model: pocket, a folder, a .gguf file or a hub id.")]
Results = Annotated[Path, Option(help="The folder that runs are kept in.")]
RESULTS = Path("results/runs")
Json = Annotated[bool, Option("--json", help="Print one JSON object on stdout.")]
Quiet = Annotated[bool, Option("--quiet", "-q", help="Print no progress on stderr.")]
NoCache = Annotated[
    bool, Option("--no-cache", help="Execute every sample again, without the cache of verdicts.")
]
AllowWeak = Annotated[
    bool,
    Option(
        "--allow-weak", help="Accept weaker isolation than this machine should give; every report says so."
    ),
]

Online = Annotated[
    bool,
    Option("--online", help="Ask the servers and the hub that the file names; without it nothing is asked."),
]
Import = Annotated[
    bool,
    Option(
        "--import",
        help="Import the code that the file names for its rows, which runs it; without it none is run.",
    ),
]

# Groups of options, each a dataclass that `verb` of app.py expands: a verb takes the group as one parameter.


@dataclass(frozen=True, slots=True)
class Shown:
    """The output: the result as a table or as JSON, and progress."""

    as_json: Json = False
    quiet: Quiet = False

    def progress(self) -> Progress:
        return Progress(enabled=not self.quiet)


SHOWN = Shown()


@dataclass(frozen=True, slots=True)
class ResultFiles:
    """How result files are read and matched, and where what they show is written."""

    common: Annotated[
        bool, Option("--common", help="Result files: take only the problems that all of them have.")
    ] = False
    total: Annotated[
        int | None,
        Option(min=1, help="Result files that list only what passed: how many problems the suite has."),
    ] = None
    form: Annotated[
        str | None, Option("--format", help="The format of the result files; left out, it is detected.")
    ] = None
    confidence: Annotated[float, Option(help="The confidence level of intervals and tests.")] = 0.95
    markdown: Annotated[Path | None, Option(help="Write the report as Markdown to this file.")] = None
    html: Annotated[Path | None, Option(help="Write the report as a page to this file.")] = None

    def read(self, name: str, *, answers: bool = False) -> list[decide.Results]:
        """Read `FILE`, `FILE:MODEL` or `NAME=FILE`, which calls the file's one model NAME."""
        from dataclasses import replace

        from assay.harness.decide import read_results

        label, equals, path = name.partition("=")
        if not equals or not label or Path(name).exists():
            return read_results(name, form=self.form, answers=answers)
        results = read_results(path, form=self.form, answers=answers)
        if len(models := {r.model for r in results}) > 1:
            raise BadInputError(f"{name}: the file holds {len(models)} models, which keep their names")
        return [replace(r, model=label) for r in results]

    def write(self, document: Document) -> None:
        """Write the document to the files that were asked for."""
        from assay.harness.files import write_text
        from assay.harness.report import document_markdown, render_document

        if self.markdown is not None:
            write_text(self.markdown, document_markdown(document))
        if self.html is not None:
            write_text(self.html, render_document(document))


RESULT_FILES = ResultFiles()


@dataclass(frozen=True, slots=True)
class Problems:
    """The problems of a suite; a verb gives its own default suite, which may be none."""

    suite: OptionalSuite = "humaneval"
    suite_path: SuitePath = None
    split: Split = None
    limit: Limit = None

    def table(self) -> dict[str, Any]:
        """Return the table `[suite]` of an experiment."""
        return {"name": self.suite, "path": self.suite_path, "split": self.split, "limit": self.limit}


@dataclass(frozen=True, slots=True)
class Sampling:
    """The settings of sampling; None leaves one to the default of an experiment."""

    n: Annotated[int | None, Option(help="Samples drawn for each problem.")] = None
    temperature: Annotated[float | None, _temperature] = None
    max_new_tokens: Annotated[int | None, _max_new_tokens] = None
    style: Annotated[str | None, _style] = None

    def table(self) -> dict[str, Any]:
        """Return the table `[sampling]` of an experiment.

        Raises BadInputError for several greedy samples, which would all be the same.
        """
        n, temperature = self.n or 1, self.temperature or 0
        if temperature == 0 and n > 1:
            raise BadInputError(
                f"--n {n} at temperature 0 gives the same sample {n} times: give --n 1, or a --temperature above 0"
            )
        options = {"samples": self.n} | asdict(self)
        return {key: value for key, value in options.items() if key != "n" and value is not None}


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine that generates."""

    device: Annotated[str, Option(help="The device: auto, cpu or cuda.")] = "auto"
    dtype: Annotated[str, Option(help="The type to compute in: auto (as stored), fp32, bf16 or fp16.")] = (
        "auto"
    )
    threads: EngineThreads = 0

    def load(self, artifact: Artifact, batch_size: int) -> MeasuredGenerator:
        """Load a model to generate `batch_size` samples at once."""
        from assay.harness.generation import load_generator

        settings = asdict(self) | {"threads": self.threads or len(os.sched_getaffinity(0))}
        return load_generator(artifact, batch_size=batch_size, **settings)


ENGINE = Engine()


# Options of a run and of the device that it is held against: `memory`, `profile`, `loadtest`.


def _panel(name: str) -> Callable[[str, str], Any]:
    return lambda flag, text: Option(flag, help=text, rich_help_panel=name)


_model, _work, _device, _train = (_panel(name) for name in ("Model", "Workload", "Device", "Training"))

NoExperiment = Annotated[str | None, Argument(hidden=True, metavar="")]
ProfiledModel = Annotated[str | None, Argument(help="A tier, a folder, a .gguf file or a hub id.")]
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
ProfileOut = Annotated[Path, Option("--out", "-o", help="The folder of the raw record and its summary.")]
Within = Annotated[
    float | None,
    Option(
        "--within", help="Exit with 1 where the peak misses its prediction by more than so many per cent."
    ),
]


# Keys of tables whose option does not have the key's own name; keys of whole tables have none.
_OPTIONS = {
    "sampling.samples": "--n",
    "suite.name": "--suite",
    "suite.path": "--suite-path",
    "suite.options": "--suite-option",
    **dict.fromkeys(("suite", "sampling", "engine", "sandbox", "score", "variant"), ""),
}


def table(model: type[T], options: Mapping[str, str] | None = None, /, **values: Any) -> T:
    """Return a checked table made from option values. Raises BadInputError that names options, not keys.

    `options` names the option of a key where `--key` is not it.
    """
    from assay.harness.experiment.validation import checked

    known = _OPTIONS | dict(options or {})

    def label(key: str) -> str:
        return known.get(key, "--" + key.rpartition(".")[2].replace("_", "-"))

    return checked(model, values, label=label)  # type: ignore[type-var]


def one_of(option: str, value: str, allowed: Sequence[str]) -> str:
    """Return `value`. Raises BadInputError that names the option and the nearest allowed value if it is not allowed."""
    if value in allowed:
        return value
    near = difflib.get_close_matches(value, allowed, n=1)
    advice = f"; did you mean {near[0]!r}?" if near else ""
    raise BadInputError(
        f"{option} {value!r} is not allowed: it must be {' or '.join(map(repr, allowed))}{advice}"
    )


def refuse(flags: Mapping[str, Any], reason: str) -> None:
    """Raise BadInputError that names the options that were given and have nothing to act on."""
    idle = [
        f"{flag} {value}" if value is not True else flag for flag, value in flags.items() if value is not None
    ]
    if idle:
        raise BadInputError(f"{', '.join(idle)}: {reason}")


def slug(text: str) -> str:
    """Return `text` as a name that an experiment or a file may have."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-")[-64:].lstrip("-._")


def parse_options(pairs: list[str] | None) -> dict[str, str]:
    """Return the values of `--suite-option KEY=VALUE`."""
    parts = [text.partition("=") for text in pairs or []]
    bad = next((key + sign + value for key, sign, value in parts if not key or not value), None)
    if bad is not None:
        raise BadInputError(
            f"--suite-option {bad!r} is not allowed: it must be KEY=VALUE, such as style=paper"
        )
    return {key: value for key, _, value in parts}


def parse_numbers(option: str, text: str, kind: type[T], example: str) -> tuple[T, ...]:
    """Return the numbers of a comma-separated list. Raises BadInputError that names the option."""
    try:
        return tuple(kind(part) for part in text.split(",")) if text else ()  # type: ignore[call-arg]
    except ValueError:
        raise BadInputError(
            f"{option} {text!r} is not allowed: it must be numbers separated by commas, such as {example}"
        ) from None


def parse_k(text: str) -> tuple[int, ...] | None:
    """Return the k of `--k 1,10`, or None where the option was not given."""
    numbers = parse_numbers("--k", text, int, "1,10")
    if numbers and min(numbers) < 1:
        raise BadInputError(f"--k {text!r} is not allowed: each k must be at least 1")
    return numbers or None


def fresh_path(folder: Path, name: str) -> Path:
    """Return the path of a record in `folder` that does not exist yet, with the time in its name."""
    from datetime import UTC, datetime

    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    path, n = folder / f"{name}-{stamp}.jsonl", 1
    while path.exists():
        n += 1
        path = folder / f"{name}-{stamp}-{n}.jsonl"
    return path


def check_choice(flag: str, value: str | None, known: Sequence[str]) -> None:
    """Raise BadInputError that names the option, the value, the nearest known one, and all known ones."""
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
