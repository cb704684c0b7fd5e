"""Suites from the hub through `datasets`: a local folder laid out as a dataset, and a fake hub that names commits."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from assay.suites import SuiteError, load_suite
from assay.suites.sources import read_hub

pytest.importorskip("datasets", reason="needs the train extra (datasets)")


def row(number: int) -> dict[str, Any]:
    return {
        "task_id": number,
        "text": "Double.",
        "code": "def double(x):\n    return 2 * x\n",
        "test_list": ["assert double(2) == 4"],
        "test_setup_code": "",
        "challenge_test_list": [],
    }


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset's folder with the configuration and splits that MBPP has on the hub."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "mbpp"
    (folder / "full").mkdir(parents=True)
    splits = {"prompt": 2, "test": 11, "validation": 511, "train": 601}
    listed = ""
    for split, number in splits.items():
        (folder / "full" / f"{split}.jsonl").write_text(json.dumps(row(number)) + "\n")
        listed += f"  - split: {split}\n    path: full/{split}.jsonl\n"
    (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: full\n  data_files:\n{listed}---\n")
    return folder


def test_mbpp_loads_from_a_datasets_folder(dataset: Path) -> None:
    suite = load_suite("mbpp", path=Path(f"hub:{dataset}"))
    assert [p.id for p in suite.problems] == ["Mbpp/11"]
    assert suite.source == f"hub:{dataset}"
    assert len(suite.revision.partition(":")[0]) == 64
    assert [p.id for p in load_suite("mbpp", path=Path(f"hub:{dataset}"), split="all").problems] == [
        "Mbpp/2",
        "Mbpp/11",
        "Mbpp/511",
        "Mbpp/601",
    ]


def test_a_revision_is_resolved_to_the_commit_that_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    class Api:
        def dataset_info(self, name: str, revision: str | None) -> SimpleNamespace:
            asked.append((name, revision))
            return SimpleNamespace(sha="c0ffee")

    def load(name: str, config: str | None, *, split: str, revision: str | None) -> list[dict[str, Any]]:
        asked.append((name, config, split, revision))
        return [row(11)]

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    monkeypatch.setattr("datasets.load_dataset", load)
    found = read_hub("org/mbpp@v1", "full", "test")
    assert asked == [("org/mbpp", "v1"), ("org/mbpp", "full", "test", "c0ffee")]
    assert found.source == "hub:org/mbpp@c0ffee"
    assert found.rows[0][0] == "org/mbpp@c0ffee, test row 1"


def test_what_cannot_be_loaded_says_why_and_what_to_do(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SuiteError, match=r"could not load .* offline, give a file"):
        read_hub(str(dataset), "other", "test")

    class Api:
        def dataset_info(self, name: str, revision: str | None) -> SimpleNamespace:
            raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    with pytest.raises(SuiteError, match=r"could not load .org/mbpp.*no route to host"):
        load_suite("mbpp", path=Path("hub:org/mbpp"))
    with pytest.raises(SuiteError, match="wants a dataset's id"):
        read_hub("@v1", "", "test")
