"""Tokens/s of Assay's generators against what people write without them, on the same model, prompts and sampling.

    python -m benchmarks.generation [--models pocket,shallow] [--n 1,20] [--rounds 5] [--problems 24] [--json FILE]

Arms, in turns and in rotating order, with one round of warm-up dropped:

- `generate`: transformers' `model.generate`, a loop over prompts with `num_return_sequences=n`, as most write it;
- `generate batched`: the same with as many prompts at once, left-padded and sorted by length, as fill our batch;
- `assay`: our transformers backend with its default batch, on the very model object of the two above;
- `llama.cpp`: llama-cpp-python's `Llama` on the F16 GGUF, n completions of each prompt one after another;
- `assay gguf`: our llama.cpp backend on the same file.

Counted are tokens of answers, up to and with the one that ends each; what an arm computes behind an answer's end, or
for padding, is its own loss. All sample at temperature 0.8 with nothing filtered. `pocket` is asked its dev problems
and ends its answers itself; `shallow` is the tiny tier's architecture with few layers at random weights, asked random
tokens of HumanEval's lengths, and never ends one. CPU seconds are the process's own, all threads, and hold on a busy
machine; wall seconds need a quiet one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assay.harness.generation import Request, Sampling, load_generator
from assay.harness.generation.load import MeasuredGenerator
from assay.harness.models.resolve import resolve_model
from assay.suites import load_suite
from assay.suites.model import chat_messages
from assay.trainers import Artifact

TEMPERATURE = 0.8
BATCH = 64  # load_generator's default
CHARACTERS_PER_TOKEN = 3.3  # of Python source under Qwen2.5's tokenizer, about
BASELINE = {"generate": "generate", "generate batched": "generate", "assay": "generate"}
BASELINE |= {"llama.cpp": "llama.cpp", "assay gguf": "llama.cpp"}


@dataclass(frozen=True, slots=True)
class Subject:
    """A model, its F16 GGUF, and what it is asked: prompts, and the same as token ids."""

    name: str
    model: Artifact
    gguf: Artifact
    prompts: tuple[str, ...]
    ids: tuple[tuple[int, ...], ...]
    max_new_tokens: int


@dataclass(frozen=True, slots=True)
class Run:
    """One arm over all prompts, once. `tokens` are those of answers, `texts` the answers' count."""

    arm: str
    n: int
    tokens: int
    answers: int
    wall_s: float
    cpu_s: float

    @property
    def wall_rate(self) -> float:
        return self.tokens / self.wall_s

    @property
    def cpu_rate(self) -> float:
        return self.tokens / self.cpu_s


Arm = Callable[[int, int], tuple[int, int]]  # (n, seed) -> (tokens, answers)


