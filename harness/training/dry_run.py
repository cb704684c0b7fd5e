"""A dry run: the data, parameters, steps and memory of a training before it begins; no weight is loaded.

Each method cuts and leaves out data in its own way, TRL without a word. SFT and the DPO family cut what is too long and
leave out what then has no answer; a reward model leaves out each pair that is too long; reinforcement methods never
cut: `max_length` does not apply to them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from assay.harness.errors import BadInputError
from assay.harness.profiling.memory import Architecture, Prediction, Setup, predict, read_architecture
from assay.harness.profiling.memory.devices import unsized_device
from assay.harness.training.file import Job
from assay.trainers.artifact import model_folder
from assay.trainers.config import NoAdapter, RewardModelConfig, SftConfig, TrainConfig
from assay.trainers.config.rl import GroupConfig, PpoConfig
from assay.trainers.data import Records
from assay.trainers.data.inputs import TrainingData
from assay.trainers.data.preferences import LabeledCompletion, Pair, Preferences, Text
from assay.trainers.data.problems import Environment
from assay.trainers.errors import MissingExtraError, TrainingError
from assay.trainers.model.prepare import alpha_warning
from assay.trainers.preference.build import few
from assay.trainers.templates import choose_template, load_tokenizer, render

SHOWN = 2
NO_ROOM = "no room for an answer within max_length"
TOO_LONG = "longer than max_length"
ALONE = "alone in its last batch"
LEFT_OUT = "the data were left out"
NOT_PAID = "no checks that could pay"


@dataclass(frozen=True, slots=True)
class Lengths:
    """The data of a training in tokens, as its method reads them.

    `rows` are what is learned from, in the words of `unit`: chats, pairs, answers, or problems to practise on.

    `tokens` counts their sequences as they are after the cut, a pair's both; of problems the prompts. `left_out` counts
    rows by reason, and `cut` sequences. `examples` are texts by part, as the model reads them.
    """

    unit: str
    rows: int
    tokens: int
    longest: int
    cut: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    examples: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True)
class DryRun:
    """The data, steps, parameters and memory of a training that has not begun.

    `lengths` are of the data as the method reads them. Of a reinforcement method `steps` are updates, each on
    `answers` fresh ones of `answer_tokens` in all at most. Parameters are those that `training.json` counts: a value
    head is not among them. `memory` is None where it could not be predicted, for the reason given. `records` and
    `lengths` are None where the data were left out."""

    dtype: str
    records: str | None
    lengths: Lengths | None
    effective_batch: int
    steps: int | None
    steps_reason: str
    answers: int | None
    answer_tokens: int | None
    trainable_parameters: int
    total_parameters: int
    warnings: tuple[str, ...]
    memory: Prediction | None
    memory_reason: str

    def to_json(self) -> dict[str, Any]:
        memory = {"unmeasured": self.memory_reason} if self.memory is None else self.memory.to_json()
        apart = ("lengths", "memory", "memory_reason")
        plain = {k: getattr(self, k) for k in self.__dataclass_fields__ if k not in apart}
        lengths = {} if self.lengths is None else asdict(self.lengths)
        return plain | lengths | {"warnings": list(self.warnings), "memory": memory}


def plan_training(job: Job) -> DryRun:
    """Tokenise the data, count the parameters, predict the memory.

    Raises TrainersError for what could not be trained: targets that the model lacks, a dtype or a quantisation that
    this machine cannot do; MissingExtraError where a library is missing.
    """
    try:
        return _plan(job)
    except ImportError as error:
        raise MissingExtraError(str(error.name), "train") from error


def _plan(job: Job) -> DryRun:
    from assay.trainers.model.optimizers import check_optimizer
    from assay.trainers.model.precision import arithmetic, compute_dtype
    from assay.trainers.model.prepare import adapter_parameters, check_adapter_on, check_targets, empty_model
    from assay.trainers.model.quantize import check_supported
    from assay.trainers.run.runtime import quiet_libraries

    config = job.config
    with quiet_libraries():
        dtype = arithmetic(config)
        check_optimizer(config)
        check_adapter_on(config)
        if config.quantization is not None:
            check_supported(config.quantization, compute_dtype(config, dtype))
        scores = isinstance(config, RewardModelConfig)
        model = empty_model(str(model_folder(job.base)), classifier=scores)
        total = sum(p.numel() for p in model.parameters())
        trained = total
        if not isinstance(config.adapter, NoAdapter):
            check_targets(model, config.adapter)
            trained = adapter_parameters(model, config.adapter)
            total += trained
        if scores:  # of one score a sequence; PEFT keeps the head that it trains beside the one that it found
            head, score = int(model.score.in_features), sum(p.numel() for p in model.score.parameters())
            trained, total = trained + head, total - score + 2 * head
        lengths = None
        if job.records is not None:
            lengths = lengths_of(config, job.records, load_tokenizer(job.base))
    steps, reason = (None, LEFT_OUT) if lengths is None else _steps(config, lengths.rows)
    memory, memory_reason = (None, LEFT_OUT) if lengths is None else _memory(job, lengths.longest)
    rollout = config.rollout if isinstance(config, PpoConfig | GroupConfig) else None
    return DryRun(
        dtype=dtype,
        records=None if job.records is None else job.records.counts(),
        lengths=lengths,
        effective_batch=config.batch_size * config.gradient_accumulation_steps,
        steps=steps,
        steps_reason=reason,
        answers=None if rollout is None else rollout.batch,
        answer_tokens=None if rollout is None else rollout.batch * rollout.max_new_tokens,
        trainable_parameters=trained,
        total_parameters=total,
        warnings=tuple(_warnings(job)),
        memory=memory,
        memory_reason=memory_reason,
    )


def _warnings(job: Job) -> Iterator[str]:
    config = job.config
    if warning := alpha_warning(config.adapter, config.quantization):
        yield warning
    if isinstance(job.records, Preferences):
        yield from few(len(job.records.kept), "pairs" if job.records.paired else "answers")
    if isinstance(config, PpoConfig) and config.reward.model is not None:
        yield "the memory of the reward model in reward.model is not in the prediction"


def _steps(config: TrainConfig, rows: int) -> tuple[int | None, str]:
    if config.max_steps is not None:
        return config.max_steps, ""
    if config.packs:
        return None, "packing decides how many rows there are when it is done"
    batches = math.ceil(rows / config.batch_size)
    per_epoch = max(1, math.ceil(batches / config.gradient_accumulation_steps))
    return math.ceil(per_epoch * config.epochs), ""


def _memory(job: Job, longest: int) -> tuple[Prediction | None, str]:
    try:
        architecture = read_architecture(model_folder(job.base), job.base_name)
        return predict_training(job.config, architecture, longest), ""
    except BadInputError as error:  # an architecture that the prediction does not know
        return None, str(error)


def predict_training(config: TrainConfig, architecture: Architecture, longest: int) -> Prediction:
    """Predict the memory of a training on the device that torch finds here.

    `longest` is the longest sequence of a batch in tokens; for a reinforcement method it is the longest prompt. Raises
    TrainersError or BadInputError for what this machine cannot do.
    """
    import torch

    from assay.trainers.model.precision import arithmetic

    config = config.model_copy(update={"dtype": arithmetic(config)})
    device = unsized_device(gpu=torch.cuda.is_available())
    return predict(architecture, Setup.from_config(config, architecture, longest, device))


def lengths_of(config: TrainConfig, records: TrainingData, tokenizer: Any) -> Lengths:
    """Return what `config.method` reads of `records`. Raises TrainersError for data that cannot be trained on."""
    if isinstance(records, Environment):
        return _prompts(config, records, tokenizer)
    if isinstance(records, Preferences):
        lengths = _preferences(config, records, tokenizer)
    else:
        assert isinstance(records, Records)
        lengths = _chats(config, records, tokenizer)
    if not lengths.rows:
        raise TrainingError(
            f"max_length = {config.max_length} leaves none of {records.counts()} to learn from; raise it"
        )
    return lengths


def _chats(config: TrainConfig, records: Records, tokenizer: Any) -> Lengths:
    from assay.trainers.data.encode import encode

    assert isinstance(config, SftConfig)
    encoded = encode(records.kept, tokenizer, choose_template(tokenizer, config.template), config.loss)
    lost = 0 if config.packing else encoded.unanswered(config.max_length)
    lengths = [len(ids) for ids in encoded.input_ids]
    left_out = {"no answer left within max_length": lost}
    examples = [
        {"chat": tokenizer.decode(ids), "learned": tokenizer.decode([t for t in labels if t >= 0])}
        for ids, labels in zip(encoded.input_ids[:SHOWN], encoded.labels[:SHOWN], strict=True)
    ]
    return _cut("chats", len(lengths) - lost, lengths, config.max_length, left_out, examples)


def _cut(
    unit: str,
    rows: int,
    lengths: Sequence[int],
    limit: int,
    left_out: dict[str, int],
    examples: list[dict[str, str]],
) -> Lengths:
    """Return the lengths of `rows` whose sequences are cut at `limit` tokens."""
    tokens = [min(n, limit) for n in lengths]
    cut = sum(n > limit for n in lengths)
    reasons = {reason: n for reason, n in left_out.items() if n}
    return Lengths(unit, rows, sum(tokens), max(tokens, default=0), cut, reasons, tuple(examples))


def _preferences(config: TrainConfig, records: Preferences, tokenizer: Any) -> Lengths:
    from assay.trainers.methods._trl import check_preferences

    check_preferences(config, records, tokenizer)
    if config.method == "kto":
        return _labelled(config, records, tokenizer)
    limit, pairs, kept = config.max_length, records.pairs(), list[int]()
    for pair in pairs:
        both = [_ids(config, pair.prompt, answer, tokenizer) for answer in (pair.chosen, pair.rejected)]
        shared, lengths = [_shared(*one) for one in both], [len(ids) for _, ids in both]
        if config.method == "reward":
            keeps = max(lengths) <= limit
        elif config.method == "orpo":  # which finds where each answer begins for itself
            keeps = all(s < min(limit, n) for s, n in zip(shared, lengths, strict=True))
        else:
            keeps = min(shared) < limit
        if keeps:
            kept += lengths
    rows = len(kept) // 2
    left_out = {TOO_LONG if config.method == "reward" else NO_ROOM: len(pairs) - rows}
    examples = [_shown_pair(pair, tokenizer) for pair in pairs[:SHOWN]]
    return _cut("pairs", rows, kept, limit, left_out, examples)


def _labelled(config: TrainConfig, records: Preferences, tokenizer: Any) -> Lengths:
    from assay.trainers.methods.kto import mixed

    labelled = records.opinions()
    learned = mixed(labelled, config.batch_size, config.seed)
    lengths = []
    for one in learned:
        prompt, answered = _ids(config, one.prompt, one.completion, tokenizer)
        if _shared(prompt, answered) < config.max_length:
            lengths.append(len(answered))
    left_out = {ALONE: len(labelled) - len(learned), NO_ROOM: len(learned) - len(lengths)}
    examples = [_shown_labelled(one, tokenizer) for one in labelled[:SHOWN]]
    return _cut("answers", len(lengths), lengths, config.max_length, left_out, examples)


def _prompts(config: TrainConfig, environment: Environment, tokenizer: Any) -> Lengths:
    from assay.trainers.rl.check_split import training_problems

    assert isinstance(config, PpoConfig | GroupConfig)
    problems, left_out = training_problems(environment, config.reward, config.rollout.style, tokenizer)
    chat = config.rollout.style == "chat"
    lengths = [len(tokenizer(one.prompt, add_special_tokens=not chat)["input_ids"]) for one in problems]
    examples = [
        {"prompt": one.prompt, "checks that pay": "\n".join(one.paid), "held out": "\n".join(one.held_out)}
        for one in problems[:SHOWN]
    ]
    return Lengths(
        "problems",
        len(lengths),
        sum(lengths),
        max(lengths),
        left_out={NOT_PAID: left_out} if left_out else {},
        examples=tuple({name: text for name, text in one.items() if text} for one in examples),
    )


def _ids(config: TrainConfig, prompt: Text, answer: str, tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return the token ids of the prompt, and of the prompt with its answer."""
    prompt_text, answered = _texts(prompt, answer, tokenizer)
    # a chat template writes its special tokens itself, and ORPO, which is ours, adds none to a bare text
    special = isinstance(prompt, str) and config.method != "orpo"
    first, second = (
        tokenizer(text, add_special_tokens=special)["input_ids"] for text in (prompt_text, answered)
    )
    return list(first), list(second)


