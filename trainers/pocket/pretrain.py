"""Pre-train the pocket model from scratch: `python -m assay.trainers.pocket.pretrain [--recipe FILE] --out DIR`.

Writes a transformers folder in bf16 with its tokenizer and PROVENANCE.json.

The corpus holds training problems with bodies that are wrong about a third of the time. Code on the web is not all
right, and some mistakes are commoner than the truth. So here: each operation has a rate at which its slip is written
instead (`habits`, else `stray`). Where that rate is above one half, the greedy answer of a well-trained model is the
mistake while sampling still finds the truth. That leaves room for fine-tuning, preferences and rewards to show what
they do. The tokenizer is a byte-level BPE with Qwen2's pre-tokenisation and ChatML turns.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from assay.suites.pocket.operations import Atom, chance
from assay.suites.pocket.problems import tasks

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

FOLDER = Path(__file__).parent
BATCHES_A_CHUNK = 32
Row = tuple[list[int], list[float]]

END_OF_TEXT, START_OF_TURN, END_OF_TURN = SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

# Loading a folder of model_type qwen2, transformers imposes this expression whatever was saved; a tokenizer
# trained with another one would split differently after loading. Source: Qwen2Tokenizer in transformers.
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# The generation markers mark assistant tokens for TRL; the assistant's end of turn is among them.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}"
    "{% else %}{{ message['content'] + '<|im_end|>\\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


class Recipe(BaseModel):
    """The settings that decide the weights; `recipe.toml` is the shipped one and explains the fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    steps: int = Field(ge=1)
    batch: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    warmup: int = Field(ge=0)
    decay_from: float = Field(ge=0, le=1)
    final_rate: float = Field(ge=0, le=1)
    weight_decay: float = Field(ge=0)
    prompt_weight: float = Field(ge=0, le=1)
    chat_share: float = Field(ge=0, le=1)
    stray: float = Field(ge=0, le=1)
    habits: dict[str, float]
    vocabulary: int
    tokenizer_documents: int = 20_000
    hidden: int
    layers: int
    feed_forward: int
    heads: int
    key_value_heads: int
    embedding_std: float
    threads: int


def read_recipe(path: Path = FOLDER / "recipe.toml") -> Recipe:
    """Read a recipe file; by default the one of the shipped model."""
    return Recipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))


class Document(NamedTuple):
    """A text to learn from: `prompt` is context, `body` is learned, the token that ends it included."""

    prompt: str
    body: str
    wrong: bool


def documents(
    seed: int, habits: Mapping[str, float], stray: float, chat_share: float, render: tuple[str, str]
) -> Iterator[Document]:
    """Yield documents of the train split without end.

    An operation of key K is written wrongly with probability `habits[K]`, or `stray`. A share `chat_share` is
    rendered as a chat: `render` is what stands before and after the user's message; the rest are bare functions.
    """
    rng = random.Random(f"corpus-{seed}")

    def choose(a: Atom) -> str:
        return a.slip if chance(rng, habits.get(a.key, stray)) else a.code

    for task in tasks("train", seed):
        body = task.body(choose)
        wrong = body != task.body()
        if chance(rng, chat_share):
            yield Document(render[0] + task.instruction + render[1], body.rstrip("\n") + "<|im_end|>", wrong)
        else:
            yield Document(task.prompt, body + "<|endoftext|>", wrong)


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE of at most `vocabulary` tokens, fewer where `texts` have no more pairs to merge."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.normalizer = normalizers.NFC()
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=END_OF_TURN,
        pad_token=END_OF_TEXT,
        additional_special_tokens=[START_OF_TURN],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _corpus(recipe: Recipe) -> Iterator[Document]:
    render = ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n")
    return documents(recipe.seed, recipe.habits, recipe.stray, recipe.chat_share, render)


def _batches(recipe: Recipe, tokenizer: PreTrainedTokenizerFast, seen: Progress) -> Iterator[list[Row]]:
    """Yield batches of token ids with loss weights; documents of like length go together to save padding."""
    rng = random.Random(recipe.seed)
    corpus = _corpus(recipe)
    while True:
        chunk = list(islice(corpus, BATCHES_A_CHUNK * recipe.batch))
        seen.documents += len(chunk)
        seen.wrong += sum(d.wrong for d in chunk)
        prompts = tokenizer([d.prompt for d in chunk], add_special_tokens=False)["input_ids"]
        bodies = tokenizer([d.body for d in chunk], add_special_tokens=False)["input_ids"]
        rows = [
            (p + b, [recipe.prompt_weight] * len(p) + [1.0] * len(b))
            for p, b in zip(prompts, bodies, strict=True)
        ]
        rows.sort(key=lambda row: len(row[0]))
        starts = list(range(0, len(rows), recipe.batch))
        rng.shuffle(starts)
        for start in starts:
            yield rows[start : start + recipe.batch]


