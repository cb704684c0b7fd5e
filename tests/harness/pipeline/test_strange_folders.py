"""A results folder of somebody else's: nothing outside of it is read or written, and nothing waits for ever."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.harness.errors import BadInputError, exit_code_of
from assay.harness.files import append_lines, read_json, recover_lines
from assay.harness.pipeline.steps import _inside
from assay.harness.pipeline.store import Store
from assay.trainers.errors import ArtifactError, UnsafePathError
from assay.trainers.files import append_to, check_tree, open_below, open_file, publish

ROOT = Path(__file__).parents[3]
SECRET = "the user's own\n"


@pytest.fixture(autouse=True)
def _in_time() -> Iterator[None]:
    """A pipe that is opened, or a removal that is tried for ever, fails here and not at the end of the day."""

    def late(*_: object) -> None:
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


class Results:
    """Results with one finished and one unfinished step, and a file of the user's outside."""

    def __init__(self, folder: Path) -> None:
        self.secret = folder / "secret"
        self.secret.write_text(SECRET)
        self.store = Store(folder / "runs" / "e")
        self.root, self.steps = self.store.root, self.store.root / "steps"
        (self.store.work("generate-a", "01") / "samples.jsonl").write_text('{"a": 1}\n')
        self.store.commit("generate-a", "01", {"name": "generate-a", "config": {}, "made_from": {}})
        self.done = self.store.path("generate-a", "01")
        self.part = self.store.work("execute-a", "02")
        append_lines(self.part / "verdicts.jsonl", [{"outcome": "fail"}])
        (self.root / "run01").mkdir()


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path)


def link(path: Path, to: Path | str) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.symlink_to(to)


def pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def in_order(*changes: Callable[[Results], Any]) -> Callable[[Results], None]:
    def make(results: Results) -> None:
        for change in changes:
            change(results)

    return make


