"""What `publish` promises: the old content or the new, and nothing beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from assay.trainers.files import publish, write_text


def test_a_file_takes_an_older_files_place(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    write_text(target, "new")
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_an_exception_leaves_the_old_content_and_no_part(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(ValueError, match="half"), publish(target) as part:
        part.write_text("ne")
        raise ValueError("half")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with publish(target) as part:
        part.mkdir()
        (part / "weights").write_text("w")
        assert not target.exists()
    assert (target / "weights").read_text() == "w"


def test_a_kill_leaves_the_old_content(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom assay.trainers.files import publish\n"
        "with publish(Path(sys.argv[1])) as part:\n"
        "    part.write_text('ne')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert target.read_text() == "old"


def test_what_a_killed_process_left_is_removed_and_a_running_ones_is_not(tmp_path: Path) -> None:
    """A process of number 2^22 + 1 does not exist: the kernel's largest is 2^22."""
    target = tmp_path / "model.gguf"
    abandoned = [tmp_path / f".model.gguf.{2**22 + 1}.part{end}" for end in ("", ".f32")]
    running, other = tmp_path / f".model.gguf.{os.getppid()}.part", tmp_path / f".other.{2**22 + 1}.part"
    for path in (*abandoned, running, other):
        path.write_text("half")
    write_text(target, "new")
    assert target.read_text() == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in (target, running, other))
