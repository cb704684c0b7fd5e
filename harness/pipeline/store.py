"""The steps of an experiment on disk: a folder per step, which appears by one rename when the step is done."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.harness.errors import AssayError, BadInputError, CheckFailedError
from assay.harness.files import read_json, write_json
from assay.trainers.errors import UnsafePathError
from assay.trainers.files import check_tree, open_below

STEP_FILE = "step.json"
TRASH = ".trash-"
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*", re.ASCII)
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One piece of work.

    `name` is LABEL-VARIANT, `kind` a key of `assay.harness.pipeline.plan.KINDS`, and `inputs` are names of earlier
    steps. `id` is the hash of the label, the kind's version, `config` and the ids of the inputs; `spec` is the typed
    form of `config`, which the kind works from.
    """

    name: str
    kind: str
    variant: str
    id: str
    config: dict[str, Any]
    inputs: tuple[str, ...]
    spec: Any = None

    @property
    def label(self) -> str:
        """The beginning of `name`: the kind, but "sample" and "verify" where answers are drawn for preferences."""
        return self.name.removesuffix(f"-{self.variant}")


class Store:
    """The steps of one experiment: `<root>/steps/<name>-<id>/`, each present only when it is done."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, name: str, step_id: str) -> Path:
        """Return the folder of the finished step. Raises UnsafePathError for a name that leads elsewhere.

        Names and ids may come from a `plan.json` of somebody else's.
        """
        folder = f"{name}-{step_id}"
        if not _NAME.fullmatch(folder):
            raise UnsafePathError(f"{folder!r:.200} is no name of a step's folder in {self.root}")
        return self.root / "steps" / folder

    def work(self, name: str, step_id: str) -> Path:
        """Return the unfinished step's folder; it outlives a kill, so that the step can go on where it was."""
        folder = self._unfinished(name, step_id)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _unfinished(self, name: str, step_id: str) -> Path:
        final = self.path(name, step_id)
        return final.with_name(f"{final.name}.part")  # not with_suffix: a variant's name may hold a dot

    def record(self, name: str, step_id: str) -> Record | None:
        """Return what the finished step recorded about itself, or None when it is not done."""
        return self._record_in(self.path(name, step_id))

    def folder(self, name: str, step_id: str) -> Path:
        """Return the real folder of a finished step: where `path` is our link, the one that it leads to."""
        path = self.path(name, step_id)
        return path.parent / path.readlink() if is_step_link(path) else path

    def _record_in(self, folder: Path) -> Record | None:
        """Return the record in a step's folder, or in the one that it is our link to; None where there is none.

        Raises BadInputError for what is no record, UnsafePathError for other links and for what is no file.
        """
        try:
            link = folder.readlink()
        except OSError:
            link = None
        if link is not None:
            if not is_step_link(folder):
                raise UnsafePathError(
                    f"{folder} is a link to {str(link)!r:.200}, which is not followed: remove it"
                )
            folder = folder.parent / link
        try:
            record = read_json(folder.relative_to(self.root) / STEP_FILE, self.root)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not isinstance(record, dict):
            raise BadInputError(
                f"{folder / STEP_FILE} is no record of a step: remove the folder to do the step again"
            )
        return record

    def equal_record(
        self, step: Step, version: int, made_from: Mapping[str, str]
    ) -> tuple[Path, Record] | None:
        """Return folder and record of a finished step with another id and the same name, configuration and inputs.

        It is the newest of several. The inputs are compared by content (`made_from` holds their tokens). An id also
        changes when something changes that an input depends on and that left the input as it was: preferences that
        were judged by newer code and came out alike are learned from once.
        """
        config = json.loads(json.dumps(step.config, default=str))
        equal = [
            (folder, record)
            for folder in self.root.glob(f"steps/{step.name}-*")
            if not folder.name.endswith(".part")
            and (record := self._record_in(folder)) is not None
            and record.get("name") == step.name
            and record.get("format", 1) == version
            and (record.get("config"), record.get("made_from")) == (config, dict(made_from))
        ]
        return max(equal, key=lambda pair: str(pair[1]["finished"]), default=None)

    def link(self, step: Step, folder: Path) -> None:
        """Let `step` be the finished step in `folder`, by a link to that."""
        path = self.path(step.name, step.id)
        _remove(path)
        path.symlink_to(folder.resolve().name, target_is_directory=True)

    def commit(self, name: str, step_id: str, record: Record) -> None:
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
        self.restart(name, step_id)

    def restart(self, name: str, step_id: str) -> None:
        """Remove the step's unfinished folder."""
        _remove(self._unfinished(name, step_id))

    def reopen(self, name: str, step_id: str) -> None:
        """Remove the finished step and keep its unfinished folder, which takes its place."""
        _remove(self.path(name, step_id))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Admit one run at a time per experiment; the lock ends with the process that has it."""
        if self.root.is_symlink():
            raise UnsafePathError(
                f"{self.root} is a link, which is not followed: give --results the folder that it leads to"
            )
        self.root.mkdir(parents=True, exist_ok=True)
        with os.fdopen(open_below(self.root, ".lock", os.O_RDWR | os.O_CREAT), "r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BadInputError(
                    f"another `assay run` is at work in {self.root}: wait for it, or give --results another folder"
                ) from None
            self._check()
            yield

    def _check(self) -> None:
        """Refuse a folder in which something leads elsewhere, and remove what a kill within a removal left."""
        if (self.root / "steps").is_symlink():
            raise UnsafePathError(f"{self.root / 'steps'} is a link, which is not followed: remove it")
        for trash in self.root.glob(f"steps/{TRASH}*"):
            if trash.is_dir() and not trash.is_symlink():
                shutil.rmtree(trash)
            else:
                trash.unlink()
        check_tree(self.root, is_step_link)


def is_step_link(path: Path) -> bool:
    """Return whether a link is one of ours (`Store.link`): from a step's folder to another beside it."""
    if path.parent.name != "steps" or not path.is_symlink():
        return False
    target = str(path.readlink())
    sibling = path.parent / target
    return bool(_NAME.fullmatch(target)) and sibling.is_dir() and not sibling.is_symlink()


def step_record(store: Store, step: Step) -> Record:
    """Return the record of a finished step. Raises AssayError where it is not done."""
    record = store.record(step.name, step.id)
    if record is None:
        raise AssayError(f"step {step.name} is not done")
    return record


def old_result(store: Store, folder: str, name: str, decisive: str) -> Any | None:
    """Return what version 0.1 left in a folder beside the steps, which the text `decisive` decides, or None."""
    digest = hashlib.sha256(decisive.encode()).hexdigest()[:12]
    try:
        return read_json(Path(folder) / f"{name}-{digest}.json", store.root)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _remove(folder: Path) -> None:
    """Remove a folder; renamed first, so that a kill half-way leaves no folder that looks like a step."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
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
