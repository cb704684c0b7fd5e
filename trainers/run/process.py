"""Run a training in a process of its own, so that its peak memory is its own and is freed when it ends.

The processes are forked from one small server that has imported the libraries and has never touched a model: the
import (five seconds and more) is paid once for all trainings of an `assay run`. Steps come back through a pipe; when
the parent is killed, the pipe breaks and the child stops at its next step, and a lock on the folder keeps the parent's
successor from training into it before that.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from assay.sandbox import SandboxError
from assay.trainers.artifact import Artifact
from assay.trainers.config import CommonConfig
from assay.trainers.data.inputs import TrainingData
from assay.trainers.errors import TrainersError, TrainingError
from assay.trainers.run.facts import OWN_PROCESS
from assay.trainers.run.log import OnStep, TrainingStep, rss_bytes
from assay.trainers.run.runtime import let_idle_threads_sleep

_INTERRUPTED = 130


def train_alone(
    base: Artifact,
    config: CommonConfig,
    records: TrainingData,
    out: Path,
    on_step: OnStep | None = None,
    *,
    threads: int | None = None,
) -> Artifact:
    """Train as the method's own trainer does, in a process of its own, and return the artifact.

    `threads` are the CPU threads of torch (None: its own choice). Raises what the trainer raises, and TrainingError
    where the process died.
    """
    let_idle_threads_sleep()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["assay.trainers.run.preload"])
    pipe, childs_end = context.Pipe()
    child = context.Process(target=_train, args=(childs_end, base, config, records, out, threads))
    with _safe_path():
        child.start()
    childs_end.close()
    try:
        while True:
            try:
                message = pipe.recv()
            except EOFError:
                child.join()
                raise TrainingError(_how_it_died(child.exitcode, out)) from None
            if isinstance(message, TrainingStep):
                if on_step is not None:
                    on_step(message)
                continue
            child.join()
            if isinstance(message, Artifact):
                return message
            assert isinstance(message, BaseException)
            raise message
    finally:
        pipe.close()
        if child.is_alive():
            child.terminate()
            child.join()


@contextmanager
def _safe_path() -> Iterator[None]:
    """Keep the current folder off the path of the server's interpreter: a user's folder of a library's name would be
    imported in the library's place."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


def _train(
    pipe: Connection,
    base: Artifact,
    config: CommonConfig,
    records: TrainingData,
    out: Path,
    threads: int | None,
) -> None:
    from assay.trainers import TRAINERS

    os.environ[OWN_PROCESS] = str(rss_bytes())
    try:
        if threads:
            import torch

            torch.set_num_threads(threads)
        out.mkdir(parents=True, exist_ok=True)
        with _locked(out):
            artifact = TRAINERS.get(config.method)(base, config, records, out, pipe.send)
        pipe.send(artifact)
    except (TrainersError, SandboxError) as error:
        pipe.send(error)
    except BrokenPipeError:
        sys.exit(0)  # the parent is gone; its successor goes on from the last checkpoint
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def _how_it_died(code: int | None, out: Path) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = "; the kernel does that when memory runs out" if name == "SIGKILL" else ""
        return (
            f"the training process was ended by {name}{hint}: lower batch_size or max_length, and run again; "
            f"it goes on from the last checkpoint in {out}"
        )
    return f"the training process ended with exit code {code} and no result; its messages are above"


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Hold the folder's lock, waiting for a predecessor that is just ending: one training at a time."""
    with (out / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
