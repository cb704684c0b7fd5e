"""Compare the models of a chain link by link: everything measured between two models, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter

from assay.harness.equivalence.measures import Distribution, PassRate, compare_logits, summarise
from assay.harness.equivalence.states import base_state_of, state_of, structure_of, token_types_of
from assay.harness.equivalence.tokens import Passage, Tokens, compare_tokens, render
from assay.harness.equivalence.weights import (
    Weights,
    compare_structure,
    compare_token_types,
    compare_weights,
    weight_lines,
)
from assay.harness.generation import load_generator
from assay.harness.generation.load import MeasuredGenerator
from assay.harness.generation.types import Request, Sampling
from assay.trainers.artifact import Artifact, ArtifactKind
from assay.trainers.errors import ExportError

if TYPE_CHECKING:
    from rich.console import RenderableType

OnStage = Callable[[str], None]
LinkVerdict = Literal["equivalent", "better", "worse", "undecided"]
GREEDY_TOKENS = 64
MOST_TOKENS = 2048  # of a text: all of its logits are kept, once for each model
# Two implementations of one model differ by rounding: llama.cpp keeps keys and values in F16. Beyond this mean KL, in
# nats a token, the weights are other weights; below it, the distance in total variation of the two next-token
# distributions is under 0.7 % on average (Pinsker's inequality). No single token may be far off either. Top-1 agreement
# is no criterion: where two tokens are as good as tied, rounding turns them.
SAME_KL = 1e-4
SAME_KL_MAX = 0.05
_STYLE = {"equivalent": "green", "better": "green", "worse": "red", "undecided": "yellow"}
_COLUMNS = ["token ids", "mean KL", "99 % KL", "top-1", "perplexity", "greedy", "weights", "pass@1, points"]


@dataclass(frozen=True, slots=True)
class Greedy:
    """Greedy continuations of `prompts` by two models.

    `identical` of them agree token by token; `common` is the mean share of the longer one that both have in common from
    the start.
    """

    prompts: int
    identical: int
    common: float


@dataclass(frozen=True, slots=True)
class Link:
    """The second model `b` compared with the first, `a`.

    A part that could not be measured is None, and `unmeasured` gives the reason.
    """

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
        """The proofs that the second model is not the first, whatever it scores."""
        return (*self.tokens.faults, *self.structure, *(self.weights.faults if self.weights else ()))

    @property
    def same(self) -> bool:
        """Whether both give the same distributions to within rounding."""
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
        """The verdict and its reason.

        A fault is worse whatever the scores: it may show on other problems. Without a fault, the same distributions to
        within rounding are equivalent, and everything else is decided by pass@1 or not at all.
        """
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
        """Return the link for a program and for `link_from_json`, which reads all but what follows from the rest."""
        values = asdict(self)
        del values["pass_rate"]
        return values | {
            "verdict": self.verdict,
            "reason": self.reason,
            "faults": list(self.faults),
            "weights": self.weights.to_json() if self.weights else None,
            "pass@1": self.pass_rate.to_json() if self.pass_rate else None,
        }


def link_from_json(values: dict[str, Any], pass_rate: PassRate | None) -> Link:
    """Return the link that `to_json` wrote, with pass@1 as it is known now."""
    link = TypeAdapter(Link).validate_python(values | {"pass_rate": pass_rate})
    if pass_rate is not None:
        link.unmeasured.pop("pass@1", None)
    return link


def compare_links(
    models: Mapping[str, Artifact],
    passages: Sequence[Passage],
    *,
    pass_rates: Mapping[tuple[str, str], PassRate] | None = None,
    threads: int | None = None,
    greedy_tokens: int = GREEDY_TOKENS,
    on_stage: OnStage = lambda stage: None,
) -> list[Link]:
    """Compare each model with the one before it on `passages`, in fp32 arithmetic; each is loaded once."""
    links = []
    first: MeasuredGenerator | None = None
    try:
        for a, b in pairwise(models):
            on_stage(f"{a} → {b}: loading")
            first = first or _load(models[a], threads)
            second = _load(models[b], threads)
            try:
                stage = _Stage(a, b, first, second, passages, {}, on_stage)
                links.append(stage.link(models[a], models[b], (pass_rates or {}).get((a, b)), greedy_tokens))
            finally:
                first.close()
                first = second
    finally:
        if first is not None:
            first.close()
    return links


def _load(artifact: Artifact, threads: int | None) -> MeasuredGenerator:
    dtype = "auto" if artifact.kind is ArtifactKind.GGUF else "fp32"
    return load_generator(artifact, batch_size=32, threads=threads, device="cpu", dtype=dtype)


@dataclass(frozen=True, slots=True)
class _Stage:
    """Two loaded models while they are compared."""

    a: str
    b: str
    first: MeasuredGenerator
    second: MeasuredGenerator
    passages: Sequence[Passage]
    unmeasured: dict[str, str]
    on_stage: OnStage

    def link(self, a: Artifact, b: Artifact, rate: PassRate | None, greedy_tokens: int) -> Link:
        self._begin("tokens")
        tokens = compare_tokens(self.first, self.second, self.passages)
        self._begin("weights")
        structure, weights = self._inside(a, b)
        self._begin("distributions")
        distribution = self._distribution()
        self._begin("greedy continuations")
        greedy = self._greedy(greedy_tokens)
        if rate is None:
            self.unmeasured["pass@1"] = "no suite was given to run"
        return Link(self.a, self.b, tokens, structure, weights, distribution, greedy, rate, self.unmeasured)

    def _begin(self, stage: str) -> None:
        self.on_stage(f"{self.a} → {self.b}: {stage}")

    def _inside(self, a: Artifact, b: Artifact) -> tuple[tuple[str, ...], Weights | None]:
        try:
            structure = compare_structure(structure_of(a), structure_of(b))
            structure += compare_token_types(token_types_of(a), token_types_of(b))
            learned = b.kind in (ArtifactKind.ADAPTER, ArtifactKind.TUNED)
            weights = compare_weights(state_of(a), state_of(b), base_state_of(a), learned=learned)
        except ExportError as error:
            self.unmeasured["weights"] = str(error)
            return (), None
        return tuple(structure), weights

    def _distribution(self) -> Distribution | None:
        """Compare what both expect behind the first model's token ids: how each cuts text is compared apart."""
        room = min(self.first.engine.context, self.second.engine.context, MOST_TOKENS)
        limit = min(self.first.vocabulary, self.second.vocabulary)
        figures = []
        for passage in self.passages:
            ids = self.first.encode(render(passage, self.first))[:room]
            if len(ids) >= 2 and max(ids) < limit:
                logits_a, logits_b = self.first.engine.logits(ids), self.second.engine.logits(ids)
                figures.append(compare_logits(logits_a, logits_b, ids))
        if not figures:
            self.unmeasured["distribution"] = "no text of the corpus has two tokens that both models know"
            return None
        return summarise(figures)

    def _greedy(self, tokens: int) -> Greedy:
        """Compare continuations of the first half of each text, or of a chat's question, as each model reads it."""
        prompts = list(dict.fromkeys(p for p in (_prompt(text, self.first) for text in self.passages) if p))
        requests = [Request(str(i), 0, prompt, 0) for i, prompt in enumerate(prompts)]
        answers = [
            {s.problem_id: s.token_ids for s in model.generate(requests, Sampling(max_new_tokens=tokens))}
            for model in (self.first, self.second)
        ]
        pairs = [(answers[0][request.problem_id], answers[1][request.problem_id]) for request in requests]
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


