"""Format figures as text: one format a quantity, the same in reports, tables and messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"
UNMEASURED = "unmeasured"
GIVEN = "given"
Show = Callable[[float], str]


def percent(value: float) -> str:
    """Return a fraction as percent with one decimal and no sign: 0.512 → 51.2."""
    return f"{value * 100:.1f}"


def points(value: float) -> str:
    """Return a difference of fractions in percentage points, always signed: 0.123 → +12.3."""
    text = f"{abs(value) * 100:.1f}"
    if float(text) == 0:
        return text
    return ("+" if value > 0 else MINUS) + text


def tick(value: float, *, signed: bool) -> str:
    """Return an axis label in percent or points, as short as it can be."""
    text = f"{abs(value) * 100:g}"
    if not signed or float(text) == 0:
        return text if value >= 0 else MINUS + text
    return ("+" if value > 0 else MINUS) + text


def p_value(p: float) -> str:
    """Return a p-value as papers print it; below 0.001 only that it is below."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def p_clause(p: float) -> str:
    """Return a p-value as a sentence has it: p = 0.012, p < 0.001."""
    return f"p {p_value(p)}" if p < 0.001 else f"p = {p_value(p)}"


def seconds(value: float) -> str:
    """Return a duration in two figures that matter: 850 ms, 9.8 s, 61 s, 4 min 05 s, 2 h 10 min."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 10:
        return f"{value:.1f} s"
    if value < 120:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(value: float) -> str:
    """Return bytes in binary units, three significant figures."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1000 or unit == "GiB":
            break
        value /= 1024
    if unit == "B":
        return f"{value:.0f} B"
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f} {unit}"


def rate(value: float) -> str:
    """Return tokens a second, with thousands separated by a thin space."""
    text = f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
    return text.replace(",", "\N{NARROW NO-BREAK SPACE}")


def count(value: float) -> str:
    """Return a number of things, rounded, with thousands separated by a thin space."""
    return f"{round(value):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def general(value: float, digits: int = 4) -> str:
    """Return a number of any magnitude with at most `digits` significant digits."""
    return f"{value:.{digits}g}".replace("-", MINUS)


def span(low: float | None, high: float | None, show: Show) -> str:
    """Return an interval, 38.1–45.2 or −1.0 to +3.2; nothing where one of its ends is unknown."""
    if low is None or high is None:
        return ""
    return f"{show(low)}{' to ' if show is points else DASH}{show(high)}"


def enumerate_names(names: Sequence[str]) -> str:
    """Return names as a sentence has them: `a`, `a and b`, `a, b and c`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def day(created: str) -> str:
    """Return the date of an ISO time stamp for people; a stamp that cannot be read is returned as it is."""
    try:
        at = datetime.fromisoformat(created)
    except ValueError:
        return created
    return f"{at.day} {at:%B %Y}"
