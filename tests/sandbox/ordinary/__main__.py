"""python -m tests.sandbox.ordinary [--mode shared] [--all] [NAME ...]: how each ordinary problem is judged.

Printed is a line for each problem: its mode, the outcome of its right program and what is wrong with the verdicts of
the others. `--all` prints every verdict; NAME, a part of a problem's name, chooses some.
"""

from __future__ import annotations

import argparse

from assay.sandbox import Sandbox
from tests.sandbox.ordinary.judged import Judged, judge_all
from tests.sandbox.ordinary.problems import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--mode", choices=["split", "shared"], default="split")
    parser.add_argument("--all", action="store_true", dest="every")
    options = parser.parse_args()
    problems = [
        problem
        for problem in load()
        if not options.names or any(name in f"{problem.group}/{problem.name}" for name in options.names)
    ]
    with Sandbox(mode=options.mode) as sandbox:
        judged = judge_all(sandbox, problems)
    for one in judged:
        print(_line(one))
        if options.every:
            for role, verdict in one.verdicts:
                print(
                    f"    {role:6} {verdict.mode:6} {verdict.outcome:8} {verdict.id}: {verdict.detail[:200]}"
                )
    for mode in ("split", "shared"):
        of_mode = [one for one in judged if one.mode == mode]
        right = sum(one.right_passes for one in of_mode)
        wrong = sum(len(one.wrong_passes) for one in of_mode)
        print(f"{mode}: {len(of_mode)} problems, right programs pass in {right}, {wrong} wrong passes")


def _line(one: Judged) -> str:
    problem, right = one.problem, one.right
    text = f"{problem.group + '/' + problem.name:45} {one.mode:6} {right.outcome:8}"
    if not one.right_passes:
        text += f" {right.detail[:160]!r}"
    if one.wrong_passes:
        text += f" PASSES: {', '.join(verdict.id.partition(': ')[2] for verdict in one.wrong_passes)}"
    return text


if __name__ == "__main__":
    main()
