"""Encode chats as token ids and labels: which tokens are trained on is decided here, token by token.

TRL takes the result (`input_ids` and `labels`, -100 where nothing is learned) and cuts, packs and batches it. Left to
find the assistant's tokens by itself, it would put a template of its own in the place of one without generation
markers, and refuse a template that it does not know.
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
_AMBIGUOUS = (
    "this model's own chat template renders an answer differently from what it asks for, or once other turns follow, "
    f"so which tokens are the assistant's is undecidable; {_CHOICE}"
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
        """Count the chats that a cut at `max_length` tokens shortens."""
        return sum(len(ids) > max_length for ids in self.input_ids)

    def unanswered(self, max_length: int) -> int:
        """Count the chats with nothing left to learn from after that cut; TRL leaves them out of an unpacked run."""
        return sum(all(label == IGNORED for label in labels[:max_length]) for labels in self.labels)

    @property
    def tokens(self) -> int:
        return sum(map(len, self.input_ids))


def encode(records: Sequence[TrainingRecord], tokenizer: Any, template: Template, loss: Loss) -> Encoded:
    """Render and tokenise each chat once; a token is trained on when any of its characters is in a trained span.

    `assistant` trains on every assistant turn with the token that ends it, `completion` on the last one only, `all`
    on the whole text. Raises TrainingError where a chat does not fit the template or its spans are ambiguous.
    """
    texts, spans = [], []
    for record in records:
        text, answers = render(record, tokenizer, template, spans=loss != "all")
        texts.append(text)
        spans.append(_chosen(answers, text, record, loss))
    if not tokenizer.is_fast:
        raise TrainingError(
            "this tokenizer does not give its tokens' offsets in the text; a fast one is needed (tokenizer.json)"
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
    """Return (the chat as text, with `spans` the character spans that the assistant wrote, its ends of turns included).

    Raises TrainingError where the template refuses the chat.
    """
    from jinja2.exceptions import TemplateError

    messages = _messages(record, template)
    try:
        text, marked = _rendered(messages, tokenizer, template, return_assistant_tokens_mask=template.marked)
        if not spans:
            return text, []
        if template.marked:
            return text, [(begin, end) for begin, end in marked]
        return text, _assistant_spans(messages, text, tokenizer, template)
    except TemplateError as error:
        raise TrainingError(
            f"{record.source}: template {template.name!r} refuses this chat: {error}"
        ) from error


def _messages(record: TrainingRecord, template: Template) -> list[dict[str, str]]:
    if template.name != "alpaca":
        return record.as_dicts()
    return [{"role": m.role, "content": m.content, "input": m.input} for m in record.messages]


def _assistant_spans(
    messages: list[dict[str, str]], text: str, tokenizer: Any, template: Template
) -> list[Span]:
    """Return the assistant's spans in a template without markers.

    A span begins after the text that asks for an answer and goes through the token that ends it; after the last answer,
    through everything that ends the conversation.

    Raises TrainingError where the template renders a turn differently once others follow, or ends an answer in
    plain text, which no model would learn to stop at.
    """
    special = "|".join(re.escape(t.content) for t in tokenizer.added_tokens_decoder.values())
    spans = []
    for i, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        request, _ = _rendered(messages[:i], tokenizer, template, add_generation_prompt=True)
        answer = message["content"].strip()
        rest = text[len(request) :] if text.startswith(request) else None
        if rest is None or not rest.lstrip().startswith(answer):
            raise TrainingError(_AMBIGUOUS)
        begin = len(request)
        end = begin + len(rest) - len(rest.lstrip()) + len(answer)
        last = i + 1 == len(messages)
        closing = (
            re.compile(rf"(?:\s*(?:{special})){'+' if last else ''}").match(text, end) if special else None
        )
        if closing is None:
            raise TrainingError(_ENDLESS)
        spans.append((begin, closing.end()))
    return spans


def _rendered(
    messages: list[dict[str, str]], tokenizer: Any, template: Template, **options: bool
) -> tuple[str, Any]:
    """Return (the messages as text, the spans that the template marks in it, where `options` ask for them)."""
    from transformers.utils.chat_template_utils import render_jinja_template

    texts, marked = render_jinja_template(
        [messages], chat_template=template.source, **options, **tokenizer.special_tokens_map
    )
    return str(texts[0]), marked[0] if marked else None


def _chosen(spans: list[Span], text: str, record: TrainingRecord, loss: Loss) -> list[Span]:
    if loss == "all":
        return [(0, len(text))]
    answers = sum(m.role == "assistant" for m in record.messages)
    # A template may mark the end of the conversation by itself, after the last answer.
    return spans[answers - 1 :] if loss == "completion" else spans


def _labels(ids: list[int], offsets: Sequence[Span], spans: list[Span]) -> list[int]:
    """Return the ids inside `spans`, which are sorted and disjoint, and IGNORED elsewhere. A token without characters
    (some tokenizers' markers) counts where it begins."""
    ends = [end for _, end in spans]
    labels = []
    for token, (begin, end) in zip(ids, offsets, strict=True):
        i = bisect_left(ends, begin + 1)
        inside = i < len(spans) and spans[i][0] < max(end, begin + 1)
        labels.append(token if inside else IGNORED)
    return labels
