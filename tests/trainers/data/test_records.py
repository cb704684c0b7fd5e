"""Training records: every row read is kept or dropped with a reason; a malformed one names file, line and field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from assay.trainers import DataConfig, DataError, load_records
from assay.trainers.data import Message, records_from_jsonl


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def turns(*roles: str) -> dict[str, object]:
    return {"messages": [{"role": role, "content": f"says {role}"} for role in roles]}


def test_both_row_forms_become_chats(tmp_path: Path) -> None:
    pair = {"prompt": "Add.", "completion": "    return a + b"}
    path = write(tmp_path / "d.jsonl", turns("system", "user", "assistant"), pair)
    records = records_from_jsonl(path)
    assert [m.role for m in records.kept[0].messages] == ["system", "user", "assistant"]
    assert records.kept[1].messages == (Message("user", "Add."), Message("assistant", "    return a + b"))
    assert records.kept[1].source == f"{path}:2"


def test_what_cannot_be_learned_from_is_dropped_and_counted(tmp_path: Path) -> None:
    empty = {"prompt": "Add.", "completion": "  \n"}
    path = write(tmp_path / "d.jsonl", turns("user", "assistant"), turns("user"), "", empty, turns("user"))
    records = records_from_jsonl(path)
    assert records.dropped == {"last turn is not the assistant's": 2, "empty assistant turn": 1}
    assert records.n_read == len(records.kept) + sum(records.dropped.values()) == 4


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("{not json", "not JSON"),
        ("[1]", "expected a JSON object, got list"),
        ({"prompt": "x"}, "field 'completion' should be a string, found nothing"),
        ({"prompt": 3, "completion": "y"}, "field 'prompt' should be a string, found int"),
        ({"messages": []}, "field 'messages' should be a non-empty list"),
        ({"messages": ["hi"]}, r"field 'messages\[0\]' should be an object"),
        ({"messages": [{"role": "bot", "content": ""}]}, r"field 'messages\[0\].role' is 'bot'"),
        ({"messages": [{"role": "user", "content": 1}]}, r"field 'messages\[0\].content' should be a string"),
        ({"messages": [{"role": "user", "content": "", "x": 1}]}, r"unknown keys \['x'\]"),
        (turns("user", "user"), r"field 'messages\[1\].role' repeats 'user'"),
        (turns("user", "system"), r"field 'messages\[1\].role' is 'system'"),
    ],
)
def test_a_malformed_row_names_file_line_and_field(tmp_path: Path, row: object, says: str) -> None:
    path = write(tmp_path / "d.jsonl", turns("user", "assistant"), "", row)
    with pytest.raises(DataError, match=says) as refused:
        records_from_jsonl(path)
    assert f"{path}:3" in str(refused.value)


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 last turn is not"):
        records_from_jsonl(write(tmp_path / "d.jsonl", turns("user")))
    with pytest.raises(DataError, match="no training file"):
        records_from_jsonl(tmp_path / "absent.jsonl")


def test_the_hash_is_of_what_is_kept(tmp_path: Path) -> None:
    a = records_from_jsonl(write(tmp_path / "a.jsonl", turns("user", "assistant")))
    b = records_from_jsonl(write(tmp_path / "b.jsonl", "", turns("user", "assistant"), turns("user")))
    c = records_from_jsonl(write(tmp_path / "c.jsonl", turns("system", "user", "assistant")))
    assert a.sha256 == b.sha256 != c.sha256


def test_records_of_a_suite() -> None:
    records = load_records(DataConfig(suite="pocket", n=40, seed=3))
    assert len(records.kept) == records.n_read == 40
    assert all([m.role for m in r.messages] == ["user", "assistant"] for r in records.kept)
    assert records == load_records(DataConfig(suite="pocket", n=40, seed=3))
    assert records.sha256 != load_records(DataConfig(suite="pocket", n=40, seed=4)).sha256


def test_a_suite_that_only_measures_cannot_be_trained_on() -> None:
    with pytest.raises(DataError, match="'humaneval' makes no training records; those that do: pocket"):
        load_records(DataConfig(suite="humaneval", n=5))


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"file": "a", "suite": "pocket", "n": 1},
        {"suite": "pocket"},
        {"suite": "pocket", "n": 0},
        {"suite": "pocket", "n": 1, "split": "test"},
        {"file": "a", "nn": 1},
    ],
)
def test_the_table_names_one_source(table: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DataConfig.model_validate(table)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip))
def test_any_text_comes_back_as_it_went_in(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = write(tmp_path_factory.mktemp("d") / "d.jsonl", {"prompt": text, "completion": text})
    assert records_from_jsonl(path).kept[0].messages == (Message("user", text), Message("assistant", text))
