"""Build the parts about rewards: what a reward model is worth on held-out pairs, and what answers were paid."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from assay.harness import formatting
from assay.harness.leaderboard import schema
from assay.harness.report import charts
from assay.harness.report.blocks import (
    Block,
    Cell,
    Column,
    Figure,
    Figures,
    Fold,
    Heading,
    Note,
    figure,
    tabulate,
)
from assay.harness.report.wording import NO_REASON

CHANCE = 0.5
Item = tuple[str, schema.RewardModel, schema.RewardModelRun]
_MODELS_NOTE = (
    "A reward model scores answers and writes none, so it has no pass@1. Accuracy is the share of held-out pairs whose "
    "preferred answer it scores higher (a tie counts half), with a 95 % interval over problems (Korn and Graubard "
    "1998); a coin has 50 %. A margin is the preferred answer's score less the other's. How sure it is of a preference "
    "is the logistic function of the margin's size; the calibration error is how far that lies from how often it is "
    "right, averaged over pairs in ten bins."
)
_ANSWERS_NOTE = (
    "Of each rewarded training's last update some answers, evenly spaced from the best paid to the worst. A component "
    "is shown as it was paid, times its weight, so that a row adds up to its reward (before KL is charged); of an "
    "answer that reached for what judges it, only the penalties count."
)
_HELD_OUT = {True: "passed", False: "failed", None: formatting.DASH}


def in_words(run: schema.RewardModelRun) -> str:
    """Return accuracy, margin and calibration in one line, or why there are none."""
    accuracy = run.accuracy
    if accuracy is None:
        return f"held-out accuracy {formatting.UNMEASURED}: {run.unmeasured or NO_REASON}"
    margin, error = (
        formatting.UNMEASURED if value is None else show(value)
        for value, show in ((run.mean_margin, _margin), (run.calibration_error, formatting.percent))
    )
    return (
        f"held-out accuracy {formatting.percent(accuracy.value)} % "
        f"({formatting.span(accuracy.low, accuracy.high, formatting.percent)}) on {run.pairs} pairs of {run.problems} "
        f"problems, {against_a_coin(accuracy)}; mean margin {margin}; calibration error {error} points"
    )


def against_a_coin(accuracy: schema.Interval) -> str:
    """Say whether the interval leaves 50 % out."""
    if accuracy.low > CHANCE:
        return "better than a coin"
    return "worse than a coin" if accuracy.high < CHANCE else "not told from a coin"


def _margin(value: float) -> str:
    return formatting.general(value, 3)


def reward_models(board: schema.Leaderboard) -> list[Block]:
    """Return table and drawings of reward models; nothing where the experiment has none."""
    runs = [(name, model, run) for name, model in board.reward_models.items() for run in model.runs]
    if not runs:
        return []
    blocks: list[Block] = [Heading("Reward models"), _table(runs)]
    for number, (name, model, run) in enumerate(runs):
        if run.accuracy is not None:
            blocks += _drawings(name if len(model.runs) == 1 else f"{name}, seed {run.seed}", run, number)
    return blocks


def _table(runs: list[Item]) -> Block:
    def accuracy(item: Item) -> Cell:
        a = item[2].accuracy
        if a is None:
            return Cell(formatting.UNMEASURED, reason=item[2].unmeasured or NO_REASON)
        return figure(a.value, formatting.percent, low=a.low, high=a.high)

    def of(field: str, show: formatting.Show) -> Callable[[Item], Cell]:
        return lambda item: figure(getattr(item[2], field), show, item[2].unmeasured or NO_REASON)

    columns: list[Column[Item]] = [
        Column("reward model", lambda item: item[0], "l", names_row=True),
        Column("seed", lambda item: formatting.DASH if item[2].seed is None else str(item[2].seed)),
        Column("held-out accuracy", accuracy, unit="%"),
        Column("against a coin", lambda item: against_a_coin(a) if (a := item[2].accuracy) else "", "l"),
        Column("pairs", lambda item: formatting.count(item[2].pairs)),
        Column("problems", lambda item: formatting.count(item[2].problems)),
        Column("mean margin", of("mean_margin", _margin)),
        Column("calibration error", of("calibration_error", formatting.percent), unit="points"),
        Column("pays", lambda item: formatting.enumerate_names(item[1].pays) or formatting.DASH, "l"),
    ]
    return tabulate(columns, runs, name="reward-models", note=_MODELS_NOTE)


def _drawings(name: str, run: schema.RewardModelRun, number: int) -> list[Block]:
    words = in_words(run)
    margins = partial(charts.histogram, run.margins, f"{name}: held-out pairs by margin; {words}")
    sure = partial(
        charts.reliability, run.reliability, f"{name}: how often it is right against how sure it is; {words}"
    )

    def share(field: str) -> Callable[[schema.Bin], str]:
        return lambda b: formatting.DASH if (v := getattr(b, field)) is None else formatting.percent(v)

    def range_of(b: schema.Bin) -> str:
        return f"{b.low * 100:g}{formatting.DASH}{b.high * 100:g}"

    columns: list[Column[schema.Bin]] = [
        Column("how sure", range_of, unit="%", names_row=True),
        Column("pairs", lambda b: formatting.count(b.pairs)),
        Column("sure on average", share("confidence"), unit="%"),
        Column("right", share("accuracy"), unit="%"),
    ]
    table = tabulate(columns, run.reliability, name=f"bins-{number}", css="plain bins")
    file = Note(f"Every held-out pair's scores lie beside {run.file}.")
    right = "a dot is a bin, its area the pairs; on the line, 80 % sure is 80 % right"
    wrong = "of held-out pairs; left of 0 the order is wrong"
    return [
        Heading(name, "reward model", 4, "html"),
        Figures((Figure("Margins", margins, wrong), Figure("Calibration", sure, right))),
        Fold(f"Calibration of {name}, bin by bin", (table, file)),
    ]


def answers(board: schema.Leaderboard) -> list[Block]:
    """Return some answers of each rewarded training with what they were paid; nothing where nothing was rewarded."""
    blocks: list[Block] = []
    if board.answers:
        blocks = [Heading("Answers and what they were paid"), Note(_ANSWERS_NOTE)]
    for number, (name, paid) in enumerate(board.answers.items()):
        about = Note(_about(name, paid))
        table = tabulate(_answer_columns(paid), paid.shown, name=f"answers-{number}")
        summary = f"The last update of {name}, answer by answer"
        blocks.append(Fold(summary, (about, table)) if paid.shown else about)
    return blocks


def _about(name: str, paid: schema.PaidAnswers) -> str:
    if not paid.shown:
        return f"{name}: answers {formatting.UNMEASURED}: {paid.unmeasured or NO_REASON}."
    seed = "" if paid.seed is None else f", training seed {paid.seed}"
    return (
        f"{name}{seed}: {len(paid.shown)} of the {formatting.count(paid.answers)} answers of update {paid.update}; all "
        f"answers of all updates are in {paid.file}."
    )


def _answer_columns(paid: schema.PaidAnswers) -> list[Column[schema.PaidAnswer]]:
    def component(name: str, weight: float) -> Column[schema.PaidAnswer]:
        def cell(answer: schema.PaidAnswer) -> str:
            parts = answer.components
            return formatting.UNMEASURED if parts is None else _signed(weight * parts[name])

        return Column(f"{name} × {weight:g}", cell)

    def text(answer: schema.PaidAnswer) -> Cell:
        return Cell(fold=answer.text + ("\n… cut here; the file has it whole" if answer.cut else ""))

    return [
        Column("problem", lambda answer: answer.problem_id, "l", names_row=True),
        Column("verdict", lambda answer: answer.outcome, "l"),
        Column("held-out checks", lambda answer: _HELD_OUT[answer.held_passed], "l"),
        *(component(name, weight) for name, weight in paid.weights.items()),
        Column("reward", lambda a: formatting.UNMEASURED if a.reward is None else _signed(a.reward)),
        Column("remark", lambda answer: answer.reason or formatting.DASH, "l"),
        Column("answer", text, "l", only="html"),
    ]


def _signed(value: float) -> str:
    text = f"{value:+.3f}".replace("-", formatting.MINUS)
    return text if float(f"{value:.3f}") else "0"
