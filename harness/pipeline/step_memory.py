"""Peak memory of an experiment's steps, predicted before any is done, from the configurations that are at hand.

A training is predicted with the longest sequence that its data really have, a generation with the longest prompt of its
problems. What an export or a compression makes is written to disk piece by piece and is not predicted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from assay.harness.errors import BadInputError
from assay.harness.experiment import CompressVariant
from assay.harness.experiment.training import Training, load_training_data
from assay.harness.generation.batching import PREFILL_TOKENS
from assay.harness.pipeline.plan import Plan, Step
from assay.harness.pipeline.steps.generate import GenerateSpec
from assay.harness.profiling.memory import Architecture, Prediction, Setup, predict, read_architecture
from assay.harness.profiling.memory.architecture import Dtype
from assay.harness.training.dry_run import lengths_of, predict_training
from assay.suites import Suite
from assay.suites.model import chat_messages, completion_prompt
from assay.trainers.artifact import Artifact, ArtifactKind, model_folder
from assay.trainers.data.inputs import REINFORCEMENT_METHODS
from assay.trainers.errors import MissingExtraError, TrainersError
from assay.trainers.templates import load_tokenizer, render

LOADING = ("train", "generate")  # kinds of steps that hold a whole model and are predicted


@dataclass(frozen=True, slots=True)
class StepMemory:
    """The predicted memory of a step.

    `prediction` None: for the reason in `note`. Otherwise the note says what it rests on, where that is no fact yet.
    """

    prediction: Prediction | None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        peak = None if self.prediction is None else self.prediction.peak_bytes
        return {"predicted_peak_bytes": peak, "note": self.note}


def predict_steps(plan: Plan) -> dict[str, StepMemory]:
    """Return the prediction of each step that holds a model, by its name; training seeds of one variant share one."""
    by_step: dict[str, StepMemory] = {}
    known: dict[tuple[str, str], StepMemory] = {}
    declared = {m.name: name for name in plan.declared for m in plan.experiment.members(name)}
    for step in plan.steps:
        if step.kind not in LOADING:
            continue
        key = (step.label, declared[step.variant])
        if key not in known:
            known[key] = _predicted(plan, step)
        by_step[step.name] = known[key]
    return by_step


def _predicted(plan: Plan, step: Step) -> StepMemory:
    model = _origin(plan, step)
    if model.kind is ArtifactKind.ENDPOINT:
        return StepMemory(None, "unmeasured: the model is on a server")
    if not model.sha256:
        return StepMemory(None, f"unknown: {model.path} was not looked at")
    maker = plan.step(step.inputs[0])
    if model.kind is ArtifactKind.GGUF or maker.kind == "export":
        return StepMemory(None, "unknown: memory of GGUF models is not predicted")
    try:
        architecture = read_architecture(model_folder(model), model.path.name)
        if step.kind == "train":
            return _training(plan.trainings[step.variant], model, architecture)
        return _inference(plan, step, model, architecture)
    except ImportError as error:
        return StepMemory(None, f"unknown: {MissingExtraError(str(error.name), 'train')}")
    except (BadInputError, TrainersError) as error:  # what the prediction, or the training itself, cannot do
        return StepMemory(None, f"unknown: {error}")


def _origin(plan: Plan, step: Step) -> Artifact:
    """Return the model that was taken, from which all others of the step's descent are made, of one architecture."""
    while step.inputs:
        step = plan.step(step.inputs[0])
    return plan.models[step.variant]


def _training(training: Training, model: Artifact, architecture: Architecture) -> StepMemory:
    config, records, note = training.config, training.records, ""
    if training.left_out:
        return StepMemory(None, f"unknown: {training.left_out}")
    if records is None and config.method in REINFORCEMENT_METHODS:
        note = "with the longest prompt of all problems; which are practised on is known when pairs are made"
        offered: Any = training.data.model_copy(update={"only": None})
        records = load_training_data(config.method, offered)
    if records is None:
        note, longest = "at most: pairs as long as max_length; they are not made yet", config.max_length
    else:
        longest = lengths_of(config, records, load_tokenizer(model)).longest
    if training.reward_model is not None:
        note += ("; " if note else "") + "without the reward model"
    return StepMemory(predict_training(config, architecture, longest), note)


def _inference(plan: Plan, step: Step, model: Artifact, architecture: Architecture) -> StepMemory:
    import torch

    spec: GenerateSpec = step.spec
    engine, sampling = spec.engine, spec.sampling
    gpu = engine.device != "cpu" and torch.cuda.is_available()
    maker, device = plan.step(step.inputs[0]), "cuda" if gpu else "cpu"
    compute, weights = _types(plan, maker, engine.dtype, architecture, device)
    longest = _longest_prompt(spec.suite, sampling.style, load_tokenizer(model))
    rows = min(engine.batch_size, sampling.samples * len(spec.suite.problems))
    prompts = -(-rows // sampling.samples)
    setup = generation_setup(
        rows, prompts, longest, sampling.max_new_tokens, weights=weights, compute=compute, gpu=gpu
    )
    return StepMemory(predict(architecture, setup))


def generation_setup(
    rows: int, prompts: int, length: int, new_tokens: int, *, weights: Any, compute: Dtype, gpu: bool
) -> Setup:
    """Return the Setup of drawing `rows` samples at once of `prompts` of at most `length` tokens each.

    The engine reads as many prompts together as have no more than PREFILL_TOKENS tokens.
    """
    return Setup(
        objective="inference",
        weights=weights,
        compute=compute,
        batch=min(prompts, max(1, PREFILL_TOKENS // length)),
        drawn=rows,
        length=length,
        new_tokens=new_tokens,
        gpu=gpu,
    )


def _types(
    plan: Plan, maker: Step, engine_dtype: str, architecture: Architecture, device: str
) -> tuple[Any, Any]:
    """Return the type computed in, and what weights are kept as, when `[engine]` loads the maker's model."""
    from assay.harness.generation.torch_engine import loading_dtype

    if maker.kind == "train":
        config = plan.trainings[maker.variant].config
        # of a quantised base: the rounded weights, in plain layers
        stored: str = "fp32" if config.full or config.quantization is not None else architecture.dtype
    elif maker.kind == "compress":
        members = {m.name: v for v in plan.experiment.variant for m in plan.experiment.members(v.name)}
        variant = members[maker.variant]
        assert isinstance(variant, CompressVariant)
        if variant.quantization in ("int8", "nf4", "fp4"):
            return loading_dtype(engine_dtype, architecture.dtype, device), variant.quantization
        stored = variant.quantization
    else:
        stored = architecture.dtype
    compute = loading_dtype(engine_dtype, stored, device)
    return compute, compute


def _longest_prompt(suite: Suite, style: str, tokenizer: Any) -> int:
    if style == "completion":
        return max(len(tokenizer(completion_prompt(p))["input_ids"]) for p in suite.problems)
    if tokenizer.chat_template is None:
        raise BadInputError('this model has no chat template; use style = "completion"')
    texts = (render(tokenizer, chat_messages(p), answer_next=True) for p in suite.problems)
    return max(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts)
