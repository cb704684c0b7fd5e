"""Build the tables of trainings: what each took, what it learned and what that cost, method beside method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from assay.harness import formatting
from assay.harness.leaderboard.schema import NO_SUCH_FIGURE, Leaderboard, Row, Spread, TrainingRow, headline
from assay.harness.report import wording
from assay.harness.report.blocks import QUIET, Block, Cell, Column, Heading, Table, figure, tabulate
from assay.harness.report.sections.board import estimate_cell

REINFORCEMENT = ("ppo", "rloo", "grpo")
_PLAIN = ("sft",)  # where nothing else was trained, the table of trainings says it all
_TOOK_NOTE = (
    "Each training ran alone in its process, and peak memory is the largest resident set of that process, its "
    "libraries included; the training's part is what came on top of the process as it was before a model was loaded. "
    "On a CUDA device the allocator's peak is given too. Where a variant was trained with "
    "several seeds, the figure is the mean, with least and most."
)


def _spread(field: str, show: formatting.Show, row: TrainingRow) -> Cell:
    """Return the mean over seeds, with least and most where they differ, or why it is unmeasured."""
    spread: Spread | None = getattr(row, field)
    if spread is None:
        return Cell(formatting.UNMEASURED, reason=row.unmeasured.get(field, "not recorded"))
    mean, least, most = show(spread.mean), show(spread.least), show(spread.most)
    return Cell(mean, "" if least == most else formatting.span(spread.least, spread.most, show))


def _loss(value: float) -> str:
    return f"{value:.4f}".replace("-", formatting.MINUS)


def _column(head: str, field: str, show: formatting.Show, unit: str = "") -> Column[TrainingRow]:
    return Column(head, partial(_spread, field, show), unit=unit)


_LEARNED = (
    _column("β or price of KL", "beta", lambda beta: f"{beta:g}"),
    _column("last loss", "final_loss", formatting.general),
    _column("held-out loss", "held_out_loss", formatting.general),
    _column("held-out margin", "margin", formatting.general),
    _column("held-out accuracy", "accuracy", formatting.percent, "%"),
    _column("paid checks", "pass_rate", formatting.percent, "%"),
    _column("held-out checks", "held_pass_rate", formatting.percent, "%"),
    _column("gap", "gap", formatting.points, "points"),
    _column("KL from its start", "kl", formatting.general),
)
_COST = (
    _column("answers drawn", "drawn_answers", formatting.count),
    _column("tokens drawn", "drawn_tokens", formatting.count),
    _column("tokens learned from", "tokens", formatting.count),
    _column("generating", "generate_s", formatting.seconds),
    _column("waiting for execution", "execute_s", formatting.seconds),
    _column("learning", "learn_s", formatting.seconds),
    _column("together", "total_s", formatting.seconds),
)


def took(board: Leaderboard) -> list[Block]:
    """Return what each training took, and pass@1 of every training seed; nothing where nothing was trained."""
    columns: list[Column[TrainingRow]] = [
        Column("variant", lambda row: row.variant, "l", names_row=True),
        Column("trained parameters", lambda row: formatting.count(row.trainable_parameters)),
        Column(
            "of all",
            lambda row: formatting.percent(row.trainable_parameters / row.total_parameters),
            unit="%",
        ),
        _column("tokens", "tokens", formatting.count),
        _column("time", "train_s", formatting.seconds),
        _column("tokens/s", "tok_per_s", formatting.rate),
        _column("peak memory", "peak_rss_bytes", formatting.size),
        _column("the training's part", "added_rss_bytes", formatting.size),
        _column("peak on the device", "peak_vram_bytes", formatting.size),
        _column("last loss", "final_loss", _loss),
        Column("runs", lambda row: formatting.count(len(row.seeds))),
    ]
    if not board.trainings:
        return []
    return [
        tabulate(columns, board.trainings, name="trainings", note=_TOOK_NOTE, css="plain learned"),
        *_by_seed(board),
    ]


def _by_seed(board: Leaderboard) -> list[Block]:
    """Return pass@1 of every training seed, so that what the interval rests on can be seen."""
    several = [row for row in board.rows if len(row.by_seed) > 1]
    if not several:
        return []

    def score(place: int, row: Row) -> str:
        scores = row.by_seed
        return formatting.percent(scores[place].pass_at_1) if place < len(scores) else formatting.DASH

    widest = max(several, key=lambda row: len(row.by_seed))
    columns: list[Column[Row]] = [Column("variant", lambda row: row.variant, "l", names_row=True)]
    columns += [
        Column(f"seed {score_.seed}", partial(score, place)) for place, score_ in enumerate(widest.by_seed)
    ]
    note = "pass@1 in percent of each training."
    return [
        Heading("By training seed"),
        tabulate(columns, several, name="seeds", note=note),
    ]


def learned(board: Leaderboard) -> list[Block]:
    """Return what was learned and what that cost; nothing where only plain supervised fine-tuning was done."""
    shown = [row for row in board.trainings if row.method]
    if all(row.method in _PLAIN for row in shown):
        return []
    learned_note = (
        "Margin and accuracy are of held-out pairs at the last evaluation (of implicit rewards; ORPO: log odds; a "
        "reward model's are of its scores, once it was trained). "
        "Checks passed and their gap are of the training problems, means over the last five updates. KL is of the "
        "trained model from the one it started as, on its own answers to the suite's problems: nats an answer, at "
        f"temperature 1. pass@{board.headline_k} is of the suite, with its {wording.confidence(board)} interval. "
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
        Heading("What was learned"),
        _methods(board, shown, _LEARNED, "learned", learned_note),
        Heading("What it cost"),
        _methods(board, shown, _COST, "cost", cost_note),
    ]


def _methods(
    board: Leaderboard,
    rows: Sequence[TrainingRow],
    figures: Sequence[Column[TrainingRow]],
    name: str,
    note: str,
) -> Table:
    """Return a table of methods: figures of their trainings, and of the suite pass@k and the paired difference."""

    def none_of(column: Column[TrainingRow]) -> Callable[[TrainingRow], Cell | str]:
        def cell(row: TrainingRow) -> Cell | str:
            given = column.cell(row)
            says_nothing = isinstance(given, Cell) and given.unmeasured and given.reason in NO_SUCH_FIGURE
            # a policy's loss is not one that falls as it learns
            policy_loss = column.head == "last loss" and row.method in REINFORCEMENT
            return formatting.DASH if says_nothing or policy_loss else given

        return cell

    def passed(row: TrainingRow) -> Cell:
        scored = board.scored(row.variant)
        k = board.headline_k
        return (
            Cell(formatting.DASH)
            if scored is None
            else estimate_cell(scored, f"pass@{k}", headline(scored, k))
        )

    def difference(row: TrainingRow) -> Cell:
        scored = board.scored(row.variant)
        d = None if scored is None else scored.vs_reference
        if row.variant == board.reference:
            return Cell("reference", css=QUIET)
        if d is None or d.difference is None:
            return Cell(formatting.DASH)
        return figure(d.difference, formatting.points, low=d.low, high=d.high)

    columns: list[Column[TrainingRow]] = [
        Column("variant", lambda row: row.variant, "l", names_row=True),
        Column("method", lambda row: row.method, "l"),
        *(Column(c.head, none_of(c), unit=c.unit) for c in figures),
        Column(f"pass@{board.headline_k}", passed, unit="%"),
        Column(f"vs {board.reference}", difference, unit="points"),
    ]
    return tabulate(columns, rows, name=name, note=note, css="plain learned")
