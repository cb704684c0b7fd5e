"""What execution costs a PPO step: `python -m benchmarks.ppo_execution [FOLDER]`.

Answers are executed while others are still being drawn, so most of the execution hides behind generation. Its cost is
what was waited for (`execute_wait_s`) as a share of the step's wall time. Read from the `rl_log.jsonl` of a finished
ppo training, which FOLDER holds; without one the lab's configuration (suites/labs/ppo.toml) is trained for a few
updates. The first step, in which the sandbox's cells and torch's memory are still cold, is left out and said so.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import median

from assay.trainers.rl.log import RL_LOG, RlStep, read_rl_steps

GOAL = 0.05
UPDATES = 8
LAB = Path(__file__).parents[1] / "suites" / "labs" / "ppo.toml"


def wall_s(step: RlStep) -> float:
    return step.generate_s + step.execute_wait_s + step.train_s


def train(folder: Path) -> Path:
    """A few updates of the lab's training, as `assay train` makes them."""
    from assay.harness.training.file import load_job
    from assay.trainers.run.process import train_alone

    job = load_job(LAB, folder / "out")
    config = job.config.model_copy(update={"max_steps": UPDATES})
    print(f"{LAB.name}: {UPDATES} updates on {job.records.counts()}", flush=True)
    return train_alone(job.base, config, job.records, folder / "out").path


def main(folder: Path) -> int:
    steps = read_rl_steps(folder / RL_LOG)
    if len(steps) < 2:
        print(f"{folder / RL_LOG} holds {len(steps)} steps; at least 2 are needed", file=sys.stderr)
        return 2
    warm = steps[1:]
    shares = [s.execute_wait_s / wall_s(s) for s in warm]
    total = sum(s.execute_wait_s for s in warm) / sum(wall_s(s) for s in warm)
    print(f"{len(warm)} steps after the first, {sum(s.answers for s in warm)} answers")
    for name, values in (
        ("generate", [s.generate_s for s in warm]),
        ("train", [s.train_s for s in warm]),
        ("execute, all of it", [s.execute_s for s in warm]),
        ("execute, waited for", [s.execute_wait_s for s in warm]),
    ):
        print(f"  {name:20} median {median(values):8.3f} s, most {max(values):8.3f} s")
    print(
        f"execution's share of the wall time: {total:.2%} (median step {median(shares):.2%}, worst {max(shares):.2%})"
    )
    return 0 if total < GOAL else 1


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(main(Path(sys.argv[1])))
    with tempfile.TemporaryDirectory() as made:
        sys.exit(main(train(Path(made))))
