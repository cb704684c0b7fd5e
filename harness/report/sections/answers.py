"""What answers were paid: some of each training's last update, with every component of the reward."""

from __future__ import annotations

from assay.harness import formatting
from assay.harness.leaderboard.schema import Leaderboard, PaidAnswer, PaidAnswers
from assay.harness.report.blocks import plain_table
from assay.harness.report.wording import escape

NOTE = (
    "Of each rewarded training's last update some answers, evenly spaced from the best paid to the worst. A component "
    "is shown as it was paid, times its weight, so that a row adds up to its reward (before KL is charged); of an "
    "answer that reached for what judges it, only the penalties count."
)
_HELD = {True: "passed", False: "failed", None: formatting.DASH}


def head(found: PaidAnswers) -> list[str]:
    parts = [f"{name} × {weight:g}" for name, weight in found.weights.items()]
    return ["problem", "verdict", "held-out checks", *parts, "reward", "remark"]


def align(found: PaidAnswers) -> str:
    return "lll" + "r" * (len(found.weights) + 1) + "l"


def cells(found: PaidAnswers, answer: PaidAnswer) -> list[str]:
    """One answer's cells, unescaped."""
    components = answer.components
    return [
        answer.problem_id,
        answer.outcome,
        _HELD[answer.held_passed],
        *(
            formatting.UNMEASURED if components is None else _number(weight * components[name])
            for name, weight in found.weights.items()
        ),
        formatting.UNMEASURED if answer.reward is None else _number(answer.reward),
        answer.why or formatting.DASH,
    ]


def about(name: str, found: PaidAnswers) -> str:
    """Which answers these are, and where all of them lie."""
    if not found.shown:
        return f"{name}: answers {formatting.UNMEASURED}: {found.unmeasured or 'no reason was recorded'}"
    seed = "" if found.seed is None else f", training seed {found.seed}"
    return (
        f"{name}{seed}: {len(found.shown)} of the {formatting.count(found.answers)} answers of "
        f"update {found.update}; all "
        f"answers of all updates are in {found.file}"
    )


def section(board: Leaderboard) -> str:
    """A folded table for each rewarded training; empty where nothing was rewarded."""
    if not board.answers:
        return ""
    blocks = "".join(_html(name, found) for name, found in board.answers.items())
    return f'<h3>Answers and what they were paid</h3><p class="note">{escape(NOTE)}</p>{blocks}'


def _html(name: str, found: PaidAnswers) -> str:
    if not found.shown:
        return f'<p class="note">{escape(about(name, found))}.</p>'
    rows = (_html_cells(found, answer) for answer in found.shown)
    table = plain_table([*head(found), "answer"], align(found) + "l", rows)
    return (
        f"<details><summary>The last update of {escape(name)}, answer by answer</summary>"
        f'<p class="note">{escape(about(name, found))}.</p>{table}</details>'
    )


def _html_cells(found: PaidAnswers, answer: PaidAnswer) -> list[str]:
    more = "\n… cut here; the file has it whole" if answer.cut else ""
    text = f'<pre class="text">{escape(answer.text + more)}</pre>'
    shown = f'<details class="answer"><summary>show</summary>{text}</details>'
    return [*map(escape, cells(found, answer)), shown]


def _number(value: float) -> str:
    text = f"{value:+.3f}".replace("-", formatting.MINUS)
    return text if float(f"{value:.3f}") else "0"
