"""What a training's data come to in tokens, before anything is trained: how long, what is cut or left out, and how it
reads.

Each method cuts and leaves out in its own way, TRL without a word. SFT and the DPO family cut what is too long and
leave out what then has no answer; a reward model leaves out each pair that is too long; reinforcement methods never
cut: `max_length` does not apply to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.trainers.config import SftConfig, TrainConfig
from assay.trainers.config.rl import GroupConfig, PpoConfig
from assay.trainers.data import Records
from assay.trainers.data.inputs import TrainingData
from assay.trainers.data.preferences import LabeledCompletion, Pair, Preferences, Text
from assay.trainers.data.problems import Environment
from assay.trainers.errors import TrainingError

SHOWN = 2
NO_ROOM = "no room for an answer within max_length"
TOO_LONG = "longer than max_length"
ALONE = "alone in its last batch"
NOT_PAID = "no checks that could pay"


@dataclass(frozen=True, slots=True)
class Lengths:
    """`rows` are what is learned from, in the words of `unit`: chats, pairs, answers, or problems to practise on.

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


def lengths_of(config: TrainConfig, records: TrainingData, tokenizer: Any) -> Lengths:
    """What `config.method` would read of `records`. Raises TrainersError for data that could not be trained on."""
    if isinstance(records, Environment):
        return _prompts(config, records, tokenizer)
    if isinstance(records, Preferences):
        found = _preferences(config, records, tokenizer)
    else:
        assert isinstance(records, Records)
        found = _chats(config, records, tokenizer)
    if not found.rows:
        raise TrainingError(
            f"max_length = {config.max_length} leaves none of {records.counts()} to learn from; raise it"
        )
    return found


def _chats(config: TrainConfig, records: Records, tokenizer: Any) -> Lengths:
    from assay.trainers.data.encode import encode
    from assay.trainers.templates import choose_template

    assert isinstance(config, SftConfig)
    encoded = encode(records.kept, tokenizer, choose_template(tokenizer, config.template), config.loss)
    limit = config.max_length
    lost = 0 if config.packing else encoded.unanswered(limit)
    lengths = [min(len(ids), limit) for ids in encoded.input_ids]
    examples = [
        {"chat": tokenizer.decode(ids), "learned": tokenizer.decode([t for t in labels if t >= 0])}
        for ids, labels in zip(encoded.input_ids[:SHOWN], encoded.labels[:SHOWN], strict=True)
    ]
    return Lengths(
        "chats",
        len(lengths) - lost,
        sum(lengths),
        max(lengths),
        encoded.longer_than(limit),
        {"no answer left within max_length": lost} if lost else {},
        tuple(examples),
    )


def _preferences(config: TrainConfig, records: Preferences, tokenizer: Any) -> Lengths:
    from assay.trainers.methods._trl import check_preferences

    check_preferences(config, records, tokenizer)
    if config.method == "kto":
        return _opinions(config, records, tokenizer)
    limit, rows, lost, cut = config.max_length, [], 0, 0
    for pair in records.pairs():
        both = [_ids(config, pair.prompt, answer, tokenizer) for answer in (pair.chosen, pair.rejected)]
        shared, lengths = [_shared(*one) for one in both], [len(whole) for _, whole in both]
        if config.method == "reward":
            keeps = max(lengths) <= limit
        elif config.method == "orpo":  # which finds where each answer begins for itself
            keeps = all(s < min(limit, n) for s, n in zip(shared, lengths, strict=True))
        else:
            keeps = min(shared) < limit
        lost += not keeps
        if keeps:
            rows.append([min(n, limit) for n in lengths])
            cut += sum(n > limit for n in lengths)
    why = TOO_LONG if config.method == "reward" else NO_ROOM
    return Lengths(
        "pairs",
        len(rows),
        sum(map(sum, rows)),
        max((max(row) for row in rows), default=0),
        cut,
        {why: lost} if lost else {},
        tuple(_shown_pair(pair, tokenizer) for pair in records.pairs()[:SHOWN]),
    )


def _opinions(config: TrainConfig, records: Preferences, tokenizer: Any) -> Lengths:
    from assay.trainers.methods.kto import mixed

    opinions = records.opinions()
    learned = mixed(opinions, config.batch_size, config.seed)
    left_out = {ALONE: len(opinions) - len(learned)}
    lengths = []
    for one in learned:
        asked, whole = _ids(config, one.prompt, one.completion, tokenizer)
        if _shared(asked, whole) < config.max_length:
            lengths.append(len(whole))
    left_out[NO_ROOM] = len(learned) - len(lengths)
    kept = [min(n, config.max_length) for n in lengths]
    return Lengths(
        "answers",
        len(kept),
        sum(kept),
        max(kept, default=0),
        sum(n > config.max_length for n in lengths),
        {why: n for why, n in left_out.items() if n},
        tuple(_shown_opinion(one, tokenizer) for one in opinions[:SHOWN]),
    )


def _prompts(config: TrainConfig, environment: Environment, tokenizer: Any) -> Lengths:
    from assay.trainers.rl.check_split import training_problems

    assert isinstance(config, PpoConfig | GroupConfig)
    exercises, left_out = training_problems(environment, config.reward, config.rollout.style, tokenizer)
    chat = config.rollout.style == "chat"
    lengths = [len(tokenizer(one.prompt, add_special_tokens=not chat)["input_ids"]) for one in exercises]
    examples = [
        {"prompt": one.prompt, "checks that pay": "\n".join(one.paid), "held out": "\n".join(one.held_out)}
        for one in exercises[:SHOWN]
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
    """Token ids of the prompt as it is asked, and of the prompt with its answer."""
    asked, whole = _texts(prompt, answer, tokenizer)
    # a chat template writes its special tokens itself, and ORPO, which is ours, adds none to a bare text
    special = isinstance(prompt, str) and config.method != "orpo"
    first, second = (tokenizer(text, add_special_tokens=special)["input_ids"] for text in (asked, whole))
    return list(first), list(second)


def _texts(prompt: Text, answer: str, tokenizer: Any) -> tuple[str, str]:
    if isinstance(prompt, str):
        end = tokenizer.eos_token or ""
        return prompt, prompt + answer + ("" if end and answer.endswith(end) else end)
    chat: Sequence[dict[str, str]] = [dict(m) for m in prompt]
    asked = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template([*chat, {"role": "assistant", "content": answer}], tokenize=False)
    return str(asked), str(whole)


def _shared(a: Sequence[int], b: Sequence[int]) -> int:
    """Tokens that the two begin with alike."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _shown_pair(pair: Pair, tokenizer: Any) -> dict[str, str]:
    asked, chosen = _texts(pair.prompt, pair.chosen, tokenizer)
    _, rejected = _texts(pair.prompt, pair.rejected, tokenizer)
    return {"prompt": asked, "chosen": _behind(asked, chosen), "rejected": _behind(asked, rejected)}


def _shown_opinion(one: LabeledCompletion, tokenizer: Any) -> dict[str, str]:
    asked, whole = _texts(one.prompt, one.completion, tokenizer)
    return {"prompt": asked, "good" if one.good else "bad": _behind(asked, whole)}


def _behind(asked: str, whole: str) -> str:
    return whole[len(asked) :] if whole.startswith(asked) else whole
