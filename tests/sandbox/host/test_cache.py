"""The verdict cache: nothing is executed twice, nothing doubtful is kept, and no accident to it ends an evaluation."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.harness.evaluation.judge import CacheUse, open_executor
from assay.harness.experiment import SandboxTable
from assay.sandbox import Executor, Limits, Outcome, Program, Verdict, VerdictCache
from assay.sandbox.host.cache import Keys, storable
from assay.suites import load_suite
from tests.fake_sandbox import ISOLATION, FakeSandbox

FINE = Verdict("", Outcome.PASS, "fine", 1, 1, 0.01, 0.02, 9, "split", "printed\ud800")


def program(identity: str, candidate: str = "def f(x): return x", **more: object) -> Program:
    return Program(identity, candidate, ("assert f(1) == 1",), "f", **more)  # type: ignore[arg-type]


def run(
    path: Path | None, programs: list[Program], verdict: Verdict = FINE
) -> tuple[list[str], dict[str, Verdict]]:
    """The candidates that were executed, and the verdicts by id."""
    sandbox = FakeSandbox(lambda _: verdict)
    with VerdictCache(path) as cache:
        verdicts = {v.id: v for v in Executor(sandbox, cache=cache).run(iter(programs))}  # type: ignore[arg-type]
        sandbox.close()
    assert sorted(verdicts) == sorted(p.id for p in programs)
    return [p.candidate for p in sandbox.programs], verdicts


def test_equal_programs_are_executed_once_here_and_never_again_later(tmp_path: Path) -> None:
    programs = [program(str(i), f"x = {i % 3}") for i in range(30)]
    ran, first = run(tmp_path / "v.sqlite", programs)
    assert sorted(ran) == ["x = 0", "x = 1", "x = 2"]
    ran, again = run(tmp_path / "v.sqlite", programs)
    assert ran == []
    expected = replace(FINE, output="printed\\ud800")
    assert all(replace(v, output="") == replace(expected, id=v.id, output="") for v in first.values())
    assert all(v == replace(expected, id=v.id) for v in again.values())


@pytest.mark.parametrize(
    "other",
    [
        program("a", "def f(x): return 2"),
        replace(program("a"), checks=("assert f(1) == 2",)),
        replace(program("a"), checks=("assert f(1) == 1", "assert f(2) == 2")),
        replace(program("a"), entry_point="g"),
        replace(program("a"), prelude="import math"),
        replace(program("a"), limits=Limits(cpu_s=4)),
        replace(program("a"), limits=Limits(memory_bytes=1 << 28)),
        replace(program("a"), mode="shared"),
    ],
)
def test_whatever_can_decide_a_verdict_is_in_the_key(other: Program) -> None:
    keys = Keys.of(ISOLATION, "split")
    assert keys.key(program("a")) == keys.key(program("b"))
    assert keys.key(program("a")) != keys.key(other)


def test_whatever_the_sandbox_is_made_of_is_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    settings_ = [
        (ISOLATION, "split"),
        (ISOLATION, "shared"),
        (replace(ISOLATION, python="3.12"), "split"),
        (replace(ISOLATION, packages=(("numpy", "2.1"),)), "split"),
        (replace(ISOLATION, level="weak"), "split"),
        (replace(ISOLATION, backend="docker"), "split"),
    ]
    keys = {Keys.of(*setting).key(program("a")) for setting in settings_}
    monkeypatch.setattr("assay.sandbox.host.cache.sandbox_version", lambda: "another")
    keys.add(Keys.of(ISOLATION, "split").key(program("a")))
    assert len(keys) == len(settings_) + 1


@settings(max_examples=200)
@given(parts=st.lists(st.text(max_size=5), min_size=2, max_size=5), cut=st.integers(0, 25))
def test_a_candidate_cannot_be_moved_into_another_part_of_the_key(parts: list[str], cut: int) -> None:
    keys = Keys.of(ISOLATION, "split")
    whole = "".join(parts)
    a = Program("a", whole[:cut], (whole[cut:],), "f")
    b = Program("a", whole, ("",), "f")
    assert (keys.key(a) == keys.key(b)) == (a == b)


@pytest.mark.parametrize(
    ("verdict", "kept"),
    [
        (Verdict("a", Outcome.PASS, cpu_s=0.1, wall_s=0.1), True),
        (Verdict("a", Outcome.FAIL, cpu_s=0.1, wall_s=0.1), True),
        (Verdict("a", Outcome.PASS, cpu_s=3.0, wall_s=3.1), False),
        (Verdict("a", Outcome.ERROR, cpu_s=0.1, wall_s=12.0), False),
        (Verdict("a", Outcome.TIMEOUT, cpu_s=5.3, wall_s=5.4), True),
        (Verdict("a", Outcome.INFRA), False),
    ],
)
def test_only_what_holds_on_another_day_is_kept(tmp_path: Path, verdict: Verdict, kept: bool) -> None:
    assert storable(verdict, program("a")) is kept
    ran = [run(tmp_path / "v.sqlite", [program("a")], verdict)[0] for _ in range(2)]
    assert len(ran[1]) == (0 if kept else 1)


def test_a_verdict_near_its_limit_still_serves_its_duplicates_while_the_cache_is_open(tmp_path: Path) -> None:
    near = Verdict("", Outcome.PASS, cpu_s=4.0, wall_s=4.0)
    sandbox = FakeSandbox(lambda _: near)
    with VerdictCache(tmp_path / "v.sqlite") as cache:
        for _ in range(2):
            programs = [program(str(i)) for i in range(5)]
            assert len(list(Executor(sandbox, cache=cache).run(programs))) == 5  # type: ignore[arg-type]
    assert len(sandbox.programs) == 1
    sandbox.close()


def test_the_executor_says_once_what_was_cached(tmp_path: Path) -> None:
    sandbox = FakeSandbox()
    with VerdictCache(tmp_path / "v.sqlite") as cache:
        executor = Executor(sandbox, cache=cache)  # type: ignore[arg-type]
        names = [v.id for v in executor.run([program("a"), program("b"), program("c", "other")])]
        assert {name: executor.was_cached(name) for name in names} == {"a": False, "b": True, "c": False}
        assert not executor.was_cached("b")
    sandbox.close()


def write_for_ever(path: Path, offset: int) -> None:
    keys = Keys.of(ISOLATION, "split")
    with VerdictCache(path) as cache:
        for i in range(10**9):
            cache.put(
                keys.key(program("a", f"x = {offset + i}")), Verdict("a", Outcome.PASS, f"{offset + i}")
            )


def test_two_processes_write_and_are_killed_and_what_is_there_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "v.sqlite"
    context = multiprocessing.get_context("spawn")  # this process may hold threads, of torch or a server
    writers = [context.Process(target=write_for_ever, args=(path, start)) for start in (0, 10**7)]
    for writer in writers:
        writer.start()
    until = time.monotonic() + 60
    while time.monotonic() < until and count(path) < 2000:
        time.sleep(0.05)
    for writer in writers:
        assert writer.pid
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
    keys = Keys.of(ISOLATION, "split")
    kept = count(path)
    assert kept >= 2000
    with VerdictCache(path) as cache:
        for start in (0, 10**7):
            found = cache.get(keys.key(program("a", f"x = {start}")), "a")
            assert found is None or found == Verdict("a", Outcome.PASS, f"{start}")
        cache.put(b"k" * 32, Verdict("a", Outcome.FAIL))
    assert count(path) == kept + 1
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


@pytest.mark.parametrize(
    "damage", ["output = x'00'", "outcome = 'later'", "output = 'text'", "output = x'789c'"]
)
def test_a_row_that_cannot_be_read_is_executed_again_and_written_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    path = tmp_path / "v.sqlite"
    run(path, [program("a"), program("b", "other")])
    db = sqlite3.connect(path)
    with db:
        changed = db.execute(
            f"UPDATE verdict_3 SET {damage} WHERE key = ?", (Keys.of(ISOLATION, "split").key(program("a")),)
        )
        assert changed.rowcount == 1
    db.close()
    second, verdicts = run(path, [program("a"), program("b", "other")])
    assert {v.outcome for v in verdicts.values()} == {Outcome.PASS}
    assert second == [program("a").candidate]
    third, _ = run(path, [program("a"), program("b", "other")])
    assert third == []
    assert capsys.readouterr().err == ""


def test_a_new_file_that_another_process_is_writing_to_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "v.sqlite"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")  # as one does that switches the file to write-ahead mode
    release = threading.Timer(0.3, other.rollback)
    release.start()
    messages: list[str] = []
    with VerdictCache(path, report=messages.append) as cache:
        cache.put(b"k" * 32, Verdict("a", Outcome.FAIL))
    release.join()
    other.close()
    assert messages == []
    assert count(path) == 1


def count(path: Path) -> int:
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
    except sqlite3.OperationalError:
        return 0
    try:
        return int(db.execute("SELECT COUNT(*) FROM verdict_3").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        db.close()


@pytest.mark.parametrize("content", [b"not a database at all, but a text of some length" * 100, None])
def test_a_cache_that_cannot_be_used_is_named_and_the_rest_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    path = tmp_path / "v.sqlite"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    ran, _ = run(path, [program(str(i), f"x = {i % 2}") for i in range(6)])
    assert sorted(ran) == ["x = 0", "x = 1"]
    message = capsys.readouterr().err
    assert f"the verdict cache {path} cannot be used" in message
    assert message.count("\n") == 1


def test_a_cache_that_breaks_in_the_middle_costs_no_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "v.sqlite"
    keys = Keys.of(ISOLATION, "split")
    with VerdictCache(path) as cache:
        cache._db.execute("DROP TABLE verdict_3")
        assert cache.get(keys.key(program("a")), "a") is None
        cache.put(keys.key(program("a")), Verdict("a", Outcome.FAIL))
        cache._write()
        assert cache.get(keys.key(program("a")), "b") == Verdict("b", Outcome.FAIL)
    assert "cannot be used" in capsys.readouterr().err


def test_it_drops_the_oldest_half_when_it_has_grown_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "v.sqlite"
    with VerdictCache(path) as cache:
        for i in range(1000):
            cache.put(i.to_bytes(32), Verdict("a", Outcome.FAIL, "d" * 200))
    monkeypatch.setattr("assay.sandbox.host.cache.MAX_BYTES", 100_000)
    with VerdictCache(path) as cache:
        assert cache.get((10).to_bytes(32), "a") is None
        assert cache.get((990).to_bytes(32), "a") is not None


@pytest.mark.isolated
def test_hits_come_while_a_program_is_still_running(tmp_path: Path) -> None:
    suite, use = load_suite("humaneval", limit=1), CacheUse(path=tmp_path / "v.sqlite")
    table = SandboxTable(workers=1, cpu_s=1, wall_s=5)
    with open_executor(table, suite, cache=use) as executor:
        assert [v.outcome for v in executor.run([program("known")])] == [Outcome.PASS]
    endless = program("endless", "while True: pass", limits=Limits(cpu_s=1, wall_s=5))
    with open_executor(table, suite, cache=use) as executor:
        names = [v.id for v in executor.run([endless, *(program(str(i)) for i in range(1000))])]
    assert len(names) == 1001
    assert names[-1] == "endless"


@pytest.mark.isolated
def test_behind_a_real_sandbox_the_second_run_executes_nothing(tmp_path: Path) -> None:
    suite = load_suite("humaneval", limit=20)
    programs = [
        Program(f"{p.id}#{i}", p.prompt + p.canonical_solution, p.checks, p.entry_point, prelude=p.prompt)
        for p in suite.problems
        for i in range(3)
    ]
    outcomes = []
    for expected, use in (
        (40, CacheUse(path=tmp_path / "v.sqlite")),
        (60, CacheUse(path=tmp_path / "v.sqlite")),
        (0, CacheUse(enabled=False)),
    ):
        with open_executor(SandboxTable(workers=2), suite, cache=use) as executor:
            verdicts = {v.id: v.outcome for v in executor.run(programs)}
            assert sum(executor.was_cached(name) for name in verdicts) == expected
        outcomes.append(verdicts)
    assert outcomes[0] == outcomes[1] == outcomes[2] == {p.id: Outcome.PASS for p in programs}


# Verdicts of others.


def execute(path: Path, statement: str, *values: object) -> None:
    db = sqlite3.connect(path)
    with db:
        db.execute(statement, values)
    db.close()


EDITS = {
    "a pass": "UPDATE verdict_3 SET outcome = 'pass', passed = 1",
    "more checks passed": "UPDATE verdict_3 SET passed = total",
    "a mode": "UPDATE verdict_3 SET mode = 'split', outcome = 'pass'",
    "notes": "UPDATE verdict_3 SET notes = ''",
    "a detail": "UPDATE verdict_3 SET detail = ''",
    "no seal": "UPDATE verdict_3 SET outcome = 'pass', seal = x''",
    "a seal of text": "UPDATE verdict_3 SET outcome = 'pass', seal = 'seal'",
    "another's row": (
        "UPDATE verdict_3 SET outcome = 'pass', seal = (SELECT seal FROM verdict_3 WHERE outcome = 'pass')"
    ),
    "another's key": (
        "INSERT OR REPLACE INTO verdict_3 SELECT (SELECT key FROM verdict_3 WHERE outcome = 'fail'), outcome, detail, "
        "passed, total, cpu_s, wall_s, peak, mode, output, notes, seal FROM verdict_3 WHERE outcome = 'pass'"
    ),
}
FAILED = Verdict("", Outcome.FAIL, "no", 0, 1, 0.01, 0.02, 9, "shared", "", ("near",))


@pytest.mark.parametrize("case", EDITS)
def test_an_edited_row_is_no_verdict(case: str, tmp_path: Path) -> None:
    path = tmp_path / "v.sqlite"
    run(path, [program("a", "x = 1")], FAILED)
    run(path, [program("b", "x = 2")], FINE)
    assert run(path, [program("a", "x = 1")], FAILED)[0] == []
    execute(path, EDITS[case])
    ran, verdicts = run(path, [program("a", "x = 1")], FAILED)
    assert ran == ["x = 1"]
    assert verdicts["a"].outcome is Outcome.FAIL
    assert run(path, [program("a", "x = 1")], FAILED)[0] == [], "it is written anew"


def test_a_cache_of_another_user_holds_no_verdict_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it arrives in an archive: owned by us, and sealed by a key that we do not have."""
    path = tmp_path / "v.sqlite"
    with monkeypatch.context() as other:
        other.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
        run(path, [program("a")], FINE)
        assert run(path, [program("a")], FINE)[0] == []
    assert run(path, [program("a")], FAILED)[1]["a"].outcome is Outcome.FAIL