def render_links(links: Sequence[Link]) -> RenderableType:
    """Return a table for a terminal: one line a link, and below it the reasons and the tensors that differ most."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("link", overflow="fold")
    table.add_column("verdict")
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    for link in links:
        verdict = Text(link.verdict, style=_STYLE[link.verdict])
        table.add_row(f"{link.a} → {link.b}", verdict, *_figures(link))
    return Group(table, *(Text(line, style="dim") for link in links for line in _notes(link)))


def _figures(link: Link) -> list[str]:
    d, g, w, r = link.distribution, link.greedy, link.weights, link.pass_rate
    none = "unmeasured"
    return [
        f"{link.tokens.equal}/{link.tokens.texts}",
        none if d is None else f"{d.kl_mean:.2g}",
        none if d is None else f"{d.kl_p99:.2g}",
        none if d is None else f"{d.top1_agreement:.2%}",
        none if d is None else f"{d.perplexity_a:.4g} → {d.perplexity_b:.4g}",
        none if g is None else f"{g.identical}/{g.prompts}",
        none if w is None or w.relative is None else f"{w.relative:.2g}",
        none if r is None else f"{r.comparison.difference * 100:+.1f} (≥ {r.lower * 100:+.1f})",
    ]


def _notes(link: Link) -> list[str]:
    lines = [f"{link.a} → {link.b}: {link.verdict}: {link.reason}"]
    lines += [f"  fault: {fault}" for fault in link.faults]
    if link.pass_rate is not None and link.reason != link.pass_rate.words:
        lines.append(f"  pass@1 {link.pass_rate.verdict}: {link.pass_rate.words}")
    if link.weights is not None:
        scale, error = link.weights.adapter_scale, link.weights.adapter_scale_se
        if scale is not None:
            lines.append(f"  adapter found at {scale:.3f} of its scale, standard error {error:.2g}")
        lines += [f"  {line}" for line in weight_lines(link.weights)]
    return lines + [f"  {part} unmeasured: {reason}" for part, reason in link.unmeasured.items()]
