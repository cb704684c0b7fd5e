"""Templates against the text that their owners publish, byte for byte, and the tokens that are trained on."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.trainers import TrainingError
from assay.trainers.data import Message, TrainingRecord
from assay.trainers.data.encode import IGNORED, encode, render
from assay.trainers.templates import NAMES, choose_template

pytestmark = pytest.mark.train

# Marks of the published tokenizers: (BOS, EOS, others); Llama 3 begins every text with its BOS by itself.
MARKS: dict[str, tuple[str | None, str, tuple[str, ...]]] = {
    "alpaca": ("<s>", "</s>", ()),
    "chatml": (None, "<|endoftext|>", ("<|im_start|>", "<|im_end|>")),
    "phi3": ("<s>", "<|endoftext|>", ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")),
    "llama3": ("<|begin_of_text|>", "<|end_of_text|>", ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")),
}  # fmt: skip
ADDS_BOS = {"alpaca", "llama3"}
OFFICIAL = {"chatml": "qwen2_5", "phi3": "phi3", "llama3": "llama3"}

DIALOGUE = (
    Message("system", "Be brief."),
    Message("user", "Add 1 to x."),
    Message("assistant", "    x + 1"),
    Message("user", "And 2? é"),
    Message("assistant", "x + 2\n"),
)
SINGLE = (Message("user", "Add 1 to x."), Message("assistant", "x + 1"))

GOLDEN = {
    "chatml": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nAdd 1 to x.<|im_end|>\n"
    "<|im_start|>assistant\n    x + 1<|im_end|>\n<|im_start|>user\nAnd 2? é<|im_end|>\n"
    "<|im_start|>assistant\nx + 2\n<|im_end|>\n",
    "phi3": "<|system|>\nBe brief.<|end|>\n<|user|>\nAdd 1 to x.<|end|>\n<|assistant|>\n    x + 1<|end|>\n"
    "<|user|>\nAnd 2? é<|end|>\n<|assistant|>\nx + 2\n<|end|>\n<|endoftext|>",
    "llama3": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nAdd 1 to x.<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nx + 1<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nAnd 2? é<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nx + 2<|eot_id|>",
}
QWEN_SYSTEM = (
    "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
)
# What is trained on in DIALOGUE, the last answer alone being the completion.
TRAINED = {
    "chatml": ["    x + 1<|im_end|>", "x + 2\n<|im_end|>"],
    "phi3": ["    x + 1<|end|>", "x + 2\n<|end|>", "<|endoftext|>"],
    "llama3": ["x + 1<|eot_id|>", "x + 2<|eot_id|>"],
}
COMPLETION = {name: "".join(spans[1:]) for name, spans in TRAINED.items()}


@cache
def tokenizer_of(name: str) -> Any:
    """A small byte-level tokenizer with the special tokens of the family `name`, and its habit of adding a BOS."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bos, eos, others = MARKS[name]
    specials = [t for t in (bos, eos, *others) if t is not None]
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(["Add 1 to x. x + 1 system user assistant"] * 9, trainer)
    if name in ADDS_BOS:
        core.post_processor = processors.TemplateProcessing(
            single=f"{bos}:0 $A:0", special_tokens=[(bos, core.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token=bos, eos_token=eos, pad_token=eos)


def official(name: str) -> str:
    import trl

    return (Path(trl.__file__).parent / "chat_templates" / f"{OFFICIAL[name]}.jinja").read_text()


def record(*messages: Message) -> TrainingRecord:
    return TrainingRecord(messages, "here")


def text_of(name: str, *messages: Message) -> str:
    tokenizer = tokenizer_of(name)
    return render(record(*messages), tokenizer, choose_template(tokenizer, name))[0]


@pytest.mark.parametrize("name", GOLDEN)
def test_the_text_is_the_published_one(name: str) -> None:
    assert text_of(name, *DIALOGUE) == GOLDEN[name]
    if name == "chatml":
        assert text_of(name, *SINGLE).startswith(QWEN_SYSTEM + "<|im_start|>user\n")


TURNS = st.lists(st.text(max_size=20), min_size=1, max_size=6)


@pytest.mark.parametrize("name", OFFICIAL)
@settings(max_examples=40, deadline=None)
@given(system=st.none() | st.text(max_size=20), texts=TURNS, ask=st.booleans())
def test_any_chat_renders_as_the_published_template_does(
    name: str, system: str | None, texts: list[str], ask: bool
) -> None:
    tokenizer = tokenizer_of(name)
    roles = itertools.cycle(["user", "assistant"])
    chat = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
    chat = [*([] if system is None else [{"role": "system", "content": system}]), *chat]
    template = choose_template(tokenizer, name)

    def rendered(source: str) -> str:
        made: str = tokenizer.apply_chat_template(
            chat, tokenize=False, add_generation_prompt=ask, chat_template=source
        )
        return made

    assert rendered(template.source) == rendered(template.saved) == rendered(official(name))
    assert "generation" not in template.saved.replace("add_generation_prompt", "")


STANFORD = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\nAdd 1 to x.\n\n### Response:"
)
STANFORD_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:"
)