def loose(path: Path) -> None:
    path.chmod(path.stat().st_mode | 0o002)


def link(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to("real")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


STRANGE = {
    "a file that anybody writes": (loose, "can be written by anybody"),
    "a folder that anybody writes": (lambda path: loose(path.parent), "can be written by anybody"),
    "a journal that anybody writes": (
        lambda path: (path.with_name("v.sqlite-wal").touch(), loose(path.with_name("v.sqlite-wal"))),
        "can be written by anybody",
    ),
    "a link": (link, "is a link"),
    "a journal that is a link": (
        lambda path: path.with_name("v.sqlite-journal").symlink_to(path),
        "is a link",
    ),
    "a pipe": (pipe, "is no file"),
    "another owner's file": (lambda path: os.chown(path, 4242, -1), "belongs to another user"),
    "another owner's folder": (lambda path: os.chown(path.parent, 4242, -1), "belongs to another user"),
}


@pytest.mark.parametrize("case", STRANGE)
def test_a_cache_that_may_be_somebody_elses_is_not_used_and_that_is_said(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, said = STRANGE[case]
    if "owner" in case and os.geteuid() != 0:
        pytest.skip("only root gives a file to another user")
    folder = tmp_path / "cache"
    run(folder / "v.sqlite", [program("a")], FINE)
    make(folder / "v.sqlite")
    for _ in range(2):
        ran, verdicts = run(folder / "v.sqlite", [program("a")], FAILED)
        assert len(ran) == 1
        assert verdicts["a"].outcome is Outcome.FAIL
    assert capsys.readouterr().err.count(said) == 2


KEYS = {
    "others read it": lambda path: path.chmod(0o644),
    "it is a link": link,
    "it is short": lambda path: path.write_bytes(b"x"),
    "it is a pipe": pipe,
    "it is a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("case", KEYS)
def test_a_key_that_may_be_somebody_elses_seals_nothing(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assay.sandbox.host.cache import _user_key, is_sealed, seal, seal_path

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    before = seal("a", "b")
    assert is_sealed(before, "a", "b")
    assert is_sealed(before.hex(), "a", "b")
    assert not any(is_sealed(before, *parts) for parts in (("ab", ""), ("a",), ("b", "a"), ("a", "b", "")))
    assert not any(is_sealed(value, "a", "b") for value in (None, 1, "", b"", "zz", before[:-1], [before]))
    assert seal_path().stat().st_mode & 0o777 == 0o600
    _user_key.cache_clear()
    assert seal("a", "b") == before, "another process has the same key"
    KEYS[case](seal_path())
    _user_key.cache_clear()
    assert seal("a", "b") != before
    _user_key.cache_clear()


def test_a_cache_folder_that_anybody_writes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assay.suites import SuiteError
    from assay.suites.sources import cache_folder

    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    tmp_path.chmod(0o777)
    with pytest.raises(SuiteError, match=r"can be written by anybody.*chmod o-w"):
        cache_folder()
