"""The size of a report of 10,000 samples for each of six variants, and the time to write it.

    python -m benchmarks.report_size [--samples 25] [--variants 6] [--keep DIR] [--json FILE]

Samples are of pocket's 400 problems. Each program is a solution of its problem, or of another one where it fails, with
names, constants and operators changed at random, and with comments, checks of its arguments and dead lines put in; the
completion has prose around it, as chat models write it. No two samples are alike by construction, and the share that
happens to be is printed, with their mean length. The page must stay under 5 MB (10^6 bytes): it is what one can send
by mail. Exit code 1 if it does not.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

from assay.harness.leaderboard.schema import Leaderboard, read_leaderboard
from assay.harness.report import write_report
from assay.harness.report.sample_browser import check_samples, packed, page_data
from assay.suites import Problem, load_suite

MOST_BYTES = 5_000_000
NAMES = (
    "a",
    "b",
    "n",
    "x",
    "value",
    "result",
    "total",
    "items",
    "left",
    "acc",
    "out",
    "current",
    "number",
    "best",
)
COMMENTS = (
    "work on a copy",
    "the empty case comes first",
    "see the description above",
    "keep what is smaller",
    "this is where the steps begin",
    "TODO is not needed here",
    "integers only, so no rounding",
)
OPENINGS = (
    "Here is the function you asked for:",
    "Sure! The steps are applied one after another.",
    "To solve this, we go through the steps in the order they are given and return what is left:",
    "",
    "Let me write that in Python.",
)
CLOSINGS = (
    "This runs in constant time.",
    "The function returns {name} after every step has been applied; negative numbers work as well.",
    "You can test it with `{call}`.",
    "",
    "Note that {name} is rebound at each step, so the argument itself is left unchanged.",
)


def program(problem: Problem, others: list[Problem], passed: bool, rng: random.Random) -> str:
    """Return a program for the problem: its own solution changed on the surface, or a wrong one."""
    given = problem if passed or rng.random() < 0.6 else rng.choice(others)
    lines = given.canonical_solution.rstrip("\n").split("\n")
    lines = [changed(line, rng) if not passed and rng.random() < 0.4 else line for line in lines]
    for _ in range(rng.randint(0, 4)):
        place, indent = rng.randrange(len(lines)), "    "
        extra = rng.choice(
            (
                f"{indent}# {rng.choice(COMMENTS)}",
                f"{indent}{rng.choice(NAMES)}_{rng.randint(0, 9)} = {rng.randint(-99, 99)}",
                f"{indent}if {rng.choice(NAMES)} is None:\n{indent}    return {rng.randint(-9, 9)}",
                f"{indent}assert isinstance({rng.choice(NAMES)}, {rng.choice(('int', 'list', 'str'))})",
            )
        )
        lines.insert(place, extra)
    body = "\n".join(lines)
    for old in rng.sample(
        sorted(set(re.findall(r"\b[a-z]\b", body))), k=min(2, len(set(re.findall(r"\b[a-z]\b", body))))
    ):
        if rng.random() < 0.5:
            body = re.sub(rf"\b{old}\b", f"{rng.choice(NAMES)}{rng.randint(0, 99)}", body)
    return f"{problem.prompt}{body}\n"


def changed(line: str, rng: random.Random) -> str:
    """Return the line with another operator or constant, as a model gets it wrong."""
    line = re.sub(r"\d+", lambda m: str(rng.randint(0, 50)) if rng.random() < 0.5 else m[0], line)
    return re.sub(r"[+*-](?= )", lambda m: rng.choice("+-*") if rng.random() < 0.5 else m[0], line)


def sample(
    problem: Problem, others: list[Problem], index: int, chance: float, rng: random.Random
) -> dict[str, Any]:
    """Return one row of a samples table, with everything that a judged sample has."""
    passed = rng.random() < chance
    text = program(problem, others, passed, rng)
    name, call = rng.choice(NAMES), problem.checks[0].split(":= ")[-1].split(")")[0] + ")"
    closing = rng.choice(CLOSINGS).format(name=name, call=call)
    outcome = "pass" if passed else rng.choice(("fail",) * 7 + ("error",) * 2 + ("timeout",))
    got, line = rng.randint(-400, 400), rng.randint(2, 12)
    detail = {
        "pass": "",
        "fail": f"check {rng.randint(1, 16)}: AssertionError: {call} gave {got}, expected {rng.randint(-400, 400)}",
        "error": f"check 1: NameError: name '{name}' is not defined",
        "timeout": "CPU time: 5.0 s used of 5.0 s",
    }[outcome]
    where = f'  File "program.py", line {line}, in {problem.entry_point}'
    return {
        "problem_id": problem.id,
        "index": index,
        "seed": random.Random(f"{problem.id}/{index}").getrandbits(63),  # paired: the same for every variant
        "prompt": f"<|im_start|>user\n{problem.instruction}<|im_end|>\n<|im_start|>assistant\n",
        "completion": f"{rng.choice(OPENINGS)}\n```python\n{text}```\n{closing}".strip(),
        "n_tokens": len(text) // 3 + rng.randint(5, 60),
        "finish_reason": "stop" if rng.random() < 0.97 else "length",
        "program": text,
        "rule": "fenced block",
        "outcome": outcome,
        "detail": detail,
        "output": f"Traceback (most recent call last):\n{where}\n{detail}\n" if outcome == "error" else "",
        "checks_passed": 16 if passed else rng.randint(0, 15),
        "checks_total": 16,
        "cpu_s": 5.0 if outcome == "timeout" else round(rng.expovariate(400), 6),
        "wall_s": 5.2 if outcome == "timeout" else round(rng.expovariate(200), 6),
        "peak_bytes": 9_000_000 + 4096 * rng.randint(0, 700),
        "mode": "split",
    }


def synthetic(
    problems: list[Problem], each: int, variants: int
) -> tuple[Leaderboard, dict[str, pd.DataFrame]]:
    """Return the samples of all variants and a leaderboard that fits them."""
    frames, rows = {}, []
    for number in range(variants):
        name, rng = f"variant-{number}", random.Random(number)
        chances = [random.Random(p.id).random() * 0.7 + 0.05 * number for p in problems]
        table = [
            sample(problem, problems, index, chance, rng)
            for problem, chance in zip(problems, chances, strict=True)
            for index in range(each)
        ]
        frames[name] = frame = pd.DataFrame(table)
        value = float((frame["outcome"] == "pass").mean())
        estimate = {"value": value, "low": value - 0.02, "high": value + 0.02, "n": len(problems)}
        outcomes = {str(k): int(v) for k, v in frame["outcome"].value_counts().items()}
        rows.append({"variant": name, "kind": "merged", "rank": variants - number, "n_samples": len(frame),
                     "pass@k": {"1": estimate}, "outcomes": outcomes})  # fmt: skip
    board = {
        "schema": 1,
        "experiment": "report_size",
        "run": "synthetic",
        "created": "2026-01-01T00:00:00Z",
        "reference": "variant-0",
        "suite": {"name": "pocket", "n_problems": len(problems)},
        "rows": rows,
    }
    return read_leaderboard(board), frames


def main() -> int:
    """Print the bytes and the seconds; 1 where the page is larger than it may be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=25, help="samples a problem and variant")
    parser.add_argument("--variants", type=int, default=6)
    parser.add_argument("--keep", type=Path, help="leave the report here")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    suite = load_suite("pocket")
    board, frames = synthetic(list(suite.problems), options.samples, options.variants)
    texts = pd.concat([frame["completion"] for frame in frames.values()])
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        began = time.perf_counter()
        write_report(folder, board, frames, suite.by_id())
        seconds = time.perf_counter() - began
        page_bytes = (folder / "report.html").stat().st_size
    check_samples(board, frames)
    data = page_data(board, frames, suite.by_id())
    result = {
        "samples": len(texts),
        "embedded": data["embedded"],
        "distinct_completions": int(texts.nunique()),
        "mean_completion_chars": round(float(texts.str.len().mean())),
        "unpacked_bytes": len(json.dumps(data)),
        "packed_bytes": len(packed(data)),
        "page_bytes": page_bytes,
        "seconds": round(seconds, 2),
    }
    print(
        f"{result['samples']:,} samples of {options.variants} variants, {result['distinct_completions']:,} distinct "
        f"completions of {result['mean_completion_chars']} characters: page of {page_bytes / 1e6:.2f} MB "
        f"({result['unpacked_bytes'] / 1e6:.1f} MB unpacked), {result['embedded']:,} samples in it, "
        f"written in {seconds:.1f} s"
    )
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0 if page_bytes < MOST_BYTES and data["kept_per_problem"] is None else 1


if __name__ == "__main__":
    raise SystemExit(main())
