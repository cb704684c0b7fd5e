"""Seconds and peak memory of `assay board` on large Parquet files: `python -m benchmarks.board [--large]`.

Verdicts are drawn for 50 models, 1,000 problems and 2 samples a problem (with `--large` 100,000 problems), written as
one Parquet file with the columns model, problem, sample and passed, and ranked by the command in a process of its own.
Exits with 1 where the peak is above 1 GB (4 GB).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MODELS, SAMPLES = 50, 2
SMALL, LARGE = (1_000, 1.0), (100_000, 4.0)  # problems, and GB that the command may take


def write_verdicts(
    path: Path, problems: int, *, models: int = MODELS, samples: int = SAMPLES, seed: int = 0
) -> None:
    """Write drawn verdicts: a problem's difficulty and a model's strength add up to the chance of passing."""
    rng = np.random.default_rng(seed)
    difficulty = rng.random(problems)
    names = pa.array([f"problem-{i}" for i in range(problems)])
    numbers = np.repeat(np.arange(problems, dtype=np.int32), samples)
    schema = pa.schema(
        [("model", pa.string()), ("problem", pa.string()), ("sample", pa.int32()), ("passed", pa.bool_())]
    )
    with pq.ParquetWriter(path, schema) as writer:
        for place in range(models):
            chance = np.clip(difficulty + 0.2 * (place / max(1, models - 1) - 0.5), 0, 1)
            columns = [
                pa.array([f"model-{place:02}"] * len(numbers)),
                names.take(pa.array(numbers)),
                pa.array(np.tile(np.arange(samples, dtype=np.int32), problems)),
                pa.array(rng.random(len(numbers)) < chance[numbers]),
            ]
            writer.write_table(pa.table(columns, schema=schema))


def measure(path: Path) -> tuple[float, float, dict[str, object]]:
    """Return seconds, peak GB and the board of `assay board PATH --json`."""
    command = [
        sys.executable,
        "-c",
        "from assay.harness.cli import main; main()",
        "board",
        str(path),
        "--json",
        "-q",
    ]
    started = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
        out.seek(0)
        board = json.load(out)
    return seconds, usage.ru_maxrss * 1024 / 1e9, board


def main() -> int:
    """Measure one size, print the row and return the exit code."""
    problems, most = LARGE if "--large" in sys.argv else SMALL
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "verdicts.parquet"
        write_verdicts(path, problems)
        size = path.stat().st_size
        seconds, peak, board = measure(path)
    assert len(board["models"]) == MODELS  # type: ignore[arg-type]
    print(
        f"{MODELS} models x {problems:,} problems x {SAMPLES} samples ({size / 1e6:.1f} MB of Parquet): "
        f"{seconds:.1f} s, peak {peak:.2f} GB (at most {most:g})"
    )
    return int(peak > most)


if __name__ == "__main__":
    sys.exit(main())
