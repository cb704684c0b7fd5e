"""The chain: is each artifact still the one it was made from?"""

from __future__ import annotations

from typing import Any

from assay.harness import formatting
from assay.harness.leaderboard.schema import Leaderboard, LinkRow
from assay.harness.report.wording import escape

HEAD = (
    "link",
    "verdict",
    "token ids",
    "mean KL",
    "99 % KL",
    "top-1",
    "perplexity",
    "greedy alike",
    "weights",
    "rounding",
    "pass@1, points",
    "because",
)
NOTE = (
    "Each artifact held against the one it was made from. KL is that of the first's next-token distribution from the "
    "second's, in nats a token, on the suite's solved problems; top-1: the share of tokens where both rank the same "
    "one first; perplexity: on the same tokens; greedy alike: prompts answered with identical tokens; weights: the "
    "difference over the norm of all tensors; rounding: root mean square error of the tensors that are stored in "
    "another type, over their own root mean square, mean and worst tensor. Equivalent: alike to within rounding, or "
    "not inferior on pass@1 by more than the margin; worse: a fault was found, or pass@1 is lower; undecided: neither "
    "is shown."
)


def section(board: Leaderboard) -> str:
    """The table for the page; empty where no link was measured."""
    if not board.links:
        return ""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in HEAD)
    body = "".join(
        f'<tr><th scope="row">{escape(cells[0])}</th><td class="v-{escape(link.verdict)}">{escape(link.verdict)}</td>'
        + "".join(f'<td class="num">{escape(cell)}</td>' for cell in cells[2:-1])
        + f"<td>{escape(cells[-1])}</td></tr>"
        for link, cells in ((link, figures(link)) for link in board.links)
    )
    return (
        f'<p class="note" id="about-links">{escape(NOTE)}</p>'
        '<div class="scroll"><table class="plain" aria-describedby="about-links">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def figures(link: LinkRow) -> list[str]:
    """A link's cells, in the order of HEAD."""
    d, g, w, r = link.distribution, link.greedy, link.weights, link.pass_at_1
    none = formatting.UNMEASURED
    because = "; ".join(link.faults) or link.reason
    return [
        f"{link.a} → {link.b}",
        link.verdict,
        f"{link.tokens['equal']} of {link.tokens['texts']}",
        none if d is None else f"{d['kl_mean']:.2g}",
        none if d is None else f"{d['kl_p99']:.2g}",
        none if d is None else f"{formatting.percent(d['top1_agreement'])} %",
        none if d is None else f"{d['perplexity_a']:.4g} → {d['perplexity_b']:.4g}",
        none if g is None else f"{g['identical']} of {g['prompts']}",
        _moved(w),
        _rounding(w),
        none
        if r is None
        else f"{formatting.points(r['comparison']['difference'])} (at least {formatting.points(r['lower'])})",
        because,
    ]


def _moved(weights: dict[str, Any] | None) -> str:
    if weights is None or weights["relative"] is None:
        return formatting.UNMEASURED
    unread = weights.get("unmeasured")
    return f"{weights['relative']:.2g}" + (f", {len(unread)} tensors unmeasured" if unread else "")


def _rounding(weights: dict[str, Any] | None) -> str:
    if (
        weights is None or "rounding" not in weights or weights["relative"] is None
    ):  # or of an earlier version
        return formatting.UNMEASURED
    r = weights["rounding"]
    return "–" if r is None else f"{r['relative_mean']:.2%}, worst {r['relative_worst']:.2%}"
