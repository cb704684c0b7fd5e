"""A reward model's drawings as inline SVG: how its margins are spread, and whether its confidence can be believed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.report import plot, svg, words
from harness.report.rewards import Bar, Bin
from harness.report.text import escape

SURE = svg.Scale(0.5, 1.0, (0.5, 0.6, 0.7, 0.8, 0.9, 1.0))
_RADIUS = 11.0  # of a dot that stands for all pairs


def histogram(bars: Sequence[Bar], label: str) -> str:
    """Pairs by margin, at least one bar; what lies left of the dashed line at 0 was preferred the wrong way round."""
    ys = svg.scale_for([float(bar.pairs) for bar in bars], include=(0.0,))
    ys = svg.Scale(0.0, ys.high, tuple(t for t in ys.ticks if t >= 0 and t == int(t)))
    xs = svg.scale_for([v for bar in bars for v in (bar.low, bar.high)], include=(0.0,), max_ticks=6)
    x, y = plot.along(xs), plot.upwards(ys)
    parts = plot.axes(ys, plot.tick_labels(xs.ticks), x, "margin, preferred minus other", "pairs")
    for bar in bars:
        said = f"{bar.pairs} pairs with a margin of {bar.low:.3g} to {bar.high:.3g}".replace("-", words.MINUS)
        wide, high = max(0.5, x(bar.high) - x(bar.low) - 1), y(0) - y(bar.pairs)
        where = f'x="{x(bar.low) + 0.5:.1f}" y="{y(bar.pairs):.1f}" width="{wide:.1f}" height="{high:.1f}"'
        parts.append(f'<g class="column"><title>{escape(said)}</title><rect {where}/></g>')
    parts.append(f'<line class="mark" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="{plot.TOP}" y2="{y(0):.1f}"/>')
    return plot.framed(parts, label)


def reliability(bins: Sequence[Bin], label: str) -> str:
    """How often the model is right against how sure it is, a dot a bin, its area the bin's pairs; a model that can be
    believed lies on the dashed line."""
    ys = svg.Scale(-0.03, 1.05, (0.0, 0.25, 0.5, 0.75, 1.0))
    x, y = plot.along(SURE), plot.upwards(ys)
    percent = svg.Scale(ys.low * 100, ys.high * 100, tuple(t * 100 for t in ys.ticks))
    ticks = {t: f"{t * 100:g}" for t in SURE.ticks}
    parts = plot.axes(percent, ticks, x, "how sure the model is, %", "% right")
    parts.append(f'<line class="mark" x1="{x(0.5):.1f}" y1="{y(0.5):.1f}" x2="{x(1):.1f}" y2="{y(1):.1f}"/>')
    total = sum(b.pairs for b in bins)
    for b in bins:
        if b.confidence is None or b.accuracy is None:
            continue
        said = f"{b.pairs} pairs: {b.confidence:.0%} sure, {b.accuracy:.0%} right"
        radius = max(2.0, _RADIUS * math.sqrt(b.pairs / total))
        where = f'cx="{x(b.confidence):.1f}" cy="{y(b.accuracy):.1f}" r="{radius:.1f}"'
        parts.append(f'<g class="bin"><title>{escape(said)}</title><circle {where}/></g>')
    return plot.framed(parts, label)
