"""Measuring the links of a chain, each model loaded once for all of its links that follow each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

from assay.harness.equivalence.measures import Distribution, PassRate, compare_logits, summarise
from assay.harness.equivalence.states import base_state_of, state_of
from assay.harness.equivalence.structure import (
    compare_structure,
    compare_token_types,
    structure_of,
    token_types_of,
)
from assay.harness.equivalence.tokens import Passage, Tokens, compare_tokens, render
from assay.harness.equivalence.weights import Weights, compare_weights, weights_from_json
from assay.harness.generation import load_generator
from assay.harness.generation.load import MeasuredGenerator
from assay.harness.generation.types import Request, Sampling
from assay.trainers.artifact import Artifact, ArtifactKind
from assay.trainers.errors import ExportError

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


# One link of a chain: everything measured between two models, and what follows from it.

LinkVerdict = Literal["equivalent", "better", "worse", "undecided"]
# Two implementations of one model differ by rounding: llama.cpp keeps keys and values in F16. Beyond this mean KL, in
# nats a token, the weights are other weights; below it, the distance in total variation of the two next-token
# distributions is under 0.7 % on average (Pinsker's inequality). No single token may be far off either. Top-1 agreement
# is no criterion: where two tokens are as good as tied, rounding turns them.
SAME_KL = 1e-4
SAME_KL_MAX = 0.05


@dataclass(frozen=True, slots=True)
class Greedy:
    """Greedy continuations: of `prompts`, how many are identical token by token, and the mean share of the longer one
    that both have in common from the start."""

    prompts: int
    identical: int
    common: float


@dataclass(frozen=True, slots=True)
class Link:
    """The second model `b` held against the first, `a`. A part that could not be measured is None, and `unmeasured`
    says why."""

    a: str
    b: str
    tokens: Tokens
    structure: tuple[str, ...]
    weights: Weights | None
    distribution: Distribution | None
    greedy: Greedy | None
    pass_rate: PassRate | None
    unmeasured: dict[str, str]

    @property
    def faults(self) -> tuple[str, ...]:
        """What proves that the second is not the first, whatever it scores."""
        return (*self.tokens.faults, *self.structure, *(self.weights.faults if self.weights else ()))

    @property
    def same(self) -> bool:
        """Whether both answer alike to within rounding."""
        d = self.distribution
        return d is not None and d.kl_mean <= SAME_KL and d.kl_max <= SAME_KL_MAX

    @property
    def verdict(self) -> LinkVerdict:
        return self.decided[0]

    @property
    def reason(self) -> str:
        return self.decided[1]

    @property
    def decided(self) -> tuple[LinkVerdict, str]:
        """A fault is worse whatever the scores: it may show on other problems. Without one, alike to within rounding
        is equivalent, and everything else is decided by pass@1 or not at all."""
        rate = self.pass_rate
        if self.faults:
            return "worse", self.faults[0]
        if rate is not None and rate.verdict == "worse":
            return "worse", rate.words
        if self.same:
            return "equivalent", "the same next-token distributions to within rounding"
        if rate is not None:
            return rate.verdict, rate.words
        return "undecided", "the distributions differ by more than rounding, and pass@1 was not measured"

    def to_json(self) -> dict[str, Any]:
        """For a program, and for `link_from_json`, which reads all of it but what follows from the rest."""
        return {
            "a": self.a,
            "b": self.b,
            "verdict": self.verdict,
            "reason": self.reason,
            "faults": list(self.faults),
            "structure": list(self.structure),
            "tokens": self.tokens.to_json(),
            "weights": self.weights.to_json() if self.weights else None,
            "distribution": self.distribution.to_json() if self.distribution else None,
            "greedy": asdict(self.greedy) if self.greedy else None,
            "pass@1": self.pass_rate.to_json() if self.pass_rate else None,
            "unmeasured": self.unmeasured,
        }


def link_from_json(values: dict[str, Any], pass_rate: PassRate | None) -> Link:
    """The link that `to_json` wrote, with pass@1 as it is known now."""
    weights, distribution, greedy = (values[key] for key in ("weights", "distribution", "greedy"))
    unmeasured = {k: v for k, v in values["unmeasured"].items() if k != "pass@1" or pass_rate is None}
    tokens = values["tokens"]
    return Link(
        a=values["a"],
        b=values["b"],
        tokens=Tokens(tokens["texts"], tokens["equal"], tuple(tokens["faults"])),
        structure=tuple(values["structure"]),
        weights=None if weights is None else weights_from_json(weights),
        distribution=None if distribution is None else Distribution(**distribution),
        greedy=None if greedy is None else Greedy(**greedy),
        pass_rate=pass_rate,
        unmeasured=unmeasured,
    )
