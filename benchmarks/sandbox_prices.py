"""What the sandbox's protections cost: `python -m benchmarks.sandbox_prices [--rounds N]`.

Each row is a ratio of rates, with a protection and without it, taken in interleaved rounds: the median, the quartiles,
and the ratio of the CPU time. Kinds are those of `docs/threats.md`: 3 is state kept between samples (process numbers,
a new scratch folder, calls that tell of the page cache, clocks), 4 the order of questions and its confirmation, 6 an
innocent's share of the CPU and its second try in quiet. Ground truth is what `settle` does before HumanEval's samples
are judged, its references run or known.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from unittest import mock

from assay.harness.evaluation import samples_file
from assay.harness.evaluation.judge import CacheUse
from assay.harness.experiment import SandboxTable
from assay.sandbox import Limits, Program, probe
from assay.sandbox.model import Mode
from assay.suites import Suite, load_suite
from benchmarks.sandbox import PROBLEMS, Lane, canonical_programs, cpu_now, sandbox_lane, say
from benchmarks.sandbox_without import Without

FILE = "with open('notes.txt', 'w') as file: file.write('text')\n"
PASSES = 3  # through HumanEval each time that a lane is measured; one with endless loops
LOOPS = 4  # endless programs among HumanEval's 164
REPEATED = 10  # samples a problem in the larger file


def ratio(lanes: dict[str, Lane], above: str, below: str) -> str:
    """Return the median and quartiles of the ratios round by round, and the ratio of the medians of CPU time."""
    ratios = [a / b for a, b in zip(lanes[above].rates, lanes[below].rates, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    cpu = statistics.median(lanes[below].cpu_ms) / statistics.median(lanes[above].cpu_ms)
    return f"{middle:.3f} ({low:.3f} to {high:.3f}); by CPU time {cpu:.3f}"


def measure(lanes: dict[str, Lane], sizes: dict[str, int], rounds: int) -> None:
    """Run every lane once to warm up and then once a round, in another order each."""
    for number in range(rounds + 1):
        for key in random.Random(number).sample(sorted(lanes), len(lanes)):
            lane = lanes[key]
            before, began = cpu_now(), time.perf_counter()
            lane.run()
            seconds, cpu_s = time.perf_counter() - began, cpu_now() - before
            if number:
                lane.rates.append(sizes[key] / seconds)
                lane.cpu_ms.append(1000 * cpu_s / sizes[key])


# Kinds 3, 4 and 6.


def kinds_rows(rounds: int) -> None:
    canonical = canonical_programs()
    files = [replace(program, candidate=FILE + program.candidate) for program in canonical]
    limits = Limits(cpu_s=1, wall_s=20)
    loop = Program("loop", "def f(x):\n    while True: pass\n", ("assert f(1) == 1",), "f", limits)
    loops = [*canonical, *(replace(loop, id=f"loop {number}") for number in range(LOOPS))]
    lanes: dict[str, Lane] = {}
    sizes: dict[str, int] = {}
    with ExitStack() as stack:

        def add(name: str, mode: Mode, programs: list[Program], *kinds: int) -> None:
            context = nullcontext
            if kinds:
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                context = Without(Path(folder), *kinds).in_force  # type: ignore[assignment]
            with context():
                inner = sandbox_lane(stack, name, programs, "embedded", mode)
            passes = PASSES if len(programs) == len(canonical) else 1
            lanes[name] = Lane(name, lambda: sum(_checked(inner, context) for _ in range(passes)))
            sizes[name] = passes * len(programs)

        for mode in ("split", "shared"):
            add(mode, mode, canonical)
            add(f"{mode}, 3 open", mode, canonical, 3)
            add(f"{mode}, 6 open", mode, canonical, 6)
            add(f"{mode}, files", mode, files)
            add(f"{mode}, files, 3 open", mode, files, 3)
        add("split, 3 and 6 open", "split", [replace(p, stateful=True) for p in canonical], 3, 6)
        add("split, as written", "split", [replace(program, stateful=True) for program in canonical])
        add("split, loops", "split", loops)
        add("split, loops, 6 open", "split", loops, 6)
        measure(lanes, sizes, rounds)
    say(
        "split, kind 4: a drawn order, confirmed ÷ as written",
        "≥ 0.97",
        ratio(lanes, "split", "split, as written"),
    )
    for mode in ("split", "shared"):
        say(f"{mode}, kind 3: closed ÷ open", "stated", ratio(lanes, mode, f"{mode}, 3 open"))
        what = f"{mode}, kind 3, every sample writes a file"
        say(what, "stated", ratio(lanes, f"{mode}, files", f"{mode}, files, 3 open"))
        say(f"{mode}, kind 6: closed ÷ open", "stated", ratio(lanes, mode, f"{mode}, 6 open"))
    what = f"split, kind 6, {LOOPS} endless loops of 1 s among {len(loops)}"
    say(what, "stated", ratio(lanes, "split, loops", "split, loops, 6 open"))
    say("split, kinds 3, 4 and 6 together", "stated", ratio(lanes, "split", "split, 3 and 6 open"))


def _checked(lane: Lane, context: Callable[[], object]) -> int:
    with context():  # type: ignore[attr-defined]
        passed = lane.run()
    if passed != len(PROBLEMS):
        raise SystemExit(f"{lane.name}: {passed} of {len(PROBLEMS)} canonical solutions passed")
    return passed


# Part 12: ground truth.


@contextmanager
def _cache_in(folder: str) -> Iterator[None]:
    with mock.patch.dict(os.environ, ASSAY_CACHE=folder):
        yield


def ground_truth_rows(rounds: int) -> None:
    suite, table = load_suite("humaneval"), SandboxTable(workers=2)
    options = samples_file.Options(k=(1,), cache=CacheUse(enabled=False))
    lanes: dict[str, Lane] = {}
    sizes: dict[str, int] = {}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())

        def evaluate(file: Path) -> int:
            return samples_file.evaluate_file(suite, file, table, options).tally.n_samples

        def cold(file: Path) -> int:
            with tempfile.TemporaryDirectory() as cache, _cache_in(cache):
                return evaluate(file)

        def cached(file: Path) -> int:
            with _cache_in(folder):
                return evaluate(file)

        def without(file: Path) -> int:
            with (
                mock.patch.object(samples_file, "settle", _unsettled),
                mock.patch.object(samples_file, "_answered", _none_answered),
            ):
                return cached(file)

        for count in (1, REPEATED):
            file = Path(folder) / f"{count}.jsonl"
            rows = [{"task_id": key, "completion": p["canonical_solution"]} for key, p in PROBLEMS.items()]
            file.write_text("".join(json.dumps(row) + "\n" for row in rows * count))
            for way in (cold, cached, without):
                name = f"{way.__name__} {count}"
                lanes[name] = Lane(name, lambda way=way, file=file: way(file))  # type: ignore[misc]
                sizes[name] = len(PROBLEMS) * count
        measure(lanes, sizes, rounds)
    for count in (1, REPEATED):
        for state in ("cold", "cached"):
            what = f"ground truth, {state}, {count} sample{'s' if count > 1 else ''} a problem ÷ without"
            say(what, "stated", ratio(lanes, f"{state} {count}", f"without {count}"))


def _unsettled(suite: Suite, *_: object, **__: object) -> Suite:
    return suite


def _none_answered(_: object) -> set[str]:
    return set()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", choices=["kinds", "truth"])
    arguments = parser.parse_args()
    rounds = arguments.rounds
    print(
        f"{probe().label}; Python {sys.version.split()[0]}; {os.cpu_count()} cores; load {os.getloadavg()}; "
        f"{rounds} rounds; HumanEval's canonical solutions, two workers"
    )
    print("\n| figure | to reach | median (quartiles) |\n|---|---|---|")
    if arguments.only != "truth":
        kinds_rows(rounds)
    if arguments.only != "kinds":
        ground_truth_rows(rounds)
    print(f"\nload at the end {os.getloadavg()}")


if __name__ == "__main__":
    main()
