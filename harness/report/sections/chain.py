"""Build the tables of where an artifact comes from: is it the same model, and did its training set hold the test?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from assay.harness import formatting
from assay.harness.leaderboard.schema import Contamination, Leaderboard, LinkRow, OverlapMethod
from assay.harness.report.blocks import Block, Cell, Column, figure, tabulate

_LINKS_NOTE = (
    "Each artifact held against the one it was made from. KL is that of the first's next-token distribution from the "
    "second's, in nats a token, on the suite's solved problems; top-1: the share of tokens where both rank the same "
    "one first; perplexity: on the same tokens; greedy alike: prompts answered with identical tokens; weights: the "
    "difference over the norm of all tensors; rounding: root mean square error of the tensors that are stored in "
    "another type, over their own root mean square, mean and worst tensor. Equivalent: alike to within rounding, or "
    "not inferior on pass@1 by more than the margin; worse: a fault was found, or pass@1 is lower; undecided: neither "
    "is shown."
)
_WORST = 3


def links(board: Leaderboard) -> list[Block]:
    """Return the comparison of each artifact with what it was made from; nothing where none was made."""

    def of(part: str, show: Callable[[Any], str]) -> Callable[[LinkRow], Cell]:
        def cell(link: LinkRow) -> Cell:
            values = getattr(link, part)
            reason = link.unmeasured.get(part.replace("pass_at_1", "pass@1"), "")
            return Cell(formatting.UNMEASURED, reason=reason) if values is None else Cell(show(values))

        return cell

    columns: list[Column[LinkRow]] = [
        Column("link", lambda link: f"{link.a} → {link.b}", "l", names_row=True),
        Column("verdict", lambda link: Cell(link.verdict, css=f"v-{link.verdict}"), "l"),
        Column("token ids", of("tokens", lambda t: f"{t['equal']} of {t['texts']}")),
        Column("mean KL", of("distribution", lambda d: f"{d['kl_mean']:.2g}")),
        Column("99 % KL", of("distribution", lambda d: f"{d['kl_p99']:.2g}")),
        Column("top-1", of("distribution", lambda d: f"{formatting.percent(d['top1_agreement'])} %")),
        Column(
            "perplexity", of("distribution", lambda d: f"{d['perplexity_a']:.4g} → {d['perplexity_b']:.4g}")
        ),
        Column("greedy alike", of("greedy", lambda g: f"{g['identical']} of {g['prompts']}")),
        Column("weights", _weights),
        Column("rounding", _rounding),
        Column("pass@1", of("pass_at_1", _pass_at_1), unit="points"),
        Column("because", lambda link: "; ".join(link.faults) or link.reason, "l"),
    ]
    return [tabulate(columns, board.links, name="links", note=_LINKS_NOTE)] if board.links else []


def _pass_at_1(rate: dict[str, Any]) -> str:
    difference, lower = (formatting.points(v) for v in (rate["comparison"]["difference"], rate["lower"]))
    return f"{difference} (at least {lower})"


def _weights(link: LinkRow) -> Cell:
    weights = link.weights
    if weights is None or weights["relative"] is None:
        return Cell(formatting.UNMEASURED, reason=link.unmeasured.get("weights", ""))
    unread = weights.get("unmeasured")
    return Cell(f"{weights['relative']:.2g}" + (f", {len(unread)} tensors unmeasured" if unread else ""))


def _rounding(link: LinkRow) -> Cell:
    """Return the error of the tensors that are stored in another type; earlier versions did not measure it."""
    weights = link.weights or {}
    if weights.get("relative") is None or "rounding" not in weights:
        return Cell(formatting.UNMEASURED, reason=link.unmeasured.get("weights", ""))
    rounding = weights["rounding"]
    if rounding is None:
        return Cell(formatting.DASH)
    return Cell(f"{rounding['relative_mean']:.2%}, worst {rounding['relative_worst']:.2%}")


def overlap(board: Leaderboard) -> list[Block]:
    """Return what training sets have in common with the suite, a row for each kind of n-gram."""
    items = [
        (variant, overlap, name, method)
        for variant, overlap in board.contamination.items()
        for name, method in overlap.methods.items()
    ]

    def worst(method: OverlapMethod) -> str:
        shares = (f"{w['task_id']} {formatting.percent(w['share'])} %" for w in method.worst[:_WORST])
        return ", ".join(shares) or formatting.DASH

    columns: list[Column[tuple[str, Contamination, str, OverlapMethod]]] = [
        Column("trained variant", lambda item: item[0], "l", names_row=True),
        Column("training texts", lambda item: formatting.count(item[1].n_texts)),
        Column("n-grams", lambda item: item[2], "l"),
        Column("problems flagged", lambda item: f"{formatting.count(item[3].n_flagged)} of "
               f"{formatting.count(item[1].n_problems)}"),
        Column("mean overlap", lambda item: figure(item[3].mean, formatting.percent), unit="%"),
        Column("worst", lambda item: worst(item[3]), "l"),
        Column("duplicates", lambda item: formatting.count(item[1].n_duplicates)),
    ]  # fmt: skip
    files = ", ".join(sorted({overlap.file for overlap in board.contamination.values() if overlap.file}))
    note = (
        "How much of each problem stands in the text that a variant was trained on; the definitions below say what it "
        f"means.{f' Every overlap is in {files}.' if files else ''}"
    )
    return [tabulate(columns, items, name="overlap", note=note)] if items else []