HOSTILE: dict[str, Callable[[Results], None]] = {
    "the lock": lambda r: link(r.root / ".lock", r.secret),
    "the lock to nothing": lambda r: link(r.root / ".lock", r.secret.with_name("made")),
    "the lock as a pipe": lambda r: pipe(r.root / ".lock"),
    "the experiment's folder": in_order(
        lambda r: shutil.move(r.root, r.secret.with_name("moved")), lambda r: link(r.root, "../moved")
    ),
    "the steps": in_order(
        lambda r: shutil.move(r.steps, r.secret.with_name("moved")), lambda r: link(r.steps, "../../moved")
    ),
    "an unfinished step": lambda r: link(r.part, r.secret.parent),
    "its lines": lambda r: link(r.part / "verdicts.jsonl", r.secret),
    "its table": lambda r: link(r.part / "verdicts.parquet", "../../../../secret"),
    "its lines as a pipe": lambda r: pipe(r.part / "verdicts.jsonl"),
    "a finished step": lambda r: link(r.done, r.secret.parent),
    "a finished step at the root": lambda r: link(r.done, "/etc"),
    "a finished step above": lambda r: link(r.done, ".."),
    "a finished step through another": in_order(
        lambda r: link(r.steps / "generate-a-03", "generate-a-04"),
        lambda r: link(r.steps / "generate-a-04", "generate-a-01"),
    ),
    "a step to nothing": lambda r: link(r.done, "generate-a-99"),
    "a step to itself": lambda r: link(r.done, r.done.name),
    "its record": lambda r: link(r.done / "step.json", r.secret),
    "its record as a pipe": lambda r: pipe(r.done / "step.json"),
    "the run's folder": lambda r: link(r.root / "run01", r.secret.parent),
    "a report of the run": lambda r: link(r.root / "run01" / "report.html", r.secret),
    "a pipe in the run": lambda r: pipe(r.root / "run01" / "plan.json"),
    "a checkpoint below": in_order(
        lambda r: (r.part / "model" / "checkpoints").mkdir(parents=True),
        lambda r: link(r.part / "model" / "checkpoints" / "optimizer.pt", r.secret),
    ),
    "the training's log": in_order(
        lambda r: (r.part / "model").mkdir(), lambda r: link(r.part / "model" / "train_log.jsonl", r.secret)
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_link_or_a_pipe_stops_the_run_by_name_before_anything_is_done(case: str, results: Results) -> None:
    HOSTILE[case](results)
    with pytest.raises(UnsafePathError) as refused, results.store.lock():
        pytest.fail("the run began")
    assert exit_code_of(refused.value) == 3
    assert str(results.root) in str(refused.value)
    assert results.secret.read_text() == SECRET
    assert not results.secret.with_name("made").exists()


@pytest.mark.parametrize(
    "case",
    [
        "a finished step",
        "a finished step above",
        "its record",
        "its record as a pipe",
        "a step to nothing",
        "a step to itself",
        "a finished step at the root",
    ],
)
def test_looking_at_a_step_follows_no_link_and_waits_on_no_pipe(case: str, results: Results) -> None:
    HOSTILE[case](results)
    with pytest.raises(UnsafePathError):
        results.store.record("generate-a", "01")


def test_links_in_the_trash_are_removed_and_not_followed(results: Results) -> None:
    link(results.steps / ".trash-1-a", results.secret.parent)
    link(results.steps / ".trash-2-a", results.secret)
    pipe(results.steps / ".trash-3-a")
    (results.steps / ".trash-4-a").mkdir()
    link(results.steps / ".trash-4-a" / "in", results.secret.parent)
    with results.store.lock():
        assert not list(results.steps.glob(".trash-*"))
    assert results.secret.read_text() == SECRET
    assert results.done.is_dir()


def test_our_own_links_stand(results: Results) -> None:
    link(results.steps / "generate-a-05", "generate-a-01")
    with results.store.lock():
        assert results.store.record("generate-a", "05") == results.store.record("generate-a", "01")


NAMES = ["../../secret", "a/b", "..", "", "a\x00b", "a\n", "-a", ".trash-1", "a" * 5000 + "/"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_out_of_a_plan_is_the_name_of_a_step(name: str, results: Results) -> None:
    with pytest.raises(UnsafePathError):
        results.store.path(name, "" if name else "..")


@pytest.mark.parametrize("path", ["../../../secret", "/etc/hostname", "model/../../x", 3, None, ["model"]])
def test_a_record_names_no_model_outside_its_step(path: Any, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="outside of it"):
        _inside(path, tmp_path)
    assert _inside("model", tmp_path) == "model"


@pytest.mark.parametrize("text", ["[]", "1", "null", "{", "", "\ufeff{", "[" * 200_000, '{"a": NaN'])
def test_a_record_that_is_none_is_refused_by_name(text: str, results: Results) -> None:
    (results.done / "step.json").write_text(text)
    with pytest.raises(BadInputError, match=r"step\.json") as refused:
        results.store.record("generate-a", "01")
    assert len(str(refused.value)) < 500


def test_a_command_refuses_such_a_folder_in_one_sentence(tmp_path: Path) -> None:
    """From outside: exit code 3, one line, the file outside as it was."""
    experiment = tmp_path / "e.toml"
    experiment.write_text(
        'name = "e"\n[suite]\nname = "pocket"\nlimit = 1\n[score]\nreference = "a"\n[[variant]]\nname = "a"\n'
        'model = "pocket"\n'
    )
    results = Results(tmp_path)
    link(results.root / ".lock", results.secret)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from assay.harness.cli import main; main()",
            "run",
            "e.toml",
            "--results",
            "runs",
            "-q",
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 3, done.stderr
    assert done.stderr.count("\n") == 1
    assert "is a link, which is not followed" in done.stderr
    assert results.secret.read_text() == SECRET


# The functions below all of this: (what stands where a file should be, whether reading refuses it too)
def test_a_file_below_a_folder_is_opened_without_following_links(tmp_path: Path) -> None:
    root, secret = tmp_path / "root", tmp_path / "secret"
    (root / "a").mkdir(parents=True)
    secret.write_text(SECRET)
    (root / "a" / "plain").write_text("x")
    (root / "a" / "link").symlink_to(secret)
    (root / "b").symlink_to("a")
    os.mkfifo(root / "pipe")
    os.link(secret, root / "second")
    with os.fdopen(open_below(root, "a/plain")) as file:
        assert file.read() == "x"
    for name in ("a/link", "b/plain", "pipe", "a", "../secret", "/etc/hostname", "", "a/../../secret"):
        for flags in (os.O_RDONLY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, os.O_WRONLY | os.O_APPEND):
            with pytest.raises((UnsafePathError, IsADirectoryError)):
                open_below(root, name, flags)
    with pytest.raises(UnsafePathError, match="a second name elsewhere"):
        open_below(root, "second", os.O_WRONLY | os.O_TRUNC)
    assert secret.read_text() == SECRET
    with pytest.raises(FileNotFoundError):
        open_below(root, "a/none")
    with pytest.raises(UnsafePathError, match="no file"):
        open_file(root / "pipe")


def test_lines_are_neither_appended_nor_cut_through_a_link(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("torn")
    (tmp_path / "lines.jsonl").symlink_to(secret)
    for use in (
        lambda: append_lines(tmp_path / "lines.jsonl", [{}]),
        lambda: recover_lines(tmp_path / "lines.jsonl"),
        lambda: append_to(tmp_path / "lines.jsonl"),
    ):
        with pytest.raises(UnsafePathError, match="is a link"):
            use()
    assert secret.read_text() == "torn"
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(UnsafePathError, match="no file"):
        read_json(tmp_path / "pipe.json")


def test_publishing_takes_a_links_place_and_leaves_what_it_led_to(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    (tmp_path / "target").symlink_to(secret)
    with publish(tmp_path / "target") as part:
        part.write_text("new")
    assert not (tmp_path / "target").is_symlink()
    assert secret.read_text() == SECRET


def test_a_tree_of_files_and_folders_is_what_is_admitted(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_text("x")
    assert check_tree(tmp_path) == {os.getuid()}
    (tmp_path / "a" / "b" / "d").symlink_to("c")
    with pytest.raises(UnsafePathError, match="is a link"):
        check_tree(tmp_path)
    assert check_tree(tmp_path, lambda path: path.name == "d") == {os.getuid()}


def test_samples_of_somebody_else_get_no_report_through_a_link(tmp_path: Path) -> None:
    """`assay score` writes beside the samples: what stands there already is not written through."""
    from assay.harness.evaluation.samples_file import MalformedRows

    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    (tmp_path / "samples_malformed.jsonl").symlink_to(secret)
    with pytest.raises(UnsafePathError, match="is a link"):
        MalformedRows(tmp_path / "samples_malformed.jsonl").add("line 1")
    assert secret.read_text() == SECRET


def test_a_training_goes_on_in_no_folder_that_leads_elsewhere(tmp_path: Path) -> None:
    from assay.harness.models.resolve import POCKET_FOLDER
    from assay.trainers.artifact import identify
    from assay.trainers.config import SftConfig
    from assay.trainers.data import records_from_suite
    from assay.trainers.run.folder import claim

    out = tmp_path / "out"
    out.mkdir()
    (out / "train_log.jsonl").symlink_to("/etc/hostname")
    with pytest.raises(UnsafePathError, match="is a link"):
        claim(
            out, identify(POCKET_FOLDER), SftConfig(method="sft"), records_from_suite("pocket", n=4, seed=0)
        )
    assert list(out.iterdir()) == [out / "train_log.jsonl"]
