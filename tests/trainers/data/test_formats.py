"""Every shape of row becomes the same chat, a foreign role or column is named, and nothing read is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from assay.trainers import DataConfig, DataError, Records, load_records
from assay.trainers.data import HELD_OUT, Message

SYSTEM, USER, ANSWER = Message("system", "Be brief."), Message("user", "Add."), Message("assistant", "a + b")
SHAPES: dict[str, dict[str, Any]] = {
    "messages": {"messages": [{"role": m.role, "content": m.content} for m in (SYSTEM, USER, ANSWER)]},
    "sharegpt": {
        "conversations": [
            {"from": "system", "value": "Be brief."},
            {"from": "human", "value": "Add."},
            {"from": "gpt", "value": "a + b"},
        ]
    },
    "chatml": {
        "text": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nAdd.<|im_end|>\n"
        "<|im_start|>assistant\na + b<|im_end|>\n"
    },
    "alpaca": {"system": "Be brief.", "instruction": "Add.", "input": "", "output": "a + b"},
}


def read(tmp_path: Path, *rows: object, **table: Any) -> Records:
    path = tmp_path / "d.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_records(DataConfig.model_validate({"file": path} | table))


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_the_same_chat(tmp_path: Path, shape: str, named: bool) -> None:
    records = read(tmp_path, SHAPES[shape], format=shape if named else "auto")
    assert records.kept[0].messages == (SYSTEM, USER, ANSWER)
    assert records.formats == {shape: 1}
    assert records.counts() == f"1 read, 1 kept (1 {shape})"


def test_an_alpaca_input_stands_apart_and_follows_the_instruction_in_a_chat(tmp_path: Path) -> None:
    row = {"instruction": "Sort it.", "input": "3 1 2", "output": "1 2 3"}
    record = read(tmp_path, row).kept[0]
    assert record.messages[0] == Message("user", "Sort it.", "3 1 2")
    assert record.as_dicts()[0] == {"role": "user", "content": "Sort it.\n\n3 1 2"}
    swapped = read(tmp_path, {"instruction": "Sort it.\n\n3 1 2", "output": "1 2 3"})
    assert swapped.sha256 != read(tmp_path, row).sha256, "the Alpaca template renders them differently"


def test_a_foreign_format_is_refused_when_another_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"d\.jsonl:1: field 'conversations' should be a non-empty list"):
        read(tmp_path, SHAPES["messages"], format="sharegpt")


BAD: list[tuple[dict[str, Any], str, str]] = [
    (
        {"conversations": [{"from": "observation", "value": "x"}, {"from": "gpt", "value": "y"}]},
        r"conversations\[0\]\.from' is 'observation'; known are human, gpt, user, assistant, system; map it",
        "unknown role 'observation'",
    ),
    (
        {"conversations": [{"from": "human", "value": "x"}, {"from": "user", "value": "y"}]},
        r"conversations\[1\]\.from' repeats 'user'; turns must alternate",
        "turns do not alternate",
    ),
    ({"conversations": [{"from": "human"}]}, r"conversations\[0\]\.value' should be a string", "a turn has no text"),
    ({"messages": "hi"}, "field 'messages' should be a non-empty list, found 'hi'", "field 'messages' is no list"),
    ({"instruction": "x"}, "field 'output' should be a string, found nothing", "field 'output' is nothing"),
    ({"instruction": " ", "output": "x"}, "field 'instruction' is empty", "empty instruction"),
    ({"instruction": "x", "output": None}, "field 'output' should be a string, found null", "field 'output' is null"),
    ({"text": "plain words"}, "is not ChatML at character 0: 'plain words'", "text is not ChatML"),
    ({"text": SHAPES["chatml"]["text"] + "<|im_start|>user\nx"}, "is not ChatML at character", "text is not ChatML"),
    ({"text": "<|im_start|>tool\nx<|im_end|>"}, "turn 0: role is 'tool'", "unknown role 'tool'"),
    ({"question": "x"}, r"no known format: it has the columns 'question'.*columns = \{instruction", "no known format"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "says", "reason"), BAD)
def test_a_bad_row_stops_the_run_or_is_counted(
    tmp_path: Path, row: dict[str, Any], says: str, reason: str
) -> None:
    with pytest.raises(DataError, match=rf"d\.jsonl:2: .*{says}"):
        read(tmp_path, SHAPES["messages"], row)
    records = read(tmp_path, SHAPES["messages"], row, row, bad_rows="drop")
    assert records.dropped == {reason: 2}
    assert records.first_dropped == {reason: f"{tmp_path}/d.jsonl:2"}
    assert f"2 dropped: {reason}, first at {tmp_path}/d.jsonl:2" in records.counts()


def test_a_row_that_is_no_object_is_counted_too(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps(SHAPES["messages"]) + "\n{broken\n[1]\n")
    records = load_records(DataConfig(file=path, bad_rows="drop"))
    assert (records.n_read, records.dropped) == (3, {"not a JSON object": 2})


def test_a_chat_that_the_assistant_opens_is_dropped(tmp_path: Path) -> None:
    opened = {"conversations": [{"from": "gpt", "value": "Hello."}]}
    assert read(tmp_path, SHAPES["messages"], opened).dropped == {"first turn is the assistant's": 1}


def test_other_role_names_are_mapped_by_the_table(tmp_path: Path) -> None:
    row = {"conversations": [{"from": "Q", "value": "Add."}, {"from": "bard", "value": "a + b"}]}
    records = read(tmp_path, row, roles={"Q": "user", "bard": "assistant"})
    assert records.kept[0].messages == (USER, ANSWER)


def test_columns_are_renamed_by_the_table(tmp_path: Path) -> None:
    row = {"question": "Add.", "answer": "a + b", "output": "something else", "id": 7}
    table = {"columns": {"instruction": "question", "output": "answer"}}
    assert read(tmp_path, row, **table).kept[0].messages == (USER, ANSWER)
    chat = {"dialog": SHAPES["messages"]["messages"]}
    assert read(tmp_path, chat, columns={"messages": "dialog"}).kept[0].messages == (SYSTEM, USER, ANSWER)


@pytest.mark.parametrize("policy", ["error", "drop"])
def test_a_missing_column_is_named_with_what_is_there(tmp_path: Path, policy: str) -> None:
    table = {"columns": {"instruction": "question", "output": "reply"}, "bad_rows": policy}
    with pytest.raises(
        DataError, match=r"d\.jsonl:1: no column 'reply' \(for 'output'\); the row has 'question', 'answer'"
    ):
        read(tmp_path, {"question": "x", "answer": "y"}, **table)


FUNCTIONS = """
def pick(row):
    if row["id"] == 2:
        return None
    return {"prompt": row["ask"], "completion": row["say"]}

