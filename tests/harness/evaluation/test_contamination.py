"""n-gram overlap: what stands in a training text is found, by problem, and nothing else is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.harness.evaluation.contamination import METHODS, overlap, tokens_of
from assay.harness.pipeline.steps.contamination import training_texts
from assay.suites import Problem, Suite, load_suite
from assay.suites.mbpp import STYLES
from assay.trainers.data import DataConfig, load_records

ROOT = Path(__file__).parents[3]
HUMANEVAL = load_suite("humaneval")


def reference(problem: str, texts: list[str], method: str) -> float:
    """The definition, word by word."""
    n = METHODS[method]

    def grams(text: str) -> set[tuple[str, ...]]:
        tokens = tokens_of(text)
        if method.startswith("words"):
            tokens = [t for t in tokens if t[0].isalnum() or t[0] == "_"]
        return {tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)}

    own = grams(problem)
    return len(own & {gram for text in texts for gram in grams(text)}) / len(own) if own else 0.0


def test_it_is_what_its_definition_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.harness.evaluation.contamination._BLOCK", 500)  # several blocks
    random = Random(0)
    wholes = [p.prompt + p.canonical_solution for p in HUMANEVAL.problems[:40]]
    words = [word for text in wholes for word in text.split(" ")]
    texts = []
    for _ in range(60):
        source = random.choice(wholes)
        start = random.randrange(len(source))
        texts.append(
            " ".join(random.choices(words, k=10)) + source[start : start + 150] + "other words of its own"
        )
    suite = Suite("first", "0", HUMANEVAL.problems[:40])
    found = overlap(suite, ((str(i), text) for i, text in enumerate(texts)))
    for method in METHODS:
        for problem, whole in zip(suite.problems, wholes, strict=True):
            assert found.shares[method][problem.id] == pytest.approx(reference(whole, texts, method)), (
                problem.id
            )
    assert 0 < len(found.flagged("code-10")) < 40


def test_a_whole_problem_in_other_layout_and_among_prose_is_a_duplicate() -> None:
    problem = HUMANEVAL.problems[3]
    reindented = problem.canonical_solution.replace("    ", "\t").replace("\n", "\n\n")
    texts = [("a", "Nothing of it."), ("b:7", f"Here is what I wrote:\n{reindented}\nGood luck.")]
    found = overlap(HUMANEVAL, texts)
    (duplicate,) = found.duplicates
    assert (duplicate.task_id, duplicate.part, duplicate.source) == (problem.id, "solution", "b:7")
    assert problem.id in found.flagged("code-10")
    whole = overlap(HUMANEVAL, [("c", "x " + problem.prompt + problem.canonical_solution)])
    assert {d.part for d in whole.duplicates} == {"prompt and solution", "prompt", "solution"}
    assert [whole.shares[m][problem.id] for m in METHODS] == [1.0, 1.0]


def test_a_clean_set_is_clean() -> None:
    found = overlap(HUMANEVAL, [("a", "The quick brown fox jumps over the lazy dog. " * 200)])
    assert not found.duplicates
    assert all(share == 0 for shares in found.shares.values() for share in shares.values())
    assert found.summary()["methods"]["words-13"] == {"n": 13, "n_flagged": 0, "mean": 0.0, "worst": []}
    assert overlap(HUMANEVAL, []).n_texts == 0


def test_n_grams_do_not_reach_from_one_text_into_the_next() -> None:
    whole = HUMANEVAL.problems[0].prompt + HUMANEVAL.problems[0].canonical_solution
    words = whole.split()
    pieces = [(str(i), " ".join(words[i : i + 3])) for i in range(0, len(words), 3)]
    assert overlap(HUMANEVAL, pieces).shares["words-13"]["HumanEval/0"] == 0


@settings(max_examples=50, deadline=None)
@given(
    prompt=st.text(max_size=60),
    solution=st.text(max_size=60),
    texts=st.lists(st.text(max_size=80), max_size=4),
)
def test_any_text_will_do(prompt: str, solution: str, texts: list[str]) -> None:
    suite = Suite("one", "0", (Problem("p", prompt, "f", ("x",), solution),))
    found = overlap(suite, (("t", text) for text in [*texts, prompt + solution]))
    for method, shares in found.shares.items():
        tokens = [
            t for t in tokens_of(prompt + solution) if method != "words-13" or t[0].isalnum() or t[0] == "_"
        ]
        assert shares["p"] == (1.0 if tokens else 0.0)


def test_a_short_problem_is_found_where_it_stands_and_nowhere_else() -> None:
    short = Problem("s", "def add(a, b):\n", "add", ("x",), "    return a + b\n")
    suite = Suite("short", "0", (short, *HUMANEVAL.problems[:2]))
    copy = ("a", "Look:\n\ndef add(a, b):\n    return a + b\n\nThat was it.")
    for method, shares in overlap(suite, [copy]).shares.items():
        assert shares == {"s": 1.0, "HumanEval/0": 0.0, "HumanEval/1": 0.0}, method
    other = [
        ("a", "def add(a, b):\n"),
        ("b", "    return a + b\n"),
        ("c", "def add(a, c):\n    return a + c\n"),
    ]
    assert all(shares["s"] == 0 for shares in overlap(suite, other).shares.values())


@pytest.mark.parametrize("style", STYLES)
def test_mbpps_task_in_words_counts_in_every_style_and_its_examples_do_not(
    tmp_path: Path, style: str
) -> None:
    words = "Write a function that {} the given list of numbers and leaves every other thing in it alone as it was."
    rows = [
        {
            "task_id": i,
            "text": words.format(f"verb{i} noun{i} adverb{i}"),
            "code": f"def f{i}(x):\n    return x\n",
            "test_list": [f"assert f{i}(1) == 1"],
        }
        for i in (2, 3, 4, 11)
    ]
    (tmp_path / "mbpp.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    suite = load_suite("mbpp", path=tmp_path / "mbpp.jsonl", split="test", options={"style": style})
    task = overlap(suite, [("t", str(rows[3]["text"]))])
    assert all(shares["Mbpp/11"] > 0.3 for shares in task.shares.values())
    if style in ("text", "name"):
        assert [d.part for d in task.duplicates] == ["prompt"]
    example = overlap(
        suite,
        [
            (
                "t",
                "verb2 noun2 adverb2 def f2 ( x ) : return x [ DONE ] You are an expert Python "
                "programmer, and here is your task: Write a function that verb2 noun2",
            )
        ],
    )
    assert all(shares["Mbpp/11"] == 0 for shares in example.shares.values())


def test_pockets_own_training_set_shares_templates_and_no_problem() -> None:
    records = load_records(DataConfig(suite="pocket", n=300))
    suite = load_suite("pocket", split="test")
    found = overlap(suite, training_texts(records))
    assert not found.duplicates
    assert found.n_texts == 300
    assert len(found.flagged("code-10")) > 200
    assert max(found.shares["code-10"].values()) < 1


@pytest.mark.slow
def test_the_command_names_what_it_found(tmp_path: Path) -> None:
    problem = HUMANEVAL.problems[5]
    rows = [
        {"prompt": "Say hello.", "completion": "hello"},
        {"prompt": problem.prompt, "completion": problem.canonical_solution},
    ]
    file = tmp_path / "train.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code = "from assay.harness.cli import main; main()"
    command = [sys.executable, "-c", code, "contamination", str(file), "--suite", "humaneval", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert f"duplicate: {problem.id}, its " in done.stdout
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, cwd=ROOT, check=False)
    found = json.loads(done.stdout)
    row = next(row for row in found["problems"] if row["task_id"] == problem.id)
    assert (row["code-10"], row["words-13"], found["n_texts"]) == (1.0, 1.0, 2)
    done = subprocess.run(
        [*command[:3], "contamination", "pocket"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.returncode, "give their number with --n" in done.stderr) == (3, True)
