"""Say what a run showed, in sentences made from its paired tests alone."""

from __future__ import annotations

from collections.abc import Sequence

from assay.harness import formatting
from assay.harness.leaderboard.schema import Difference, Leaderboard, Row, headline
from assay.harness.report import wording

_STANDS = {
    "undecided": ("cannot be told apart from", "cannot be told apart from"),
    "equivalent": ("is equivalent to", "are equivalent to"),
    "worse": ("solves fewer than", "solve fewer than"),
    "better": ("solves more than", "solve more than"),
}


def _evidence(board: Leaderboard, d: Difference) -> str:
    parts = []
    if d.low is not None and d.high is not None:
        ends = (d.low, d.high) if (d.difference or 0) >= 0 else (-d.high, -d.low)
        low, high = (formatting.points(end).removeprefix("+") for end in ends)
        parts.append(f"{wording.confidence(board)} interval {low} to {high}")
    if d.p is not None:
        parts.append(formatting.p_clause(d.p))
    if d.p_adjusted is not None and d.p_adjusted != d.p:
        parts.append(f"adjusted for all claims {formatting.p_clause(d.p_adjusted)}")
    return f" ({', '.join(parts)})" if parts else ""


def _against_reference(board: Leaderboard, row: Row) -> str:
    d = row.vs_reference
    assert d is not None
    assert d.difference is not None
    direction = "more" if d.difference >= 0 else "fewer"
    return (
        f"{row.variant} solves {abs(d.difference) * 100:.1f} points {direction} than {board.reference}"
        f"{_evidence(board, d)}"
    )


def _each_or_all(board: Leaderboard, rows: Sequence[Row], direction: str) -> list[str]:
    """Name up to two variants each with its figures, and more of them by name alone."""
    if len(rows) <= 2:
        return [_against_reference(board, row) for row in rows]
    names = formatting.enumerate_names([row.variant for row in rows])
    return [f"{names} each solve {direction} than {board.reference}"]


def _leader_clauses(board: Leaderboard, leader: Row, others: Sequence[Row]) -> list[str]:
    """Say how the other variants stand to the leader, one clause for each kind of finding."""
    groups: dict[str, list[str]] = {verdict: [] for verdict in _STANDS}
    apart: list[Row] = []
    for row in others:
        d = board.comparison(row.variant, leader.variant)
        if d is not None and d.verdict is not None:
            groups[d.verdict].append(row.variant)
        elif row.vs_reference is not None and row.vs_reference.verdict == "better":
            apart.append(row)
    clauses = _each_or_all(board, apart, "more")
    return clauses + [c for verdict, names in groups.items() for c in _clause(verdict, names, leader.variant)]


def _clause(verdict: str, names: Sequence[str], other: str) -> list[str]:
    """Say how variants with one verdict stand to another variant; nothing where there are none."""
    if not names:
        return []
    one, several = _STANDS[verdict]
    return [f"{formatting.enumerate_names(names)} {one if len(names) == 1 else several} {other}"]


def verdict(board: Leaderboard) -> str:
    """Say what the run showed, in one sentence made from its paired tests alone.

    A variant is said to differ only where its comparison's verdict says so; a higher figure by itself earns
    no mention. Among variants that share the best rank the one made first leads the sentence, since no test
    says that a higher figure is more than luck.
    """
    if board.withdrawn:
        return board.withdrawn
    reference = board.row(board.reference)
    others = [row for row in board.ranked if row.variant != board.reference]
    if not others:
        return _alone(board, reference)
    by_verdict: dict[str, list[Row]] = {verdict: [] for verdict in _STANDS}
    for row in others:
        if (d := row.vs_reference) is not None and d.difference is not None and d.verdict is not None:
            by_verdict[d.verdict].append(row)
    if by_verdict["better"]:
        leader = by_verdict["better"][0]
        rest = [row for row in others if row is not leader and row not in by_verdict["worse"]]
        clauses = [_against_reference(board, leader), *_leader_clauses(board, leader, rest)]
    else:
        clauses = [
            clause
            for v in ("undecided", "equivalent")
            for clause in _clause(v, [row.variant for row in by_verdict[v]], board.reference)
        ]
    clauses += _each_or_all(board, by_verdict["worse"], "fewer")
    if not clauses:
        return f"No variant was compared with {board.reference}; the differences are {formatting.UNMEASURED}."
    return "; ".join(clauses) + "."


def _alone(board: Leaderboard, row: Row) -> str:
    k = board.headline_k
    estimate = headline(row, k)
    if estimate.value is None:
        reason = wording.why_unmeasured(row, f"pass@{k}", estimate.reason)
        return f"pass@{k or 'k'} of {row.variant} is {formatting.UNMEASURED}: {reason}."
    interval = ""
    if span := formatting.span(estimate.low, estimate.high, formatting.percent):
        interval = f" ({wording.confidence(board)} interval {span.replace(formatting.DASH, ' to ')})"
    tries = "at the first try" if k == 1 else f"within {k} tries"
    n = wording.of_problems(board, estimate.n)
    problems = f"problems measured ({n})" if " of " in n else "problems"
    solves = (
        f"{row.variant} solves {formatting.percent(estimate.value)} % of the {problems} {tries}{interval}"
    )
    return f"{solves}; nothing to compare it with."


def setting(board: Leaderboard) -> str:
    """Describe the run in one line: problems, samples, decoding, variants."""
    suite, sampling = board.suite, board.sampling
    split = f" ({suite.split})" if suite.split else ""
    n = suite.n_problems
    measured = wording.of_problems(board, n and n - len(suite.unmeasured))
    parts = [suite.name if n is None else f"{measured} problems of {suite.name}{split}"]
    if sampling.get("samples") is not None:
        many = sampling["samples"]
        parts.append(f"{many} sample{'' if many == 1 else 's'} a problem")
    if sampling.get("temperature") is not None:
        t = sampling["temperature"]
        parts.append("greedy decoding" if t == 0 else f"temperature {t:g}")
    parts.append(f"{len(board.rows)} variant{'' if len(board.rows) == 1 else 's'}")
    return ", ".join(parts)
