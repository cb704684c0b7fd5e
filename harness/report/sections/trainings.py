"""What each training took, as table rows and as HTML."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

from assay.harness import formatting
from assay.harness.leaderboard.schema import Leaderboard, Spread, TrainingRow
from assay.harness.report.blocks import Footnotes, plain_table
from assay.harness.report.wording import escape

HEAD = [
    "variant",
    "trained parameters",
    "of all %",
    "tokens",
    "time",
    "tokens/s",
    "peak memory",
    "the training's part",
    "last loss",
    "runs",
]
ALIGN = "lrrrrrrrrr"
NOTE = (
    "Each training ran alone in its process, and peak memory is the largest resident set of that process, its "
    "libraries included; the training's part is what came on top of the process as it was before a model was loaded. "
    "On a CUDA device the allocator's peak is given too. Where a variant was trained with "
    "several seeds, the figure is the mean, with least and most."
)


def rows(board: Leaderboard) -> Iterator[tuple[list[str], list[str]]]:
    """For each trained variant its cells, unescaped, and why some of them are unmeasured."""
    for row in board.trainings:
        memory = _shown(row.peak_rss_bytes, formatting.size)
        if row.peak_vram_bytes is not None:
            memory += f" + {_shown(row.peak_vram_bytes, formatting.size)} on the device"
        missing = [
            f for f in ("train_s", "tok_per_s", "peak_rss_bytes", "final_loss") if getattr(row, f) is None
        ]
        yield (
            [
                row.variant,
                formatting.count(row.trainable_parameters),
                formatting.percent(row.trainable_parameters / row.total_parameters),
                _shown(row.tokens, lambda n: formatting.count(round(n))),
                _shown(row.train_s, formatting.seconds),
                _shown(row.tok_per_s, formatting.rate),
                memory,
                _shown(row.added_rss_bytes, formatting.size),
                _shown(row.final_loss, lambda x: f"{x:.4f}"),
                formatting.count(len(row.seeds)),
            ],
            list(dict.fromkeys(f"{_NAMES[f]}: {row.unmeasured.get(f, 'not recorded')}" for f in missing)),
        )


_NAMES = {
    "train_s": "time",
    "tok_per_s": "tokens/s",
    "peak_rss_bytes": "peak memory",
    "final_loss": "last loss",
}


def section(board: Leaderboard) -> str:
    """The section's table; empty where nothing was trained."""
    if not board.trainings:
        return ""
    notes = Footnotes("why-trainings")
    cells = (notes.cells(row, cycle(missing)) for row, missing in rows(board))
    table = plain_table(HEAD, ALIGN, cells, about="about-trainings")
    return f'<p class="note" id="about-trainings">{escape(NOTE)}</p>{table}{notes.html()}{_seeds(board)}'


def _seeds(board: Leaderboard) -> str:
    """pass@1 of every training seed, so that what the interval rests on can be seen."""
    several = [row for row in board.rows if len(row.by_seed) > 1]
    if not several:
        return ""
    head = "".join(f'<th scope="col" class="num">seed {s.seed}</th>' for s in several[0].by_seed)
    body = "".join(
        f'<tr><th scope="row">{escape(row.variant)}</th>'
        + "".join(f'<td class="num">{formatting.percent(s.pass_at_1)}</td>' for s in row.by_seed)
        + "</tr>"
        for row in several
    )
    return (
        '<h3>By training seed</h3><p class="note" id="about-seeds">pass@1 in percent of each training.</p>'
        '<div class="scroll"><table class="plain" aria-describedby="about-seeds">'
        f'<thead><tr><th scope="col">variant</th>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _shown(spread: Spread | None, show: formatting.Show) -> str:
    if spread is None:
        return formatting.UNMEASURED
    mean, least, most = show(spread.mean), show(spread.least), show(spread.most)
    return mean if least == most else f"{mean} ({least}{formatting.DASH}{most})"


def reasons(row: TrainingRow) -> list[str]:
    """Why figures are missing, for a report without footnotes."""
    return [
        f"{row.variant}: {_NAMES[f]} unmeasured, {why}" for f, why in row.unmeasured.items() if f in _NAMES
    ]
