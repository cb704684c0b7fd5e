"""What each training learned and what that cost, method beside method: two tables, as rows and as HTML."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from assay.harness import formatting
from assay.harness.leaderboard.schema import Difference, Leaderboard, Row, Spread, TrainingRow, headline
from assay.harness.report import wording
from assay.harness.report.blocks import Footnotes, plain_table
from assay.harness.report.wording import escape

REINFORCEMENT = ("ppo", "rloo", "grpo")
_PLAIN = ("sft",)  # where nothing else was trained, the table of trainings says it all
Cells = list[str]


@dataclass(frozen=True, slots=True)
class Table:
    """`align` has one of l and r for each column; a row is its cells, unescaped, and why some are unmeasured."""

    title: str
    note: str
    head: list[str]
    align: str
    rows: list[tuple[Cells, list[str]]]


@dataclass(frozen=True, slots=True)
class _Column:
    head: str
    field: str
    show: formatting.Show


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", formatting.MINUS)


def _whole(value: float) -> str:
    return formatting.count(round(value))


_LEARNED = (
    _Column("β or price of KL", "beta", lambda x: f"{x:g}"),
    _Column("last loss", "final_loss", _number),
    _Column("held-out loss", "held_out_loss", _number),
    _Column("held-out margin", "margin", _number),
    _Column("held-out accuracy %", "accuracy", formatting.percent),
    _Column("paid checks %", "pass_rate", formatting.percent),
    _Column("held-out checks %", "held_pass_rate", formatting.percent),
    _Column("gap, points", "gap", formatting.points),
    _Column("KL from its start", "kl", _number),
)
_COST = (
    _Column("answers drawn", "drawn_answers", _whole),
    _Column("tokens drawn", "drawn_tokens", _whole),
    _Column("tokens learned from", "tokens", _whole),
    _Column("generating", "generate_s", formatting.seconds),
    _Column("waiting for execution", "execute_s", formatting.seconds),
    _Column("learning", "learn_s", formatting.seconds),
    _Column("together", "total_s", formatting.seconds),
)
_SAYS_NOTHING = (
    "the method has none",
    "the method has no pairs",
    "the method is not paid by checks",
    "a reward model writes no answers",
)
_DRAWS_NONE = "the method draws no answers: it learns from given ones"


def tables(board: Leaderboard) -> list[Table]:
    """Empty where nothing but plain supervised fine-tuning was done."""
    shown = [row for row in board.trainings if row.method]
    if not any(row.method not in _PLAIN for row in shown):
        return []
    level = wording.confidence(board)
    learned_note = (
        "Margin and accuracy are of held-out pairs at the last evaluation (of implicit rewards; ORPO: log odds; a "
        "reward model's are of its scores, once it was trained). "
        "Checks passed and their gap are of the training problems, means over the last five updates. KL is of the "
        "trained model from the one it started as, on its own answers to the suite's problems: nats an answer, at "
        f"temperature 1. pass@{board.headline_k} is of the suite, with its {level} interval. "
        f"{formatting.DASH} stands where a method has no such figure."
    )
    cost_note = (
        "Generating and executing are for this training alone: an RL method's own rollouts, and the sampling that a "
        "variant's pairs, or the problems it practises on, come from (counted for each variant, though done once). "
        "Execution runs beside generation; what it made the run wait is counted."
    )
    if board.reward_models:
        cost_note += (
            " What a reward model cost stands in its own row and is not added to the trainings that it pays."
        )
    return [
        _table(board, "What was learned", learned_note, shown, _LEARNED),
        _table(board, "What it cost", cost_note, shown, _COST),
    ]


def _table(
    board: Leaderboard, title: str, note: str, shown: list[TrainingRow], columns: tuple[_Column, ...]
) -> Table:
    used = [c for c in columns if any(not _absent(row, c.field) for row in shown)]
    k = board.headline_k
    head = ["variant", "method", *(c.head for c in used), f"pass@{k} %", f"vs {board.reference}, points"]
    return Table(title, note, head, "ll" + "r" * (len(used) + 2), [_row(board, row, used) for row in shown])


def _absent(row: TrainingRow, field: str) -> bool:
    """Whether the method has no such figure, which is not the same as that it was not measured. A policy's loss is not
    one that falls as it learns."""
    if field == "final_loss" and row.method in REINFORCEMENT:
        return True
    return getattr(row, field) is None and row.unmeasured.get(field) in (*_SAYS_NOTHING, _DRAWS_NONE)


def _row(board: Leaderboard, row: TrainingRow, columns: list[_Column]) -> tuple[Cells, list[str]]:
    cells, missing = [row.variant, row.method], []
    for column in columns:
        spread: Spread | None = getattr(row, column.field)
        if _absent(row, column.field):
            cells.append(formatting.DASH)
        elif spread is not None:
            cells.append(shown(spread, column.show))
        else:
            cells.append(formatting.UNMEASURED)
            why = row.unmeasured.get(column.field, "not recorded")
            missing.append(f"{row.variant}, {column.head}: {why}")
    scored = board.scored(row.variant)
    if scored is None:
        return [*cells, formatting.DASH, formatting.DASH], missing
    cells.append(_passed(board, scored, missing))
    cells.append(_difference(scored.vs_reference, is_reference=row.variant == board.reference))
    return cells, missing


def _passed(board: Leaderboard, scored: Row, missing: list[str]) -> str:
    """pass@k with its interval; where it is unmeasured, why is put with what is `missing`."""
    estimate = headline(scored, board.headline_k)
    if estimate.value is None:
        missing.append(f"{scored.variant}: {wording.why_unmeasured(scored, 'pass@1', estimate.reason)}")
        return formatting.UNMEASURED
    return formatting.percent(estimate.value) + _between(
        estimate.low, estimate.high, formatting.percent, formatting.DASH
    )


def _difference(d: Difference | None, *, is_reference: bool) -> str:
    if is_reference:
        return "reference"
    if d is None or d.difference is None:
        return formatting.DASH
    return formatting.points(d.difference) + _between(d.low, d.high, formatting.points, " to ")


def _between(low: float | None, high: float | None, show: Callable[[float], str], by: str) -> str:
    return "" if low is None or high is None else f" ({show(low)}{by}{show(high)})"


def shown(spread: Spread, show: formatting.Show) -> str:
    """The mean over seeds, with least and most where they differ."""
    mean, least, most = show(spread.mean), show(spread.least), show(spread.most)
    between = " to " if least.startswith(("+", formatting.MINUS)) else formatting.DASH
    return mean if least == most else f"{mean} ({least}{between}{most})"


def section(board: Leaderboard) -> str:
    """Both tables as HTML; empty where nothing but plain supervised fine-tuning was done."""
    return "".join(_html(table, number) for number, table in enumerate(tables(board)))


def _html(table: Table, number: int) -> str:
    notes, about = Footnotes(f"why-learned-{number}"), f"about-learned-{number}"
    cells = (_html_cells(row, missing, notes) for row, missing in table.rows)
    made = plain_table(table.head, table.align, cells, about=about, css="plain learned")
    return f'<h3>{escape(table.title)}</h3><p class="note" id="{about}">{escape(table.note)}</p>{made}{notes.html()}'


def _html_cells(cells: Cells, missing: list[str], notes: Footnotes) -> list[str]:
    why = iter(missing)

    def cell(text: str) -> str:
        if text == formatting.UNMEASURED:
            return notes.unmeasured(next(why))
        first, bracket, rest = text.partition(" (")
        return escape(first) + (f'<small class="range">{escape(rest[:-1])}</small>' if bracket else "")

    return [escape(cells[0]), *map(cell, cells[1:])]
