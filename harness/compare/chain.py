"""Measuring the links of a chain, each model loaded once for all of its links that follow each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from harness.compare.corpus import Passage
from harness.compare.link import Greedy, Link
from harness.compare.measures import Distribution, compare_logits, summarise
from harness.compare.passrate import PassRate
from harness.compare.states import base_state_of, state_of
from harness.compare.structure import (
    compare_structure,
    compare_token_types,
    structure_of,
    token_types_of,
)
from harness.compare.tokens import compare_tokens, render
from harness.compare.weights import Weights, compare_weights
from harness.generation import load_generator
from harness.generation.load import MeasuredGenerator
from harness.generation.model import Request, Sampling
from trainers.artifact import Artifact, ArtifactKind
from trainers.errors import ExportError

OnStage = Callable[[str], None]
GREEDY_TOKENS = 64
MOST_TOKENS = 2048  # of a text: its logits are kept whole, once for each model


def compare_links(
    models: Mapping[str, Artifact],
    passages: Sequence[Passage],
    *,
    pass_rates: Mapping[tuple[str, str], PassRate] | None = None,
    threads: int | None = None,
    greedy_tokens: int = GREEDY_TOKENS,
    on_stage: OnStage = lambda stage: None,
) -> list[Link]:
    """Each model held against the one before it, on `passages`, in fp32 arithmetic."""
    links = []
    names = list(models)
    loaded: tuple[str, MeasuredGenerator] | None = None
    try:
        for a, b in pairwise(names):
            on_stage(f"{a} → {b}: loading")
            first = loaded[1] if loaded and loaded[0] == a else _load(models[a], threads)
            second = _load(models[b], threads)
            try:
                rate = (pass_rates or {}).get((a, b))
                links.append(
                    _link(a, b, models[a], models[b], first, second, passages, rate, greedy_tokens, on_stage)
                )
            finally:
                first.close()
            loaded = (b, second)
    finally:
        if loaded:
            loaded[1].close()
    return links


def _load(artifact: Artifact, threads: int | None) -> MeasuredGenerator:
    dtype = "auto" if artifact.kind is ArtifactKind.GGUF else "fp32"
    return load_generator(artifact, batch_size=32, threads=threads, device="cpu", dtype=dtype)


def _link(
    a: str,
    b: str,
    model_a: Artifact,
    model_b: Artifact,
    first: MeasuredGenerator,
    second: MeasuredGenerator,
    passages: Sequence[Passage],
    rate: PassRate | None,
    greedy_tokens: int,
    on_stage: OnStage,
) -> Link:
    unmeasured: dict[str, str] = {}
    on_stage(f"{a} → {b}: tokens")
    tokens = compare_tokens(first, second, passages)
    on_stage(f"{a} → {b}: weights")
    structure, weights = _inside(model_a, model_b, unmeasured)
    on_stage(f"{a} → {b}: distributions")
    distribution = _distribution(first, second, passages, unmeasured)
    on_stage(f"{a} → {b}: greedy continuations")
    greedy = _greedy(first, second, passages, greedy_tokens)
    if rate is None:
        unmeasured["pass@1"] = "no suite was given to run"
    return Link(a, b, tokens, structure, weights, distribution, greedy, rate, unmeasured)


def _inside(a: Artifact, b: Artifact, unmeasured: dict[str, str]) -> tuple[tuple[str, ...], Weights | None]:
    try:
        structure = compare_structure(structure_of(a), structure_of(b))
        structure += compare_token_types(token_types_of(a), token_types_of(b))
        learned = b.kind in (ArtifactKind.ADAPTER, ArtifactKind.TUNED)
        return tuple(structure), compare_weights(state_of(a), state_of(b), base_state_of(a), learned=learned)
    except ExportError as error:
        unmeasured["weights"] = str(error)
        return (), None


def _distribution(
    first: MeasuredGenerator,
    second: MeasuredGenerator,
    passages: Sequence[Passage],
    unmeasured: dict[str, str],
) -> Distribution | None:
    """Both read the first one's token ids: how they cut text is a question of its own."""
    room = min(first.engine.context, second.engine.context, MOST_TOKENS)
    limit = min(first.vocabulary, second.vocabulary)
    figures = []
    for passage in passages:
        ids = first.encode(render(passage, first))[:room]
        if len(ids) < 2 or max(ids) >= limit:
            continue
        figures.append(compare_logits(first.engine.logits(ids), second.engine.logits(ids), ids))
    if not figures:
        unmeasured["distribution"] = "no text of the corpus has two tokens that both models know"
        return None
    return summarise(figures)


def _greedy(
    first: MeasuredGenerator, second: MeasuredGenerator, passages: Sequence[Passage], tokens: int
) -> Greedy:
    """From the first half of each text, or a chat's question, as each model reads it itself."""
    prompts = list(dict.fromkeys(p for p in (_prompt(passage, first) for passage in passages) if p))
    sampling = Sampling(max_new_tokens=tokens)
    answers = []
    for generator in (first, second):
        requests = [Request(str(i), 0, prompt, 0) for i, prompt in enumerate(prompts)]
        answers.append({s.problem_id: s.token_ids for s in generator.generate(requests, sampling)})
    pairs = [(answers[0][str(i)], answers[1][str(i)]) for i in range(len(prompts))]
    return Greedy(
        prompts=len(pairs),
        identical=sum(x == y for x, y in pairs),
        common=sum(_common(x, y) for x, y in pairs) / len(pairs) if pairs else 0.0,
    )


def _prompt(passage: Passage, generator: MeasuredGenerator) -> str:
    if passage.messages:
        return render(Passage("", passage.messages), generator)
    lines = passage.text.splitlines(keepends=True)
    return "".join(lines[: max(1, len(lines) // 2)])


def _common(x: tuple[int, ...], y: tuple[int, ...]) -> float:
    if x == y:
        return 1.0
    same = next((i for i, (p, q) in enumerate(zip(x, y, strict=False)) if p != q), min(len(x), len(y)))
    return same / max(len(x), len(y))
