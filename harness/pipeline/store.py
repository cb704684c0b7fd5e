"""Files that are whole or absent: atomic writes, and step directories that appear by rename."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assay.harness.errors import AssayError, BadInputError, CheckFailedError
from assay.harness.files import read_json, write_json
from assay.harness.pipeline.plan import Step

STEP_FILE = "step.json"
TRASH = ".trash-"


def _remove(folder: Path) -> None:
    """Remove a folder; renamed first, so that a kill half-way leaves no folder that looks like a step."""
    if folder.exists():
        trash = folder.with_name(f"{TRASH}{os.getpid()}-{folder.name}")
        folder.rename(trash)
        shutil.rmtree(trash)


def _sync(path: Path) -> None:
    """Force a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Store:
    """The steps of one experiment: `<root>/steps/<name>-<id>/`, each present only when it is done."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, name: str, step_id: str) -> Path:
        return self.root / "steps" / f"{name}-{step_id}"

    def work(self, name: str, step_id: str) -> Path:
        """The unfinished step's folder; it outlives a kill, so that the step can go on where it was."""
        folder = self._unfinished(name, step_id)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _unfinished(self, name: str, step_id: str) -> Path:
        final = self.path(name, step_id)
        return final.with_name(f"{final.name}.part")  # not with_suffix: a variant's name may hold a dot

    def record(self, name: str, step_id: str) -> dict[str, Any] | None:
        """What the finished step wrote about itself, or None when it is not done."""
        file = self.path(name, step_id) / STEP_FILE
        if not file.exists():
            return None
        record: dict[str, Any] = read_json(file)
        return record

    def commit(self, name: str, step_id: str, record: dict[str, Any]) -> None:
        """Make the work folder the step: its record is written first, then one rename."""
        work, final = self.work(name, step_id), self.path(name, step_id)
        write_json(work / STEP_FILE, record)
        if (final / STEP_FILE).exists():
            raise CheckFailedError(f"{final} is already there: another run finished the same step meanwhile")
        _remove(final)
        for path in (*work.rglob("*"), work):
            _sync(path)
        work.rename(final)
        _sync(final.parent)

    def discard(self, name: str, step_id: str) -> None:
        """Remove the step, finished and unfinished."""
        _remove(self.path(name, step_id))
        _remove(self._unfinished(name, step_id))

    def reopen(self, name: str, step_id: str) -> None:
        """Remove the finished step and keep its unfinished folder, which takes its place."""
        _remove(self.path(name, step_id))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One run at a time per experiment; the lock goes with the process that held it."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BadInputError(
                    f"another `assay run` is at work in {self.root}: wait for it, or give --results another folder"
                ) from None
            for trash in self.root.glob(f"steps/{TRASH}*"):  # what a kill within a removal left
                shutil.rmtree(trash)
            yield


def step_record(store: Store, step: Step) -> dict[str, Any]:
    record = store.record(step.name, step.id)
    if record is None:
        raise AssayError(f"step {step.name} is not done")
    return record
