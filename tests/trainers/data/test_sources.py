"""The same rows from every kind of file, and from a dataset folder; what cannot be read says so."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from assay.trainers import DataConfig, DataError, load_records
from assay.trainers.data import Message

ROWS = [{"prompt": f"Add {i}.", "completion": f"x + {i}"} for i in range(5)]


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        data = (text if "jsonl" in path.name else json.dumps(rows)).encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["d.jsonl", "d.jsonl.gz", "d.json", "d.json.gz", "d.parquet"])
def test_every_kind_of_file_gives_the_same_records(tmp_path: Path, name: str) -> None:
    reference = load_records(DataConfig(file=write(tmp_path / "reference.jsonl", ROWS)))
    records = load_records(DataConfig(file=write(tmp_path / name, ROWS)))
    assert records.sha256 == reference.sha256
    assert records.origin == str(tmp_path / name)
    limited = load_records(DataConfig(file=tmp_path / name, n=2))
    assert (limited.n_read, len(limited.kept)) == (2, 2)


def test_nested_parquet_columns_are_chats(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    turns = [{"from": "human", "value": "x", "weight": None}, {"from": "gpt", "value": "y", "weight": None}]
    table = pa.Table.from_pylist(
        [{"conversations": turns}], schema=pa.schema({"conversations": pa.list_(pa.struct(
            {"from": pa.string(), "value": pa.string(), "weight": pa.float64()}))})
    )  # fmt: skip
    pq.write_table(table, tmp_path / "d.parquet")
    records = load_records(DataConfig(file=tmp_path / "d.parquet"))
    assert records.kept[0].messages == (Message("user", "x"), Message("assistant", "y"))
    assert records.kept[0].source == f"{tmp_path}/d.parquet, row 0"


def test_json_lines_in_a_json_file_are_read_as_such(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    records = load_records(DataConfig(file=tmp_path / "d.json"))
    assert records.kept[3].source == f"{tmp_path}/d.json:4"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("d.csv", b"a,b", r"unknown kind of file; known are \.jsonl"),
        ("d.json", b"[1, ", "not JSON"),
        ("d.json", b"3", "expected a list of objects, found int"),
        ("d.json", b"[3]", r"d\.json\[0\]: expected a JSON object, got int"),
        ("d.parquet", b"PAR?", "cannot be read as Parquet"),
        ("d.jsonl.gz", b"not gzip", "cannot be read from here on"),
        ("d.json.gz", b"not gzip", "cannot be read"),
    ],
)
def test_what_cannot_be_read_says_so(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=says) as refused:
        load_records(DataConfig(file=tmp_path / name))
    assert name in str(refused.value)


@pytest.mark.train
def test_a_dataset_folder_with_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder / "train.parquet", ROWS)
    write(folder / "test.parquet", ROWS[:2])
    records = load_records(DataConfig(hub=str(folder), n=3, eval_split="test"))
    assert [r.messages[0].content for r in records.kept] == ["Add 0.", "Add 1.", "Add 2."]
    assert records.origin == f"dataset {folder}, split train"
    assert records.evaluation is not None
    assert (len(records.evaluation.kept), records.evaluation.origin) == (2, f"dataset {folder}, split test")
    assert records.kept[2].source == f"{folder}[train][2]"
    assert len(load_records(DataConfig(hub=str(folder), split="train[:40%]")).kept) == 2
    with pytest.raises(DataError, match=r"split 'dev'.*[Uu]nknown split"):
        load_records(DataConfig(hub=str(folder), split="dev"))


@pytest.mark.train
def test_a_hub_dataset_that_cannot_be_reached_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets
    import huggingface_hub

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        DataError, match=r"'org/some-set' at revision 'v1', split 'train': .*offline, give a local"
    ):
        load_records(DataConfig(hub="org/some-set", revision="v1"))


@pytest.mark.train
def test_the_commit_of_a_hub_dataset_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    commit = "0123456789abcdef0123456789abcdef01234567"
    data = datasets.Dataset.from_list(ROWS)
    data.info.download_checksums = {f"hf://datasets/org/some-set@{commit}/train.parquet": {}}
    asked: dict[str, object] = {}

    def fake(path: str, **options: object) -> datasets.Dataset:
        asked.update(options, path=path)
        return data

    monkeypatch.setattr(datasets, "load_dataset", fake)
    records = load_records(DataConfig(hub="org/some-set", subset="main", split="train"))
    assert records.origin == f"dataset org/some-set (main)@{commit}, split train"
    assert asked == {"path": "org/some-set", "name": "main", "revision": None, "split": "train"}
