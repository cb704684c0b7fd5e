"""The links as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from assay.harness.equivalence.chain import Link
from assay.harness.equivalence.weights import Weights

if TYPE_CHECKING:
    from rich.console import RenderableType

_STYLE = {"equivalent": "green", "better": "green", "worse": "red", "undecided": "yellow"}
_MOST = 3  # tensors named apart


def render_links(links: Sequence[Link]) -> RenderableType:
    """One line a link, and below it why, with the tensors that differ most."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("link", overflow="fold")
    table.add_column("verdict")
    for name in (
        "token ids",
        "mean KL",
        "99 % KL",
        "top-1",
        "perplexity",
        "greedy",
        "weights",
        "pass@1, points",
    ):
        table.add_column(name, justify="right")
    for link in links:
        table.add_row(
            f"{link.a} → {link.b}", Text(link.verdict, style=_STYLE[link.verdict]), *(_figures(link))
        )
    notes = [Text(line, style="dim") for link in links for line in _notes(link)]
    return Group(table, *notes)


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
    lines += [f"  {part} unmeasured: {why}" for part, why in link.unmeasured.items()]
    return lines


def weight_lines(weights: Weights) -> list[str]:
    """The tensors that differ most, what other storage types lost, and what could not be read."""
    lines, r = [], weights.rounding
    worst = sorted((t for t in weights.tensors if t.relative > 0), key=lambda t: -t.relative)[:_MOST]
    if worst:
        shown = (f"{t.name} {t.rmse:.2g} ({t.relative:.2%}, {t.type_a} → {t.type_b})" for t in worst)
        lines.append(f"tensors that differ most, RMSE (of their own RMS): {', '.join(shown)}")
    if r is not None:
        lines.append(
            f"rounding, {r.tensors} tensors: RMSE {r.rmse_mean:.2g} on average ({r.relative_mean:.2%} of their own "
            f"RMS), the worst {r.worst}, {r.rmse_worst:.2g} ({r.relative_worst:.2%})"
        )
    if weights.unmeasured:
        name, why = next(iter(weights.unmeasured.items()))
        lines.append(f"{len(weights.unmeasured)} tensors unmeasured, as {name}: {why}")
    return lines
