"""`assay memory`: the memory that one run needs, and whether a device has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from assay.harness.cli import options
from assay.harness.cli.app import Json, app, print_json
from assay.harness.errors import BadInputError

if TYPE_CHECKING:
    from assay.harness.profiling.memory import Architecture, Setup, Tier
    from assay.harness.profiling.memory.devices import Device
    from assay.harness.profiling.memory.verdict import Choice
    from assay.trainers.config import TrainConfig

DEFAULT_LENGTH = 2048  # tokens
# Keys of a training table whose option has another name.
TABLE_KEYS = {
    "batch_size": "--batch",
    "gradient_accumulation_steps": "--accumulation",
    "max_length": "--seq",
    "rollout.max_new_tokens": "--new-tokens",
    "optimizer": "--optimizer",
    "reference": "--reference",
    "dtype": "--dtype",
}


class MemoryOptions(NamedTuple):
    """The command line's settings of one run; None leaves a setting to the training table's default."""

    method: str = "qlora"
    objective: str = "sft"
    batch: int | None = None
    seq: int | None = None
    new_tokens: int = 512
    adapter: str | None = None
    rank: int | None = None
    targets: str | None = None
    optimizer: str | None = None
    accumulation: int | None = None
    checkpointing: bool | None = None
    attention: str | None = None
    loss: str | None = None
    dtype: str | None = None
    double_quant: bool | None = None
    upcast: bool | None = None
    reference: str | None = None

    @property
    def inference(self) -> bool:
        return "inference" in (self.method, self.objective)


@app.command()
def memory(
    experiment: options.NoExperiment = None,
    tier: options.TierName = None,
    model: options.ModelInsteadOfTier = None,
    auto: options.Auto = False,
    device: options.DeviceName = None,
    method: options.Method = "qlora",
    objective: options.Objective = "sft",
    seq: options.SequenceTokens = None,
    batch: options.Batch = None,
    new_tokens: options.NewTokens = 512,
    adapter: options.AdapterType = None,
    rank: options.Rank = None,
    targets: options.Targets = None,
    optimizer: options.Optimizer = None,
    accumulation: options.Accumulation = None,
    checkpointing: options.Checkpointing = None,
    attention: options.Attention = None,
    loss: options.Loss = None,
    dtype: options.Dtype = None,
    double_quant: options.DoubleQuant = None,
    upcast: options.Upcast = None,
    reference: options.Reference = None,
    as_json: Json = False,
) -> None:
    """Predict the memory of one training or inference run, component by component, and whether a device has it."""
    given = dict(locals())  # the options by their names
    from assay.harness.profiling.memory import DEFAULT_TIER, find_tier, predict
    from assay.harness.profiling.memory.devices import find_device
    from assay.harness.profiling.memory.verdict import as_object, choose_tier, judge, print_choice, print_plan

    if experiment is not None:
        raise BadInputError(
            f"{experiment!r} is an experiment: assay plan takes it; give an experiment or the options of one run, "
            "not both"
        )
    if sum((tier is not None, model is not None, auto)) > 1:
        raise BadInputError("--tier, --model and --auto each say which model: give one of them")
    run = MemoryOptions(**{name: value for name, value in given.items() if name in MemoryOptions._fields})
    place = find_device(device)
    choice: Choice | None = None
    chosen: Tier | None = None
    if auto:
        choice = choose_tier(place, lambda architecture: setup_of(run, architecture, place))
        chosen = choice.chosen.tier
    elif model is None:
        chosen = find_tier(tier or DEFAULT_TIER)
    architecture = chosen.architecture if chosen is not None else architecture_of(str(model))
    prediction = predict(architecture, setup_of(run, architecture, place))
    verdict = judge(prediction, place)
    if as_json:
        print_json(as_object(chosen, prediction, verdict, choice))
        return
    if choice is not None:
        print_choice(choice, place)
    print_plan(chosen, prediction, verdict)


def check_options(run: MemoryOptions) -> None:
    """Raise BadInputError that names an option, its value, and what is known."""
    from typing import get_args

    from assay.harness.profiling.memory import METHODS, OBJECTIVES
    from assay.harness.profiling.memory.architecture import Attention, Dtype
    from assay.harness.profiling.memory.optimizers import OPTIMIZERS

    known: dict[str, Sequence[str]] = {
        "method": METHODS,
        "objective": OBJECTIVES,
        "attention": get_args(Attention),
        "loss": ("chunked", "full"),
        "dtype": get_args(Dtype),
        "reference": ("none", "shared", "separate"),
        "adapter": ("lora", "dora", "loha", "lokr"),
        "optimizer": OPTIMIZERS,
    }
    for name, choices in known.items():
        options.check_choice(f"--{name}", getattr(run, name), choices)
    for name in ("batch", "seq", "rank", "accumulation"):
        if (value := getattr(run, name)) is not None and value < 1:
            raise BadInputError(f"--{name} must be at least 1, got {value}")


def setup_of(run: MemoryOptions, architecture: Architecture, device: Device) -> Setup:
    """Return the run in the prediction's terms; the device chooses the type and the kernels that were left open.

    Raises BadInputError for what a training table refuses, naming the option, and for what the device cannot do.
    """
    from assay.harness.profiling.memory import Setup

    check_options(run)
    limit = architecture.max_positions - (run.new_tokens if run.inference else 0)
    length = run.seq or min(DEFAULT_LENGTH, limit or DEFAULT_LENGTH)
    if run.inference:
        return _inference(run, architecture, device, length)
    config = training_config(run, length)
    written = length - _prompt_tokens(run, length)
    attention: Any = run.attention or "sdpa"
    setup = Setup.from_config(config, architecture, length - written, device, attention)
    # What no training table says: another loss, a reference that the method has no choice of, the rest's type after a
    # change to QLoRA; and as many answers are drawn at once as one step learns from.
    what_if = _given({"loss": run.loss, "reference": run.reference, "upcast": run.upcast})
    return replace(setup, drawn=0, **what_if)


def training_config(run: MemoryOptions, length: int) -> TrainConfig:
    """Return the training table that the options write, as a user would in a training file.

    `length` is the longest sequence in tokens. Raises BadInputError that names the option.
    """
    from assay.harness.profiling.memory import checked_config, method_settings
    from assay.harness.profiling.memory.setup import SAMPLES_ITSELF
    from assay.trainers.config import METHODS

    batch = run.batch or (2 if run.objective == "kto" else 1)
    given = {
        "batch_size": batch,
        "gradient_accumulation_steps": run.accumulation,
        "gradient_checkpointing": run.checkpointing,
        "optimizer": run.optimizer,
        "dtype": run.dtype,
    }
    table = method_settings(run.method, run.objective) | _given(given)
    if run.method != "full":
        table["adapter"] = _adapter(run)
    if "quantization" in table:
        table["quantization"] |= _given({"double_quant": run.double_quant, "upcast_fp32": run.upcast})
    if run.objective in SAMPLES_ITSELF:
        # one answer a prompt; GRPO's groups need two, and the memory of one step does not depend on it
        samples = 1 if run.objective == "ppo" else 2
        written = length - _prompt_tokens(run, length)
        table["rollout"] = {
            "prompts": batch,
            "samples": samples,
            "max_new_tokens": written,
            "batch_size": batch,
        }
    else:
        table["max_length"] = length
    sources = {"shared": "adapter_off", "separate": "copy"}
    if run.reference in sources and "reference" in METHODS[run.objective].model_fields:
        table["reference"] = sources[run.reference]
    try:
        return checked_config(table, _option_of)
    except BadInputError as error:
        # A rule about several keys begins with the first of them.
        key, colon, rest = str(error).partition(":")
        raise BadInputError(f"{_option_of(key)}{colon}{rest}") from None


def _prompt_tokens(run: MemoryOptions, length: int) -> int:
    """Return the tokens of a sequence that come before a drawn answer; all of them where none is drawn."""
    from assay.harness.profiling.memory.setup import SAMPLES_ITSELF

    return max(0, length - run.new_tokens) if run.objective in SAMPLES_ITSELF else length


def _option_of(key: str) -> str:
    """Return the option that was typed in the place of a table's key."""
    return TABLE_KEYS.get(key, key)


