"""BigCodeBench-hard as problems of one's own: `python -m benchmarks.bigcodebench_hard [FILE]`.

The 148 problems (`../shared/data/suites/bigcodebench_hard.json.gz`) become lines of the suite `jsonl`: the test module
and a line that runs its cases is one check. `assay suites check FILE` then says how many are judged split, shared, or
are unmeasured, since their references import what is not in the sandbox. Without FILE the lines go to a temporary one,
and the check runs at once.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[2] / "shared" / "data" / "suites" / "bigcodebench_hard.json.gz"
RUN = """
import io
outcome = unittest.TextTestRunner(io.StringIO()).run(unittest.defaultTestLoader.loadTestsFromTestCase(TestCases))
for case, trace in (*outcome.errors, *outcome.failures):
    raise AssertionError(f"{case.id()}: {trace.strip().splitlines()[-1]}")
"""


def problem(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as a line of the suite jsonl."""
    return {
        "id": row["task_id"],
        "prompt": row["complete_prompt"],
        "entry_point": row["entry_point"],
        "checks": [row["test"] + RUN],
        "canonical_solution": row["canonical_solution"],
        "instruction": row["instruct_prompt"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, help="write the lines here, and check nothing")
    target = parser.parse_args().file
    if not SOURCE.is_file():
        print(f"unmeasured: {SOURCE} is not there")
        return
    rows = json.loads(gzip.decompress(SOURCE.read_bytes())).values()
    lines = "".join(json.dumps(problem(row)) + "\n" for row in rows)
    if target is not None:
        target.write_text(lines)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bigcodebench-hard.jsonl"
        file.write_text(lines)
        start = "from assay.harness.cli import main; main()"
        subprocess.run([sys.executable, "-c", start, "suites", "check", str(file), "--all"], check=False)


if __name__ == "__main__":
    main()
