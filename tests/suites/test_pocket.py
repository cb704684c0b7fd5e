"""The pocket suite: correct, checkable, the same everywhere, and split without overlap."""

from __future__ import annotations

import gzip
import hashlib
import random
import re
from itertools import islice
from typing import Any

import pytest

from assay.suites import SuiteError, load_suite
from assay.suites.model import Problem
from assay.suites.pocket import pocket_sft_records
from assay.suites.pocket.build import file_of, make, to_jsonl
from assay.suites.pocket.checks import UnusableTaskError, build_checks, draw_input, outcomes
from assay.suites.pocket.families import HELD_OUT_PAIRS, TRAINED_PAIRS
from assay.suites.pocket.operations import Atom
from assay.suites.pocket.problems import Split, Task, split_of, tasks

SPLITS = ("train", "dev", "test")


def passes(problem: Problem, body: str) -> bool:
    space: dict[str, Any] = {}
    try:
        exec(problem.prompt + body, space)
        for check in problem.checks:
            exec(check, space)
    except Exception:
        return False
    return True


@pytest.mark.parametrize("split", SPLITS)
def test_canonical_solutions_pass_all_their_checks(split: str) -> None:
    suite = load_suite("pocket", split=split)
    assert len(suite.problems) == (2000 if split == "train" else 400)
    assert len({p.id for p in suite.problems}) == len(suite.problems)
    assert [p.id for p in suite.problems if not passes(p, p.canonical_solution)] == []
    assert min(len(p.checks) for p in suite.problems) >= 8


@pytest.mark.parametrize("constant", ["None", "0", "1", "''", "[]", "{}", "True", "False", "-1"])
def test_bodies_that_ignore_the_question_never_pass(constant: str) -> None:
    for split in SPLITS:
        suite = load_suite("pocket", split=split)
        assert [p.id for p in suite.problems if passes(p, f"    return {constant}\n")] == []


def test_returning_an_argument_never_passes() -> None:
    for p in load_suite("pocket", split="test").problems:
        for name in re.findall(r"\w+", p.prompt.split("(")[1].split(")")[0]):
            assert not passes(p, f"    return {name}\n"), p.id


def mutants(body: str, rng: random.Random) -> list[str]:
    """Wrong-looking variants made from the text alone: nothing here knows of the atoms' slips."""
    swaps = [(" + ", " - "), (" - ", " + "), (" * ", " + "), (" > ", " < "), (" < ", " <= "), (" >= ", " > ")]
    swaps += [
        (" == ", " != "),
        ("upper", "lower"),
        ("max(", "min("),
        ("[::-1]", ""),
        (" // ", " % "),
        (" and ", " or "),
    ]
    swaps += [("sorted(", "list("), ("set(", "list("), ("sum(", "len("), ("n + 1)", "n)")]
    out = {body.replace(a, b, 1) for a, b in swaps}
    numbers = list(re.finditer(r"\d+", body))
    for m in rng.sample(numbers, min(3, len(numbers))):
        out |= {body[: m.start()] + str(int(m.group()) + d) + body[m.end() :] for d in (1, -1)}
    lines = body.splitlines(keepends=True)
    if len(lines) > 2:
        out |= {"".join(lines[:i] + lines[i + 1 :]) for i in range(len(lines) - 1)}
    out.discard(body)
    return sorted(out)


def _ends(body: str) -> bool:
    """A mutant that keeps the digits loop's exit; others could run for ever."""
    return "while" not in body or bool(
        re.search(r"while \w+ > 0:", body) and re.search(r"(\w+) = \1 // 10\n", body)
    )


@pytest.mark.slow
def test_wrong_bodies_rarely_pass() -> None:
    """Fewer than 2 % of single-edit wrong bodies pass; one that 150 fresh inputs cannot tell is not wrong."""
    rng = random.Random(7)
    asked = {p.prompt for p in load_suite("pocket", split="test").problems}
    by_prompt = {t.prompt: t for t in islice((t for t in tasks("test", 0) if t.prompt in asked), len(asked))}
    tried = passed = 0
    for p in load_suite("pocket", split="test").problems[::2]:
        part = by_prompt[p.prompt].part
        numbers = tuple(n for a in part.operations for n in a.numbers)
        letters = "".join(a.letters for a in part.operations)
        pool = [tuple(draw_input(rng, kind, numbers, letters) for _, kind in part.args) for _ in range(150)]
        want = outcomes(p.prompt + p.canonical_solution, p.entry_point, pool)
        for body in filter(_ends, mutants(p.canonical_solution, rng)):
            if outcomes(p.prompt + body, p.entry_point, pool) != want:
                tried += 1
                passed += passes(p, body)
    print(f"false passes: {passed}/{tried}")
    assert tried > 1000
    assert passed / tried < 0.02