def _tensors(rows: list[Row], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and weights (batch, longest row to a multiple of 8), padded on the right with weight 0."""
    import torch

    width = math.ceil(max(len(ids) for ids, _ in rows) / 8) * 8
    ids = torch.full((len(rows), width), pad)
    weights = torch.zeros((len(rows), width))
    for i, (row, weight) in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        weights[i, : len(row)] = torch.tensor(weight)
    return ids, weights


def build_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> Qwen2ForCausalLM:
    """Return an untrained Qwen2. Wide untied embeddings: tied narrow ones never learnt to copy digits."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    end_of_text, end_of_turn = tokenizer.convert_tokens_to_ids([END_OF_TEXT, END_OF_TURN])
    config = Qwen2Config(
        vocab_size=math.ceil(len(tokenizer) / 64) * 64,
        hidden_size=recipe.hidden,
        intermediate_size=recipe.feed_forward,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.key_value_heads,
        max_position_embeddings=1024,
        tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        rms_norm_eps=1e-6,
        bos_token_id=None,
        eos_token_id=end_of_turn,
        pad_token_id=end_of_text,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = Qwen2ForCausalLM(config)
        torch.nn.init.normal_(model.model.embed_tokens.weight, std=recipe.embedding_std)
    model.generation_config.eos_token_id = [end_of_turn, end_of_text]
    model.generation_config.pad_token_id = end_of_text
    return model


def rate_at(recipe: Recipe, step: int) -> float:
    """Return the learning rate: linear warm-up, constant, then linear decay to `final_rate` (warmup-stable-decay)."""
    rise = min(1.0, (step + 1) / max(1, recipe.warmup))
    done = step / recipe.steps
    if done <= recipe.decay_from:
        return recipe.learning_rate * rise
    return recipe.learning_rate * max(recipe.final_rate, (1 - done) / (1 - recipe.decay_from)) * rise


@dataclass
class Progress:
    """The course of training so far. `curve` holds (step, mean loss per body token since the last entry), in nats."""

    tokens: int = 0
    documents: int = 0
    wrong: int = 0
    curve: list[tuple[int, float]] = field(default_factory=list)
    recent: list[float] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def report(self, step: int, steps: int) -> None:
        """Close a stretch of the curve and print it to stderr."""
        self.curve.append((step, round(sum(self.recent) / len(self.recent), 4)))
        self.recent.clear()
        print(
            f"step {step}/{steps}  body loss {self.curve[-1][1]:.4f}  {self.tokens / 1e6:.2f} Mtok"
            f"  {self.tokens / self.seconds:.0f} tok/s  {self.seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )


def _optimizer(recipe: Recipe, model: Any) -> Any:
    """Return AdamW that decays matrices only."""
    import torch

    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.95), fused=True)


def _losses(model: Any, ids: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Return the weighted loss to descend, and the plain mean over body tokens to report."""
    import torch
    from torch.nn import functional as F

    with torch.autocast("cpu", torch.bfloat16):
        logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    each = F.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none")
    weight = weights[:, 1:].flatten()
    return (each * weight).sum() / weight.sum(), each.detach()[weight == 1].mean().item()


def train(
    recipe: Recipe, log_every: int = 50
) -> tuple[Qwen2ForCausalLM, PreTrainedTokenizerFast, dict[str, Any]]:
    """Train; return the model in fp32, its tokenizer, and the figures: tokens, documents, loss curve, seconds."""
    import torch

    torch.set_num_threads(recipe.threads)
    sample = islice(_corpus(recipe), recipe.tokenizer_documents)
    tokenizer = train_tokenizer((d.prompt + d.body for d in sample), recipe.vocabulary)
    model = build_model(recipe, tokenizer)
    optimizer = _optimizer(recipe, model)
    seen = Progress()
    stream = _batches(recipe, tokenizer, seen)
    model.train()
    for step in range(recipe.steps):
        rows = next(stream)
        for group in optimizer.param_groups:
            group["lr"] = rate_at(recipe, step)
        loss, body_loss = _losses(model, *_tensors(rows, model.config.pad_token_id))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seen.tokens += sum(len(row) for row, _ in rows)
        seen.recent.append(body_loss)
        if (step + 1) % log_every == 0 or step + 1 == recipe.steps:
            seen.report(step + 1, recipe.steps)
    facts = {
        "tokens": seen.tokens,
        "seconds": round(seen.seconds, 1),
        "documents": seen.documents,
        "wrong_share": round(seen.wrong / seen.documents, 4),
        "parameters": sum(p.numel() for p in model.parameters()),
        "loss_curve": seen.curve,
    }
    return model, tokenizer, facts


def save(out: Path, recipe: Recipe, model: Any, tokenizer: Any, facts: dict[str, Any]) -> None:
    """Write bf16 weights, tokenizer and PROVENANCE.json into `out`, which must not exist yet or be empty."""
    import tokenizers
    import torch
    import transformers

    out.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)
    files = sorted(p for p in out.iterdir() if p.is_file() and p.name != "PROVENANCE.json")
    provenance = {
        "command": "python -m assay.trainers.pocket.pretrain --out DIR",
        "recipe": recipe.model_dump(),
        **facts,
        "versions": {
            "python": sys.version.split()[0],
            **{library.__name__: library.__version__ for library in (torch, transformers, tokenizers)},
        },
        "sha256": {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files},
    }
    (out / "PROVENANCE.json").write_text(json.dumps(provenance, indent=1) + "\n")


def main(argv: list[str] | None = None) -> None:
    """Pre-train by the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=Path, default=FOLDER / "recipe.toml")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    if args.out.exists() and any(args.out.iterdir()):
        parser.error(f"{args.out} is not empty; name a new folder")
    recipe = read_recipe(args.recipe)
    model, tokenizer, facts = train(recipe)
    save(args.out, recipe, model, tokenizer, facts)


if __name__ == "__main__":
    main()
