"""Reward models: what each is worth on pairs it has not seen, in a line, as table rows, and as drawings."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat

from assay.harness import formatting
from assay.harness.leaderboard.schema import Interval, Leaderboard, RewardModelRun
from assay.harness.report import charts
from assay.harness.report.blocks import Footnotes, plain_table
from assay.harness.report.wording import escape

CHANCE = 0.5
HEAD = [
    "reward model",
    "seed",
    "held-out accuracy %",
    "against a coin",
    "pairs",
    "problems",
    "mean margin",
    "calibration error, points",
    "pays",
]
ALIGN = "lrrlrrrrl"
BINS_HEAD = ["how sure, %", "pairs", "sure on average, %", "right, %"]
NOTE = (
    "A reward model scores answers and writes none, so it has no pass@1. Accuracy is the share of held-out pairs whose "
    "preferred answer it scores higher (a tie counts half), with a 95 % interval over problems (Korn and Graubard "
    "1998); a coin has 50 %. A margin is the preferred answer's score less the other's. How sure it is of a preference "
    "is the logistic function of the margin's size; the calibration error is how far that lies from how often it is "
    "right, averaged over pairs in ten bins."
)


def in_words(run: RewardModelRun) -> str:
    """Accuracy, margin and calibration in one line, or why there are none."""
    if run.accuracy is None:
        return f"held-out accuracy {formatting.UNMEASURED}: {_why(run)}"
    found = run.accuracy
    return (
        f"held-out accuracy {formatting.percent(found.value)} % ({formatting.percent(found.low)}{formatting.DASH}"
        f"{formatting.percent(found.high)}) on {run.pairs} pairs of {run.problems} problems, {against_a_coin(found)}; "
        f"mean margin {_number(run.mean_margin)}; calibration error {_points(run.calibration_error)} points"
    )


def against_a_coin(found: Interval) -> str:
    """Whether the interval leaves 50 % out."""
    if found.low > CHANCE:
        return "better than a coin"
    return "worse than a coin" if found.high < CHANCE else "not told from a coin"


def rows(board: Leaderboard) -> Iterator[tuple[list[str], str]]:
    """For each reward model's training its cells, unescaped, and why some are unmeasured."""
    for name, model in board.reward_models.items():
        pays = formatting.enumerate_names(model.pays) or formatting.DASH
        for run in model.runs:
            a = run.accuracy
            figures = [formatting.UNMEASURED] * 2
            if a is not None:
                between = f"({formatting.percent(a.low)}{formatting.DASH}{formatting.percent(a.high)})"
                figures = [f"{formatting.percent(a.value)} {between}", against_a_coin(a)]
            seed = formatting.DASH if run.seed is None else str(run.seed)
            yield (
                [
                    name,
                    seed,
                    *figures,
                    formatting.count(run.pairs),
                    formatting.count(run.problems),
                    _number(run.mean_margin),
                    _points(run.calibration_error),
                    pays,
                ],
                "" if a is not None else f"{name}, seed {seed}: {_why(run)}",
            )


def section(board: Leaderboard) -> str:
    """Table and drawings; empty where the experiment has no reward model."""
    if not board.reward_models:
        return ""
    notes = Footnotes("why-reward-models")
    cells = (notes.cells(row, repeat(why)) for row, why in rows(board))
    table = plain_table(HEAD, ALIGN, cells, about="about-reward-models")
    drawn = "".join(
        _drawings(name if len(model.runs) == 1 else f"{name}, seed {run.seed}", run)
        for name, model in board.reward_models.items()
        for run in model.runs
        if run.accuracy is not None
    )
    return (
        f'<h3>Reward models</h3><p class="note" id="about-reward-models">{escape(NOTE)}</p>'
        f"{table}{notes.html()}{drawn}"
    )


def _drawings(name: str, run: RewardModelRun) -> str:
    margins = charts.histogram(run.margins, f"{name}: held-out pairs by margin; {in_words(run)}")
    sure = charts.reliability(
        run.reliability, f"{name}: how often it is right against how sure it is; {in_words(run)}"
    )
    head = "".join(f'<th scope="col" class="num">{escape(h)}</th>' for h in BINS_HEAD)
    body = "".join(
        "<tr>" + "".join(f'<td class="num">{escape(cell)}</td>' for cell in cells) + "</tr>"
        for cells in bins(run)
    )
    table = f'<table class="plain bins"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return (
        f"<h4>{escape(name)} <small>reward model</small></h4>"
        '<div class="curves"><figure><figcaption><b>Margins</b>of held-out pairs; left of 0 the order is wrong'
        f"</figcaption>{margins}</figure><figure><figcaption><b>Calibration</b>a dot is a bin, its area the pairs; "
        f"on the line, 80 % sure is 80 % right</figcaption>{sure}</figure></div>"
        f"<details><summary>Calibration of {escape(name)}, bin by bin</summary>"
        f'<div class="scroll">{table}</div>'
        f'<p class="note">Every held-out pair&#39;s scores lie beside <code>{escape(run.file)}</code>.</p></details>'
    )


def bins(run: RewardModelRun) -> list[list[str]]:
    """The calibration table's cells, unescaped; a bin without pairs says so."""
    return [
        [
            f"{b.low * 100:g}{formatting.DASH}{b.high * 100:g}",
            formatting.count(b.pairs),
            formatting.DASH if b.confidence is None else formatting.percent(b.confidence),
            formatting.DASH if b.accuracy is None else formatting.percent(b.accuracy),
        ]
        for b in run.reliability
    ]


def _why(run: RewardModelRun) -> str:
    return run.unmeasured or "no reason was recorded"


def _number(value: float | None) -> str:
    return formatting.UNMEASURED if value is None else f"{value:.3g}".replace("-", formatting.MINUS)


def _points(value: float | None) -> str:
    return formatting.UNMEASURED if value is None else formatting.percent(value)
