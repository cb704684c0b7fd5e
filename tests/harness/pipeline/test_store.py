"""Files are whole or absent, and what a killed process left is used as far as it is good."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.harness.errors import BadInputError
from assay.harness.files import append_lines, read_json, recover_lines, write_json, write_text
from assay.harness.pipeline.store import Store


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_json(file, {"x": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(file, {"x": float("nan")})
    with pytest.raises(UnicodeEncodeError):
        write_text(file, "\ud800")
    assert read_json(file) == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@given(cut=st.integers(0, 200))
def test_a_torn_file_gives_back_its_whole_lines_and_takes_new_ones(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("torn") / "rows.jsonl"
    rows = [{"i": i, "text": "é\n" * i} for i in range(5)]
    append_lines(file, rows)
    whole = file.read_bytes()
    file.write_bytes(whole[: min(cut, len(whole))])
    kept = recover_lines(file)
    assert kept == rows[: len(kept)]
    assert len(kept) == whole[: min(cut, len(whole))].count(b"\n")
    append_lines(file, rows[len(kept) :])
    assert recover_lines(file) == rows


def test_a_step_is_absent_until_committed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    work = store.work("train-a", "0123")
    (work / "half").write_text("done")
    assert store.record("train-a", "0123") is None
    assert store.work("train-a", "0123") == work  # a second attempt finds the first one's work
    store.commit("train-a", "0123", {"seconds": 1})
    assert store.record("train-a", "0123") == {"seconds": 1}
    assert (store.path("train-a", "0123") / "half").read_text() == "done"
    assert not work.exists()


def test_steps_of_names_with_dots_do_not_share_a_folder(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folders = {
        store.work(f"generate-{name}", identity) for name in ("v1.0", "v1.5") for identity in ("01", "02")
    }
    assert len(folders) == 4
    store.discard("generate-v1.0", "01")
    assert sum(folder.exists() for folder in folders) == 3


def test_a_half_removed_step_does_not_stand_in_the_way(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.path("train-a", "01").mkdir(parents=True)  # as a kill within an older removal left it: no record
    (store.path("train-a", "01") / "rest").write_text("x")
    store.work("train-a", "01")
    store.commit("train-a", "01", {"seconds": 1})
    assert store.record("train-a", "01") == {"seconds": 1}
    assert not (store.path("train-a", "01") / "rest").exists()


def test_what_a_kill_within_a_removal_left_is_cleared_by_the_next_run(tmp_path: Path) -> None:
    left = tmp_path / "steps" / ".trash-1-train-a-01"
    left.mkdir(parents=True)
    (left / "weights").write_text("x")
    with Store(tmp_path).lock():
        assert not left.exists()


def test_two_runs_of_one_experiment_do_not_mix(tmp_path: Path) -> None:
    store = Store(tmp_path)
    code = (
        "import sys; from pathlib import Path; from assay.harness.pipeline.store import Store\n"
        f"with Store(Path({str(tmp_path)!r})).lock(): pass"
    )
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3] / "src")}
    with store.lock():
        other = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
        )
        assert "another `assay run` is at work" in other.stderr
        with pytest.raises(BadInputError), Store(tmp_path).lock():
            pytest.fail("two locks at once")
    assert subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode == 0


def test_json_is_plain_utf8(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": "é"})
    assert json.loads((tmp_path / "a.json").read_bytes().decode("utf-8")) == {"name": "é"}