def _texts(prompt: Text, answer: str, tokenizer: Any) -> tuple[str, str]:
    if isinstance(prompt, str):
        end = tokenizer.eos_token or ""
        return prompt, prompt + answer + ("" if end and answer.endswith(end) else end)
    chat: Sequence[dict[str, str]] = [dict(m) for m in prompt]
    answered = [*chat, {"role": "assistant", "content": answer}]
    return render(tokenizer, chat, answer_next=True), render(tokenizer, answered)


def _shared(a: Sequence[int], b: Sequence[int]) -> int:
    """Return how many tokens the two begin with alike."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _shown_pair(pair: Pair, tokenizer: Any) -> dict[str, str]:
    prompt_text, chosen = _texts(pair.prompt, pair.chosen, tokenizer)
    _, rejected = _texts(pair.prompt, pair.rejected, tokenizer)
    answers = {"chosen": _answer(prompt_text, chosen), "rejected": _answer(prompt_text, rejected)}
    return {"prompt": prompt_text} | answers


def _shown_labelled(one: LabeledCompletion, tokenizer: Any) -> dict[str, str]:
    prompt_text, answered = _texts(one.prompt, one.completion, tokenizer)
    return {"prompt": prompt_text, "good" if one.good else "bad": _answer(prompt_text, answered)}


def _answer(prompt_text: str, answered: str) -> str:
    return answered[len(prompt_text) :] if answered.startswith(prompt_text) else answered