def chat(row):
    return [{"role": "user", "content": row["ask"]}, {"role": "assistant", "content": row["say"]}]

def breaks(row):
    return row["absent"]

def wrong(row):
    return 3
"""


@pytest.mark.parametrize("by_file", [True, False])
def test_a_function_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_file: bool) -> None:
    (tmp_path / "my_formats.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    place = str(tmp_path / "my_formats.py") if by_file else "my_formats"
    rows = [{"id": i, "ask": "Add.", "say": "a + b"} for i in (1, 2, 3)]
    records = read(tmp_path, *rows, format=f"{place}:pick")
    assert [r.messages for r in records.kept] == [(USER, ANSWER)] * 2
    assert records.dropped == {f"{place}:pick returned None": 1}
    assert read(tmp_path, *rows, format=f"{place}:chat").kept[1].messages == (USER, ANSWER)
    with pytest.raises(DataError, match="raised KeyError: 'absent'"):
        read(tmp_path, *rows, format=f"{place}:breaks")
    with pytest.raises(DataError, match="returned int; expected a dictionary"):
        read(tmp_path, *rows, format=f"{place}:wrong")
    with pytest.raises(DataError, match="has no function 'gone'"):
        read(tmp_path, *rows, format=f"{place}:gone")
    with pytest.raises(DataError, match="cannot be imported"):
        read(tmp_path, *rows, format="no_such_module_here:f")


def test_a_held_out_fraction_is_never_trained_on(tmp_path: Path) -> None:
    rows = [{"prompt": f"Add {i}.", "completion": f"x + {i}"} for i in range(20)]
    records = read(tmp_path, *rows, eval_fraction=0.25, seed=3)
    assert records.evaluation is not None
    held = {r.source for r in records.evaluation.kept}
    kept = {r.source for r in records.kept}
    assert (len(held), len(kept), held & kept) == (5, 15, set())
    assert records.dropped == {HELD_OUT: 5}
    assert records.n_read == len(records.kept) + sum(records.dropped.values()) == 20
    assert records == read(tmp_path, *rows, eval_fraction=0.25, seed=3)
    assert records.sha256 != read(tmp_path, *rows, eval_fraction=0.25, seed=4).sha256
    with pytest.raises(DataError, match=r"eval_fraction=0\.9 of 2 records would leave none"):
        read(tmp_path, *rows[:2], eval_fraction=0.9)


def test_an_evaluation_file_is_read_like_the_other(tmp_path: Path) -> None:
    (tmp_path / "held.jsonl").write_text(json.dumps(SHAPES["sharegpt"]) + "\n")
    records = read(tmp_path, SHAPES["alpaca"], eval_file=tmp_path / "held.jsonl")
    assert records.evaluation is not None
    assert records.evaluation.kept[0].messages == (SYSTEM, USER, ANSWER)
    assert records.sha256 != read(tmp_path, SHAPES["alpaca"]).sha256


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"file": "a", "format": "alpacca"}, "unknown format 'alpacca'"),
        ({"file": "a", "columns": {"question": "q"}}, "no format has the field 'question'"),
        ({"file": "a", "hub": "b"}, "exactly one of"),
        ({"file": "a", "revision": "b"}, "go with `hub`"),
        ({"suite": "pocket", "n": 1, "format": "alpaca"}, "not with `suite`"),
        ({"file": "a", "eval_file": "b", "eval_fraction": 0.5}, "one of `eval_file`"),
        ({"file": "a", "n": 1, "max_samples": 1}, "Extra inputs"),
        ({"file": "a", "max_samples": 0}, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(table: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        DataConfig.model_validate(table)


ROWS = st.lists(
    st.one_of(
        st.sampled_from(list(SHAPES.values())),
        st.sampled_from([row for row, _, _ in BAD]),
        st.just({"prompt": "x", "completion": " "}),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(rows=ROWS, limit=st.integers(1, 12))
def test_kept_and_dropped_make_what_was_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], limit: int
) -> None:
    folder = tmp_path_factory.mktemp("d")
    records = read(folder, SHAPES["alpaca"], *rows, bad_rows="drop", max_samples=limit)
    assert records.n_read == len(records.kept) + sum(records.dropped.values()) == min(limit, len(rows) + 1)
    assert sum(records.formats.values()) == len(records.kept)
