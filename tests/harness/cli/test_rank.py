"""`assay rank`: what it reads, what it prints, and errors that name file, place, field and value."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from assay.harness.cli import app
from assay.harness.errors import AssayError, BadInputError, exit_code_of
from assay.harness.stats import read_matches

ROOT = Path(__file__).parents[3]
ROWS: list[dict[str, Any]] = [
    {"a": "sft", "b": "base", "winner": "sft", "problem": 1, "judge": "j"},
    {"a": "base", "b": "sft", "winner": "sft", "problem": 1},
    {"a": "sft", "b": "base", "winner": "tie", "problem": 2},
    {"a": "base", "b": "dpo", "winner": "dpo", "problem": 2},
    {"a": "sft", "b": "dpo", "winner": "dpo", "problem": 3},
    {"a": "dpo", "b": "sft", "winner": "sft", "problem": 3},
    {"a": "dpo", "b": "base", "winner": "base", "problem": 4},
]
WINS = [[0, 2.5, 1], [0.5, 0, 1], [1, 1, 0]]  # of sft, base, dpo


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """The rows as the suffix says."""
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(lines.encode()))
    elif path.suffix == ".jsonl":
        path.write_text("\n" + lines)
    else:
        columns = ("a", "b", "winner", "problem", "judge")
        body = [", ".join(str(row.get(c, "")) for c in columns) for row in rows]
        path.write_text("\ufeff" + ", ".join(columns) + "\r\n" + "\r\n".join(body), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["m.csv", "m.json", "m.jsonl", "m.jsonl.gz"])
def test_rows_are_the_same_in_every_format(tmp_path: Path, name: str) -> None:
    found = read_matches(write(tmp_path / name, ROWS))
    assert found.names == ("sft", "base", "dpo")
    assert found.wins().tolist() == WINS
    assert (found.n, found.n_problems, found.ties().sum()) == (7, 4, 2)


def test_a_matrix_with_its_ties_apart_or_within(tmp_path: Path) -> None:
    names = ["sft", "base", "dpo"]
    file = tmp_path / "m.json"
    file.write_text(json.dumps({"names": names, "wins": WINS}))
    within = read_matches(file)
    wins = [[None, 2, 1], [0, None, 1], [1, 1, None]]
    file.write_text(json.dumps({"names": names, "wins": wins, "ties": [[0, 1, 0], [1, 0, 0], [0, 0, 0]]}))
    apart = read_matches(file)
    assert apart.wins().tolist() == within.wins().tolist() == WINS
    assert (apart.ties_known, within.ties_known) == (True, False)
    assert (apart.n, within.n, apart.n_problems) == (7, 7, None)


GOOD = {"a": "x", "b": "y", "winner": "x"}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"winner": "z"}, r"field 'winner' is 'z', not 'x', 'y' or 'tie'"),
        ({"winner": None}, r"field 'winner' is missing"),
        ({"a": 3}, r"field 'a' is not a name: 3"),
        ({"b": " "}, r"field 'b' is not a name: ' '"),
        ({"b": "x"}, r"fields 'a' and 'b' are both 'x'"),
        ({"b": "tie"}, r"'tie' is the 'winner' of a draw"),
        ({"problem": [1]}, r"field 'problem' is neither a string nor a whole number: \[1\]"),
    ],
)
def test_a_row_that_says_nothing_is_named(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    for name, place in (("m.jsonl", "line 3"), ("m.json", "entry 2")):
        file = write(tmp_path / name, [GOOD, GOOD | row])
        with pytest.raises(BadInputError, match=rf"{name}, {place}: {said}"):
            read_matches(file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b,won\nx,y,x\n", r"line 1: no column 'winner'; found 'a', 'b', 'won'"),
        ("", r"line 1: no column 'a'; found none"),
        ("a,b,winner\nx,y,x\nx,,x\n", r"line 3: field 'b' is missing"),
        ("a,b,winner\nx,y,x,9,8\n", r"line 2: 2 values too many, from '9' on"),
        ('a,b,winner\nx,y,"x\n', r"line 2: unexpected end of data"),
        ("a,b,winner\n", r"holds no comparison"),
        ("a,b,winner,problem\nx,y,x,1\nx,y,y,\n", r"'problem' is missing in line 3, and line 2 has it"),
        ("a,b,winner,problem\nx,y,x,\nx,y,y,1\n", r"'problem' is missing in line 2, and line 3 has it"),
    ],
)
def test_a_csv_file_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(BadInputError, match=rf"m\.csv.*{said}"):
        read_matches(tmp_path / "m.csv")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"names": ["a", "b"], "wins": [[0, 1], [-1, 0]]}, r"'wins\[1\]\[0\]' is not a count: -1"),
        ({"names": ["a", "b"], "wins": [[0, "1"], [1, 0]]}, r"'wins\[0\]\[1\]' is not a count: '1'"),
        ({"names": ["a", "b"], "wins": [[2, 1], [1, 0]]}, r"'wins\[0\]\[0\]' is 2; nobody is compared with"),
        ({"names": ["a", "b"], "wins": [[0, 1]]}, r"'wins' is not a list of 2 rows"),
        ({"names": ["a", "b"], "wins": [[0, 1], [1]]}, r"'wins\[1\]' is not a list of 2 counts: \[1\]"),
        ({"names": ["a", "a"], "wins": [[0, 1], [1, 0]]}, r"'names\[1\]' is not a name of its own: 'a'"),
        (
            {"names": ["a", "b"], "wins": [[0, 1.2], [1, 0]]},
            r"'wins\[0\]\[1\]' is 1.2, not a whole count, or with",
        ),
        (
            {"names": ["a", "b"], "wins": [[0, 1.5], [1, 0]]},
            r"'wins\[0\]\[1\]' and 'wins\[1\]\[0\]' are 1.5 and 1",
        ),
        ({"names": ["a", "b"], "win": [[0, 1], [1, 0]]}, r"unknown field 'win'"),
        ({"wins": [[0, 1], [1, 0]]}, r"expected a list of rows or an object with 'names', 'wins'"),
        (
            {"names": ["a", "b"], "wins": [[0, 1], [1, 0]], "ties": [[0, 1], [2, 0]]},
            r"'ties\[0\]\[1\]' and 'ties\[1\]\[0\]' differ: 1 and 2",
        ),
    ],
)
def test_a_matrix_is_named_with_its_cell(tmp_path: Path, value: Any, said: str) -> None:
    (tmp_path / "m.json").write_text(json.dumps(value))
    with pytest.raises(BadInputError, match=rf"m\.json: .*{said}"):
        read_matches(tmp_path / "m.json")


def test_other_files_are_refused(tmp_path: Path) -> None:
    for name, text, said in (
        ("m.txt", "", r"not '\.txt'"),
        ("m.json", "{", "not JSON"),
        ("m.jsonl", "[1]\n", "line 1: expected a JSON object, got list"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(BadInputError, match=said):
            read_matches(tmp_path / name)
    (tmp_path / "m.csv").write_bytes(b"a,b,winner\nx,\xff,x\n")
    with pytest.raises(BadInputError, match="not UTF-8"):
        read_matches(tmp_path / "m.csv")


def test_the_command_prints_a_ranking(tmp_path: Path) -> None:
    file = write(tmp_path / "m.csv", ROWS)
    done = CliRunner().invoke(app, ["rank", str(file), "--json", "--anchor", "base"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["standings"][0]["name"] == "sft"
    assert {s["name"]: (s["wins"], s["ties"], s["losses"]) for s in said["standings"]}["sft"] == (3, 1, 1)
    assert (said["n"], said["n_problems"], said["anchor"]) == (7, 4, "base")
    assert said["interval"] == "sandwich clustered on problems"
    done = CliRunner().invoke(app, ["rank", str(file)])
    assert done.exit_code == 0
    for words in (
        "expected score",
        "7 comparisons on 4 problems",
        "a tie is half a win to each",
        "mean at 1000",
    ):
        assert words in done.stdout
    assert "on the wide side" not in done.stdout
    assert "on the wide side" in CliRunner().invoke(app, ["rank", str(file), "--independent"]).stdout
    plain = CliRunner().invoke(app, ["rank", str(file), "--independent", "--json"])
    assert json.loads(plain.stdout)["interval"] == "observed information, comparisons independent"


def test_exit_codes(tmp_path: Path) -> None:
    unbeaten = write(tmp_path / "m.csv", [GOOD])
    for arguments, code in (
        ([unbeaten], 2),
        ([tmp_path / "none.json"], None),
        ([unbeaten, "--anchor", "q"], 3),
    ):
        done = CliRunner().invoke(app, ["rank", *map(str, arguments)])
        if code is None:
            assert isinstance(done.exception, FileNotFoundError)
        else:
            assert isinstance(done.exception, AssayError)
            assert exit_code_of(done.exception) == code
    wins = [[0, 7], [1, 0]]
    (tmp_path / "m.json").write_text(json.dumps({"names": ["x", "y"], "wins": wins}))
    done = CliRunner().invoke(app, ["rank", str(tmp_path / "m.json"), "--bootstrap", "300", "-q"])
    assert done.exit_code == 2
    assert "interval unmeasured" in done.stdout


def test_it_needs_no_torch(tmp_path: Path) -> None:
    file = write(tmp_path / "m.jsonl", ROWS)
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None\n"
        f"sys.argv = ['assay', 'rank', {str(file)!r}, '--json']\n"
        "from assay.harness.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert np.isfinite(json.loads(done.stdout)["log_likelihood"])