@contextmanager
def arms_of(subject: Subject, threads: int, dtype: str) -> Iterator[dict[str, Arm]]:
    """Every way of asking this subject, over one model in memory for torch and one for each use of llama.cpp."""
    from llama_cpp import Llama

    ours = load_generator(subject.model, batch_size=BATCH, threads=threads, device="cpu", dtype=dtype)
    ours_gguf = load_generator(subject.gguf, batch_size=BATCH, threads=threads, device="cpu")
    room = max(map(len, subject.ids)) + subject.max_new_tokens
    bare = Llama(
        str(subject.gguf.path), n_ctx=room, n_threads=threads, n_threads_batch=threads, verbose=False
    )
    model = ours.engine.model  # type: ignore[attr-defined]  # the very object: no second copy, no other dtype
    print(f"{subject.name}: {ours.backend}; {ours_gguf.backend}; {threads} threads", flush=True)
    try:
        yield {
            "generate": lambda n, seed: bare_generate(model, subject, n, seed, 1),
            "generate batched": lambda n, seed: bare_generate(model, subject, n, seed, max(1, BATCH // n)),
            "assay": lambda n, seed: assay(ours, subject, n, seed),
            "llama.cpp": lambda n, seed: bare_llama(bare, subject, n, seed),
            "assay gguf": lambda n, seed: assay(ours_gguf, subject, n, seed),
        }
    finally:
        bare.close()
        ours_gguf.close()
        ours.close()


def bare_generate(model: Any, subject: Subject, n: int, seed: int, at_once: int) -> tuple[int, int]:
    import torch

    torch.manual_seed(seed)
    tokens = 0
    ordered = sorted(subject.ids, key=len)
    ends = model.generation_config.eos_token_id
    ends = set(ends if isinstance(ends, list) else [ends])
    for begin in range(0, len(ordered), at_once):
        prompts = ordered[begin : begin + at_once]
        width = max(map(len, prompts))
        ids = torch.tensor([[0] * (width - len(p)) + list(p) for p in prompts])
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
        out = model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=True,
            temperature=TEMPERATURE,
            top_k=0,
            top_p=1.0,
            num_return_sequences=n,
            max_new_tokens=subject.max_new_tokens,
            pad_token_id=model.generation_config.pad_token_id or 0,
        )
        tokens += sum(_until_end(row, ends) for row in out[:, width:].tolist())
    return tokens, n * len(ordered)


def _until_end(row: Sequence[int], ends: set[int]) -> int:
    """Tokens up to and with the first end."""
    return next((i + 1 for i, token in enumerate(row) if token in ends), len(row))


def assay(generator: MeasuredGenerator, subject: Subject, n: int, seed: int) -> tuple[int, int]:
    asked = [
        Request(f"p/{p}", i, prompt, (seed << 20) + p * n + i)
        for p, prompt in enumerate(subject.prompts)
        for i in range(n)
    ]
    sampling = Sampling(temperature=TEMPERATURE, max_new_tokens=subject.max_new_tokens)
    samples = list(generator.generate(asked, sampling))
    return sum(len(s.token_ids) + (s.end_id is not None) for s in samples), len(samples)


def bare_llama(llama: Any, subject: Subject, n: int, seed: int) -> tuple[int, int]:
    tokens = 0
    for p, ids in enumerate(subject.ids):
        for i in range(n):
            answer = llama.create_completion(
                list(ids),
                max_tokens=subject.max_new_tokens,
                temperature=TEMPERATURE,
                top_k=0,
                top_p=1.0,
                min_p=0.0,
                repeat_penalty=1.0,
                seed=(seed * 1000 + p * n + i) & 0x7FFFFFFF,
            )
            tokens += answer["usage"]["completion_tokens"] + (answer["choices"][0]["finish_reason"] == "stop")
    return tokens, n * len(subject.ids)


def pocket(folder: Path, problems: int) -> Subject:
    from assay.trainers.gguf import export_gguf
    from assay.trainers.templates import load_tokenizer

    model = resolve_model("pocket")

    tokenizer = load_tokenizer(model)
    prompts = [
        str(tokenizer.apply_chat_template(chat_messages(p), tokenize=False, add_generation_prompt=True))
        for p in load_suite("pocket", split="dev", limit=problems).problems
    ]
    ids = [tuple(tokenizer(p, add_special_tokens=False)["input_ids"]) for p in prompts]
    return Subject(
        "pocket", model, export_gguf(model, folder / "pocket.gguf"), tuple(prompts), tuple(ids), 128
    )


def shallow(folder: Path, problems: int, layers: int, new_tokens: int) -> Subject:
    """The tiny tier's architecture with `layers` layers, random weights, and a tokenizer small enough to train here,
    the rest of whose vocabulary is padding."""
    from assay.harness.profiling.measure.random_weights import random_model
    from assay.harness.profiling.memory import published_config
    from assay.trainers.artifact import identify
    from assay.trainers.gguf import export_gguf
    from assay.trainers.pocket.pretrain import train_tokenizer

    suite = load_suite("humaneval")
    texts = [p.prompt for p in suite.problems]
    tokenizer = train_tokenizer(texts, 1024)
    config = published_config("tiny") | {"num_hidden_layers": layers}
    end = tokenizer.eos_token_id
    model = random_model(
        config | {"eos_token_id": end, "bos_token_id": None}, device="cpu", dtype="auto", seed=0
    )
    model.save_pretrained(str(folder / "shallow"))
    tokenizer.save_pretrained(str(folder / "shallow"))
    del model
    artifact = identify(folder / "shallow")
    ids = []
    for problem in suite.problems[:problems]:
        wanted = round(len(problem.prompt) / CHARACTERS_PER_TOKEN)
        ids.append(tuple(tokenizer(problem.prompt, add_special_tokens=False)["input_ids"][:wanted]))
    prompts = [tokenizer.decode(i) for i in ids]
    gguf = export_gguf(artifact, folder / "shallow.gguf")
    return Subject("shallow", artifact, gguf, tuple(prompts), tuple(ids), new_tokens)


def measure(arm: str, ask: Arm, n: int, seed: int) -> Run:
    wall, cpu = time.perf_counter(), time.process_time()
    tokens, answers = ask(n, seed)
    return Run(arm, n, tokens, answers, time.perf_counter() - wall, time.process_time() - cpu)


def rounds_of(arms: dict[str, Arm], n: int, rounds: int) -> list[list[Run]]:
    """Each round runs every arm once, beginning with another one; the first round warms up and is left out."""
    found = []
    names = list(arms)
    for number in range(rounds + 1):
        turn = number % len(names)
        runs = {name: measure(name, arms[name], n, number) for name in names[turn:] + names[:turn]}
        if number:
            found.append([runs[name] for name in names])
    return found


def report(subject: str, n: int, rounds: Sequence[Sequence[Run]]) -> None:
    print(f"\n{subject}, n = {n}: {len(rounds)} rounds; load {os.getloadavg()[0]:.1f}")
    head = f"{'arm':<18} {'answers':>7} {'tokens':>7} {'tok/s wall':>11} {'tok/s CPU':>10}"
    print(f"{head}  times as fast as the loop (median, range)")
    at = {run.arm: i for i, run in enumerate(rounds[0])}
    for arm, i in at.items():
        runs = [r[i] for r in rounds]
        against = at.get(BASELINE[arm])
        loop = runs if against is None else [r[against] for r in rounds]
        wall_ratios = [r.wall_rate / b.wall_rate for r, b in zip(runs, loop, strict=True)]
        cpus = [r.cpu_rate / b.cpu_rate for r, b in zip(runs, loop, strict=True)]
        print(
            f"{arm:<18} {runs[0].answers:>7} {statistics.median(r.tokens for r in runs):>7,.0f} "
            f"{statistics.median(r.wall_rate for r in runs):>11,.0f} "
            f"{statistics.median(r.cpu_rate for r in runs):>10,.0f}  "
            + ("" if against is None else f"wall {_spread(wall_ratios)}, CPU {_spread(cpus)}"),
            flush=True,
        )


def _spread(ratios: Sequence[float]) -> str:
    ordered = sorted(ratios)
    return f"{statistics.median(ordered):.2f} ({ordered[0]:.2f}-{ordered[-1]:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="pocket,shallow")
    parser.add_argument("--n", default="1,20")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--problems", type=int, default=24, help="of pocket")
    parser.add_argument("--shallow-problems", type=int, default=6)
    parser.add_argument("--layers", type=int, default=4, help="of shallow")
    parser.add_argument("--new-tokens", type=int, default=64, help="of each answer of shallow")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--dtype", default="auto", help="of transformers; auto is the stored one, bf16 in both"
    )
    parser.add_argument("--arms", default=",".join(BASELINE))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    kept: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="generation-") as name:
        for wanted in options.models.split(","):
            if wanted == "pocket":
                subject = pocket(Path(name), options.problems)
            else:
                subject = shallow(Path(name), options.shallow_problems, options.layers, options.new_tokens)
            lengths = sorted(map(len, subject.ids))
            print(f"{subject.name}: {len(lengths)} prompts of {lengths[0]}-{lengths[-1]} tokens", flush=True)
            with arms_of(subject, options.threads, options.dtype) as arms:
                arms = {k: v for k, v in arms.items() if k in options.arms.split(",")}
                for n in map(int, options.n.split(",")):
                    rounds = rounds_of(arms, n, options.rounds)
                    report(subject.name, n, rounds)
                    kept[f"{subject.name}, n={n}"] = [[asdict(run) for run in r] for r in rounds]
    if options.json:
        options.json.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