def _given(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if value is not None}


def _inference(run: MemoryOptions, architecture: Architecture, device: Device, length: int) -> Setup:
    """Return an inference run: weights are used as they are stored, where the device can."""
    from assay.harness.profiling.memory import Setup
    from assay.harness.profiling.memory.setup import QUANTISED
    from assay.trainers.config import SftConfig

    compute: Any = run.dtype
    if run.dtype is None:
        emulated = device.gpu and architecture.dtype == "bf16" and not device.bf16
        compute = "fp32" if emulated else architecture.dtype
    adapter: Any = None
    if run.method not in ("inference", "full") and (run.adapter or run.rank or run.targets):
        adapter = SftConfig(method="sft", adapter=_adapter(run)).adapter  # type: ignore[arg-type]
    attention: Any = run.attention or "sdpa"
    device.check(compute, attention)
    return Setup(
        objective="inference",
        weights=QUANTISED.get(run.method, compute),
        double_quant=run.double_quant is not False,
        compute=compute,
        adapter=adapter,
        batch=run.batch or (2 if run.objective == "kto" else 1),
        length=length,
        new_tokens=run.new_tokens,
        attention=attention,
        gpu=device.gpu,
    )


def _adapter(run: MemoryOptions) -> dict[str, Any]:
    from assay.harness.profiling.memory import ATTENTION

    targets: Any = run.targets or "all-linear"
    if targets == "attention":
        targets = list(ATTENTION)
    elif targets != "all-linear":
        targets = [name.strip() for name in targets.split(",") if name.strip()]
    return {"type": run.adapter or "lora", "r": run.rank or 16, "target_modules": targets}


def architecture_of(model: str) -> Architecture:
    """Return the architecture of `pocket`, a folder, a config.json, or a hub id, whose config.json alone is fetched."""
    from assay.harness.models.resolve import HUB_ID, POCKET, POCKET_FOLDER
    from assay.harness.profiling.memory import read_architecture
    from assay.harness.profiling.memory.architecture import CONFIG

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
    from assay.suites.hub_answers import guard_hub

    guard_hub()
    repository, revision = parse_name(model)
    try:
        file = Path(hf_hub_download(repository, CONFIG, revision=revision))
    except Exception as error:  # the hub's client raises its own, httpx's and the OS's errors
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadInputError(
            f"could not fetch the {CONFIG} of {model!r} ({reason}); offline, give a local folder"
        ) from error
    return read_architecture(file, name=model)