def test_alpaca_is_stanfords_text_with_and_without_an_input() -> None:
    """PROMPT_DICT and targets of tatsu-lab/stanford_alpaca, train.py; its tokenizer puts a BOS before the text."""
    assert text_of("alpaca", *SINGLE) == f"<s>{STANFORD}x + 1</s>"
    given_input = (Message("user", "Add.", "1 2"), Message("assistant", "3"))
    assert text_of("alpaca", *given_input) == f"<s>{STANFORD_INPUT}3</s>"
    ruled = (Message("system", "Answer in code."), *SINGLE)
    assert (
        text_of("alpaca", *ruled)
        == "<s>Answer in code.\n\n### Instruction:\nAdd 1 to x.\n\n### Response:x + 1</s>"
    )
    with pytest.raises(
        TrainingError, match=r"here: template 'alpaca' refuses this chat: .*not a conversation"
    ):
        text_of("alpaca", *DIALOGUE)


def test_what_asks_is_the_beginning_of_what_answers() -> None:
    """What a trained model is asked with is what it was trained after, in the template that is saved."""
    for name in NAMES:
        tokenizer = tokenizer_of(name)
        template = choose_template(tokenizer, name)
        chat = record(*SINGLE).as_dicts()
        asked = tokenizer.apply_chat_template(
            chat[:1], tokenize=False, add_generation_prompt=True, chat_template=template.saved
        )
        whole, spans = render(record(*SINGLE), tokenizer, template)
        assert whole[: spans[0][0]] == asked, name


def trained_text(name: str, messages: tuple[Message, ...], loss: Any, source: str | None = None) -> list[str]:
    """The runs of consecutive trained tokens, decoded."""
    tokenizer = tokenizer_of(name)
    template = choose_template(tokenizer, name)
    if source is not None:
        tokenizer = type(tokenizer)(
            tokenizer_object=tokenizer.backend_tokenizer, **tokenizer.special_tokens_map
        )
        tokenizer.chat_template = source
        template = choose_template(tokenizer, "auto")
        assert (template.native, template.marked) == (True, False)
    made = encode([record(*messages)], tokenizer, template, loss)
    assert all(
        label in (IGNORED, token) for token, label in zip(made.input_ids[0], made.labels[0], strict=True)
    )
    runs = itertools.groupby(made.labels[0], lambda label: label != IGNORED)
    return [tokenizer.decode(list(run)) for trained, run in runs if trained]


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("name", TRAINED)
def test_labels_are_the_answers_and_their_ends(name: str, native: bool) -> None:
    """By our template's markers, and in the published template, which has none, by what is asked and answered."""
    source = official(name) if native else None
    found = trained_text(name, DIALOGUE, "assistant", source)
    if native and name == "phi3":  # the line's end between the two closing tokens goes with them
        assert found == ["    x + 1<|end|>", "x + 2\n<|end|>\n<|endoftext|>"]
        return
    assert found == TRAINED[name]
    assert "".join(trained_text(name, DIALOGUE, "completion", source)) == COMPLETION[name]
    assert "".join(trained_text(name, DIALOGUE, "all", source)) == GOLDEN[name]


def test_alpacas_answer_and_end_of_text_are_trained_on() -> None:
    for loss in ("assistant", "completion"):
        assert trained_text("alpaca", SINGLE, loss) == ["x + 1</s>"]


@pytest.mark.parametrize("name", NAMES)
def test_exactly_one_bos(name: str) -> None:
    """Held against how often the BOS id occurs; a template of a family without a BOS gets none."""
    tokenizer = tokenizer_of(name)
    ids = encode([record(*SINGLE)], tokenizer, choose_template(tokenizer, name), "assistant").input_ids[0]
    if name in ADDS_BOS:
        assert ids[0] == tokenizer.bos_token_id
        assert ids.count(tokenizer.bos_token_id) == 1
    else:
        assert tokenizer.bos_token_id not in ids


def test_a_tokenizers_own_template_is_preferred_and_left_as_it_is() -> None:
    tokenizer = tokenizer_of("chatml")
    own = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, **tokenizer.special_tokens_map)
    own.chat_template = official("chatml")
    chosen = choose_template(own)
    assert (chosen.name, chosen.native, chosen.source) == ("native", True, official("chatml"))
    encode([record(*DIALOGUE)], own, chosen, "assistant")
    assert own.chat_template == official("chatml")


def test_what_the_tokenizer_cannot_hold_is_refused() -> None:
    with pytest.raises(
        TrainingError, match=r"has no chat template of its own; choose one with .*alpaca, chatml"
    ):
        choose_template(tokenizer_of("chatml"))
    with pytest.raises(TrainingError, match=r"'phi3' marks turns with <\|system\|>.*vocabulary lacks"):
        choose_template(tokenizer_of("chatml"), "phi3")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}[assistant] "
         "{% endif %}", "could not learn to stop"),
        ("{% for m in messages %}<|im_start|>{{ m.role }}\n"
         "{% if loop.last and m.role == 'assistant' %}<think>\n{% endif %}{{ m.content }}<|im_end|>\n"
            "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
         "is undecidable"),
    ],
)  # fmt: skip
def test_answers_that_cannot_be_told_apart_are_refused(source: str, says: str) -> None:
    with pytest.raises(TrainingError, match=says):
        trained_text("chatml", DIALOGUE, "assistant", source)
    assert trained_text("chatml", DIALOGUE, "all", source), "without a mask nothing needs telling"