def test_splits_share_no_skeleton_and_no_sentence() -> None:
    sizes: dict[Split, int] = {"train": 4000, "dev": 800, "test": 800}
    drawn = {split: list(islice(tasks(split, 0), size)) for split, size in sizes.items()}
    for split, found in drawn.items():
        assert {split_of(t.skeleton) for t in found} == {split}
    sentences = {split: {t.part.sentence for t in found} for split, found in drawn.items()}
    assert not sentences["train"] & (sentences["dev"] | sentences["test"])
    assert not sentences["dev"] & sentences["test"]


def test_held_out_compositions_are_never_in_training() -> None:
    assert not set(HELD_OUT_PAIRS) & set(TRAINED_PAIRS)
    train = {t.family for t in islice(tasks("train", 1), 5000)}
    assert not [f for f in train if f.startswith("compose/")]
    families = [p.family for p in load_suite("pocket", split="test").problems]
    composed = {f for f in families if f.startswith("compose/")}
    assert composed == {f"compose/{a}+{b}" for a, b, _ in HELD_OUT_PAIRS}
    assert all(families.count(f) == 47 for f in composed)


def test_sft_records_are_correct_training_problems() -> None:
    records = pocket_sft_records(300, seed=3)
    assert len(records) == 300
    asked = {p.instruction for s in ("dev", "test") for p in load_suite("pocket", split=s).problems}
    for record in records:
        user, assistant = record["messages"]
        assert (user["role"], assistant["role"]) == ("user", "assistant")
        assert user["content"] not in asked
        assert assistant["content"].startswith("    ")
        compile(user["content"].split("\n", 1)[1] + "\n" + assistant["content"], "<record>", "exec")
    assert records == pocket_sft_records(300, seed=3)


def test_every_slip_is_a_different_program() -> None:
    """Over the train split, each atom that has a slip changes some task's answers: slips are real mistakes."""
    alive: set[str] = set()
    seen: set[str] = set()
    for task in islice(tasks("train", 5), 2000):
        slips = {a.key for a in task.part.operations if a.slip != a.code}
        seen |= slips
        if slips <= alive:
            continue
        try:
            checks = build_checks(task)
        except UnusableTaskError:
            continue
        p = Problem("x", task.prompt, task.name, checks)
        for target in task.part.operations:
            if target.slip == target.code:
                continue

            def choose(a: Atom, target: Atom = target) -> str:
                return a.slip if a is target else a.code

            if not passes(p, task.body(choose)):
                alive.add(target.key)
    assert len(seen) > 60
    assert seen - alive == set()


@pytest.mark.slow
@pytest.mark.parametrize("split", SPLITS)
def test_frozen_data_is_what_the_generators_make(split: Split) -> None:
    content = gzip.decompress(file_of(split).read_bytes())
    assert to_jsonl(make(split)) == content
    assert load_suite("pocket", split=split).revision == hashlib.sha256(content).hexdigest()


def test_wrong_arguments_are_named(tmp_path: Any) -> None:
    with pytest.raises(SuiteError, match="no split 'validation'"):
        load_suite("pocket", split="validation")
    with pytest.raises(SuiteError, match="reads no file"):
        load_suite("pocket", path=tmp_path)


def test_unusable_task_says_why() -> None:
    constant = next(t for t in islice(tasks("train", 9), 2000) if _unusable(t))
    with pytest.raises(UnusableTaskError, match=r"answers hardly vary|change no answer"):
        build_checks(constant)


def _unusable(task: Task) -> bool:
    try:
        build_checks(task)
    except UnusableTaskError:
        return True
    return False
