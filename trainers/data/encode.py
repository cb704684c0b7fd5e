"""From chats to token ids and labels: which tokens are trained on is decided here, token by token.

TRL is given what comes out (`input_ids` and `labels`, -100 where nothing is learned) and left to cut, pack and batch
it. Left to find the assistant's tokens by itself, it would put a template of its own in the place of one without
generation markers, and refuse a template that it does not know.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from assay.trainers.data import TrainingRecord
from assay.trainers.errors import TrainingError
from assay.trainers.templates import Template

IGNORED = -100
Loss = Literal["all", "assistant", "completion"]
Span = tuple[int, int]

_CHOICE = 'choose another with template = "NAME", or train on every token with assistant_only_loss = false'
_UNTOLD = (
    "this model's own chat template renders an answer differently from what it asks for, or once other turns follow, "
    f"so which tokens are the assistant's cannot be told; {_CHOICE}"
)
_ENDLESS = (
    "this model's own chat template ends an answer without a special token, so the model could not learn to stop; "
    f"{_CHOICE}"
)


@dataclass(frozen=True, slots=True)
class Encoded:
    """One row a chat, in order: token ids and labels of the same length (-100 where no loss is taken)."""

    input_ids: list[list[int]]
    labels: list[list[int]]

    def longer_than(self, max_length: int) -> int:
        """How many chats a cut at `max_length` tokens shortens."""
        return sum(len(ids) > max_length for ids in self.input_ids)

    def unanswered(self, max_length: int) -> int:
        """How many chats have nothing left to learn from after that cut; TRL leaves them out of an unpacked run."""
        return sum(all(label == IGNORED for label in labels[:max_length]) for labels in self.labels)

    @property
    def tokens(self) -> int:
        return sum(map(len, self.input_ids))


def encode(records: Sequence[TrainingRecord], tokenizer: Any, template: Template, loss: Loss) -> Encoded:
    """Render and tokenise each chat once; a token is trained on when any of its characters is in a trained span.

    `assistant` trains on every assistant turn with the token that ends it, `completion` on the last one only, `all`
    on the whole text. Raises TrainingError where a chat does not fit the template or its spans cannot be told.
    """
    texts, spans = [], []
    for record in records:
        text, found = render(record, tokenizer, template, spans=loss != "all")
        texts.append(text)
        spans.append(_chosen(found, text, record, loss))
    if not tokenizer.is_fast:
        raise TrainingError(
            "this tokenizer does not say where its tokens lie in the text; a fast one is needed"
        )
    encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True) if texts else {}
    rows = encoded["input_ids"] if texts else []
    labels = [
        _labels(ids, offsets, trained)
        for ids, offsets, trained in zip(rows, encoded.get("offset_mapping", []), spans, strict=True)
    ]
    return Encoded(list(rows), labels)


def render(
    record: TrainingRecord, tokenizer: Any, template: Template, *, spans: bool = True
) -> tuple[str, list[Span]]:
    """(the chat as text, the character spans that the assistant wrote with its ends of turns, if `spans` asks)."""
    from jinja2.exceptions import TemplateError
    from transformers.utils.chat_template_utils import render_jinja_template

    messages = _messages(record, template)
    try:
        texts, marked = render_jinja_template(
            [messages],
            chat_template=template.source,
            return_assistant_tokens_mask=template.marked,
            **tokenizer.special_tokens_map,
        )
        if not spans:
            return texts[0], []
        if template.marked:
            return texts[0], [(begin, end) for begin, end in marked[0]]
        return texts[0], _found(messages, texts[0], tokenizer, template)
    except TemplateError as error:
        raise TrainingError(
            f"{record.source}: template {template.name!r} refuses this chat: {error}"
        ) from error


def _messages(record: TrainingRecord, template: Template) -> list[dict[str, str]]:
    if template.name != "alpaca":
        return record.as_dicts()
    return [{"role": m.role, "content": m.content, "input": m.input} for m in record.messages]


def _found(messages: list[dict[str, str]], text: str, tokenizer: Any, template: Template) -> list[Span]:
    """The assistant's spans in a template without markers: from the text that asks for an answer through the token
    that ends it; after the last answer, through everything that ends the conversation.

    Raises TrainingError where the template renders a turn differently once others follow, or ends an answer in
    plain text, which no model would learn to stop at.
    """
    special = "|".join(re.escape(t.content) for t in tokenizer.added_tokens_decoder.values())
    spans = []
    for i, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        asked = _asking(messages[:i], tokenizer, template)
        answer = message["content"].strip()
        rest = text[len(asked) :] if text.startswith(asked) else None
        if rest is None or not rest.lstrip().startswith(answer):
            raise TrainingError(_UNTOLD)
        begin = len(asked)
        end = begin + len(rest) - len(rest.lstrip()) + len(answer)
        last = i + 1 == len(messages)
        closing = (
            re.compile(rf"(?:\s*(?:{special})){'+' if last else ''}").match(text, end) if special else None
        )
        if closing is None:
            raise TrainingError(_ENDLESS)
        spans.append((begin, closing.end()))
    return spans


def _asking(messages: list[dict[str, str]], tokenizer: Any, template: Template) -> str:
    """The text that asks for the next answer."""
    from transformers.utils.chat_template_utils import render_jinja_template

    texts, _ = render_jinja_template(
        [messages],
        chat_template=template.source,
        add_generation_prompt=True,
        **tokenizer.special_tokens_map,
    )
    return str(texts[0])


def _chosen(spans: list[Span], text: str, record: TrainingRecord, loss: Loss) -> list[Span]:
    if loss == "all":
        return [(0, len(text))]
    answers = sum(m.role == "assistant" for m in record.messages)
    # A template may mark the end of the conversation by itself, after the last answer.
    return spans[answers - 1 :] if loss == "completion" else spans


def _labels(ids: list[int], offsets: Sequence[Span], spans: list[Span]) -> list[int]:
    """`spans` are sorted and apart. A token of no characters (some tokenizers' markers) is where it begins."""
    ends = [end for _, end in spans]
    labels = []
    for token, (begin, end) in zip(ids, offsets, strict=True):
        i = bisect_left(ends, begin + 1)
        inside = i < len(spans) and spans[i][0] < max(end, begin + 1)
        labels.append(token if inside else IGNORED)
    return labels
