"""Build the sections on what every printed figure means and on what made it.

A figure without its definition is decoration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from assay.harness import formatting
from assay.harness.leaderboard.schema import Difference, Leaderboard, Row, Step
from assay.harness.report import wording
from assay.harness.report.blocks import Block, Cell, Column, Heading, Pairs, figure, tabulate
from assay.harness.report.sections.trainings import REINFORCEMENT

_OVERLAP = {
    "overlap": "The share of a problem's distinct n-grams (of its statement and its canonical solution) that occur in "
    "a training text. words-13: 13 words, lower case, without punctuation (as GPT-3, arXiv 2005.14165). code-10: 10 "
    "tokens of code with punctuation. Flagged from 1 % on. It is an overlap of text, not of problems: where training "
    "set and suite are written from the same templates, as pocket's are, n-grams recur though every problem is "
    "another; there, that no problem is a duplicate and that whole kinds of problems are held out is what says the "
    "test is fair.",
    "duplicates": "Problems whose whole prompt, whole solution, or both in a row stand in one training text, token by "
    "token (parts of fewer than 10 tokens are not looked for).",
}
_REINFORCED = {
    "hacking gap": "The share of an update's answers that pass the checks which pay the reward, less the share that "
    "pass the checks held out, which are never paid for: what the policy has learned about the reward's checks rather "
    "than about the problem. On the problems it practises on.",
    "KL of an update": "Nats an answer from the reference, estimated on the answers drawn: by PPO's estimator (k1 "
    "unless said otherwise), RLOO's k1, or GRPO's k3 over its steps. The target is what an adaptive price aims at; "
    "above twice the target an alarm is raised.",
}
_LEARNED = {
    "KL from its start": "Of the trained model from the model it was trained from, on the trained model's own answers "
    "in this run (one a problem): at each token of an answer the divergence of the whole distributions at temperature "
    "1, summed over the answer, averaged over answers. Measured where the experiment has a [compare] table.",
}


def definitions(board: Leaderboard) -> list[Block]:
    """Return what each printed figure means. The methods are those recorded with the figures themselves."""
    return [Pairs(tuple(_definitions(board).items()), "definitions")]


def provenance(board: Leaderboard) -> list[Block]:
    """Return what made these figures: enough to repeat them, and to prove that two runs answered the same problems."""
    return [Pairs(tuple(_facts(board)), "facts"), *_lineage(board), *_steps(board)]


def _lineage(board: Leaderboard) -> list[Block]:
    def judged(row: Row) -> str:
        """Return counts of judging modes, finish reasons and extraction rules."""
        cached = {"from the cache": row.cached} if row.cached else {}
        groups = (row.modes, cached, row.finish, row.extraction)
        return "; ".join(
            ", ".join(f"{formatting.count(n)} {name}" for name, n in group.items())
            for group in groups
            if group
        )

    columns: list[Column[Row]] = [
        Column("variant", lambda row: row.variant, "l", names_row=True),
        Column("kind", lambda row: row.kind, "l"),
        Column("made from", lambda row: row.parent or formatting.DASH, "l"),
        Column("recipe", lambda row: row.recipe or formatting.DASH, "l"),
        Column("sha256", lambda row: Cell(row.sha256 or formatting.UNMEASURED), "l", css="mono hash"),
        Column("judged, ended, extracted", judged, "l", only="html"),
    ]
    return [Heading("Lineage"), tabulate(columns, board.rows, name="lineage")]


def _steps(board: Leaderboard) -> list[Block]:
    columns: list[Column[Step]] = [
        Column("step", lambda step: step.name, "l", names_row=True),
        Column("took", lambda step: figure(step.seconds, formatting.seconds)),
        Column("in this run", lambda step: "reused" if step.reused else "done", "l"),
        Column("hash of its inputs", lambda step: step.id, "l", css="mono"),
    ]
    table = tabulate(columns, board.steps, name="steps", only="html")
    return [Heading("Steps", only="html"), table] if board.steps else []


def _methods(names: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(name for name in names if name)) or "the method was not recorded"


def _definitions(board: Leaderboard) -> dict[str, str]:
    level = wording.confidence(board)
    k = board.headline_k or 1
    margin = "" if board.margin is None else f" of ±{board.margin * 100:g} points"
    methods = {curves.method for curves in board.curves.values()}
    compared: list[Difference] = [*board.comparisons, *(r.vs_reference for r in board.rows if r.vs_reference)]
    return {
        "pass@k": "The chance that at least one of k samples of a problem passes all its checks, estimated without "
        "bias from the n samples taken, c of them passing, as 1 − C(n−c, k) / C(n, k), and averaged over problems "
        "(Chen et al. 2021, arXiv 2107.03374). In percent.",
        f"{level} interval": f"Made so that {level} of such intervals, over repetitions of the whole experiment, cover "
        f"the true value. Method for pass@k: {_methods(e.method for r in board.rows for e in r.pass_at_k.values())}.",
        "difference, p": f"Differences are in percentage points of pass@{k} and paired: both variants answered the "
        "same problems. The interval and the p beside it are of that one comparison: the interval excludes 0 where p "
        "is below 5 %. p adjusted, on which verdicts and ranks rest, allows for the number of claims tested together "
        "(Holm): in the leaderboard those against the reference, among the pairs all pairs. "
        f"Method: {_methods(d.method for d in compared)}.",
        "rank": "1 + the number of variants proven better by the paired test. Variants that no test tells apart may "
        "share a rank, marked =. A figure that is higher without proof ranks no higher.",
        "verdict": "better, worse: the paired test excludes no difference, after the adjustment of p. Equivalent: "
        f"strict one-sided bounds of the difference, 5 % each, both lie within the margin of equivalence{margin}; that "
        "is not adjusted for the number of pairs. Undecided: neither is shown. The smallest detectable difference is "
        "the true one that this many problems would show with 80 % power in that comparison taken alone, before any "
        "adjustment; it is unmeasured where the two differed on no problem, or on all alike.",
        "outcomes": "How each sample's program ended in the sandbox. pass: every check held. fail: a check did not. "
        "error: it raised, did not compile, or ended by itself. timeout, memory, output: it went over that limit. "
        "infra: the fault was the machine's; such samples count neither as passed nor as failed.",
        **(_OVERLAP if board.contamination else {}),
        **(_REINFORCED if methods & set(REINFORCEMENT) else {}),
        **(_LEARNED if board.trainings and methods - {"sft"} else {}),
        "size": "Bytes of the artifact's own files, in binary units. An adapter cannot run without the base that it "
        "was trained on, whose bytes stand beside its own.",
        "tok/s": "Tokens generated, divided by the seconds of generation, on the machine named here, all batches "
        "included.",
        "made in": "Seconds that the step took that made the artifact from its parent (training, merge, or export); "
        "given where it was taken as it was.",
    }


def _facts(board: Leaderboard) -> list[tuple[str, str]]:
    suite, machine = board.suite, dict(board.machine)
    packages = machine.pop("packages", None) or {}
    ram = machine.pop("ram_bytes", None)
    if isinstance(ram, int | float):
        machine["memory"] = formatting.size(ram)
    pairs = [
        ("experiment", f"{board.experiment}, run {board.run}"),
        ("created", board.created),
        ("suite", f"{suite.name}{f', split {suite.split}' if suite.split else ''}"),
        ("suite revision (sha256)", suite.revision or formatting.UNMEASURED),
        ("seed", formatting.UNMEASURED if board.seed is None else str(board.seed)),
        ("sampling", flat(board.sampling) or formatting.UNMEASURED),
        ("machine", flat(machine) or formatting.UNMEASURED),
        ("packages", flat(packages) or formatting.UNMEASURED),
        ("isolation", flat(board.isolation) or formatting.UNMEASURED),
        ("limits of a program", flat(board.limits) or formatting.UNMEASURED),
    ]
    if suite.unmeasured:
        text = (
            f"{len(suite.unmeasured)}: {wording.unmeasured_problems(board)}; their samples were not executed"
        )
        pairs.append(("problems unmeasured", text))
    if board.taken_over:
        pairs.append(("taken as they are", wording.taken_over(board)))
    for row in board.rows:
        if row.near_limit:
            pairs.append(
                (f"near a limit of time ({row.variant})", f"{row.near_limit} samples, judged again in quiet")
            )
        if row.not_data:
            named = ", ".join(f"{problem} ({n})" for problem, n in list(row.not_data.items())[:5])
            text = f"samples of {named}: give these problems a canonical_solution, which decides how they are judged"
            pairs.append((f"met what is no data ({row.variant})", text))
    missing: dict[tuple[str, str], list[str]] = {}
    for row in board.rows:
        for item in row.unmeasured.items():
            missing.setdefault(item, []).append(row.variant)
    for (name, reason), variants in missing.items():
        of = "" if len(variants) == len(board.rows) else f" ({formatting.enumerate_names(variants)})"
        pairs.append((f"{name} {formatting.UNMEASURED}", f"{reason}{of}"))
    return pairs


def flat(value: Any) -> str:
    """Return a nested fact in one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{str(k).replace('_', ' ')} {flat(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(flat(v) for v in value)
    return "none" if value is None else str(value)
