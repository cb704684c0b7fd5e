"""What the corpus's files may say, and what is made of their verdicts."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.sandbox import Sandbox, SandboxError
from assay.sandbox.corpus import load_attack, load_corpus
from assay.sandbox.selfcheck import run_corpus, summarise_weaknesses


def test_a_file_of_several_samples_is_a_scenario(tmp_path: Path) -> None:
    path = tmp_path / "s.py"
    path.write_text(
        "# kind: 3\n# modes: split\n# rounds: 2\n# sample: owner\n# expect: pass\n# check: assert f(1) == 7\n"
        "def f(x): return 7\n# sample: thief\n# expect: fail error\n# limits: cpu_s=1\n# repeat: 2\n"
        "def f(x): return 8\n"
    )
    attack = load_attack(path, "hostile")
    assert (attack.weakness, attack.modes, attack.workers, attack.is_scenario) == (3, ("split",), 1, True)
    assert [sample.program.id for sample in attack.sequence] == [
        f"hostile/s/{name}" for name in ("owner", "thief", "thief") * 2
    ]
    owner, thief = attack.samples
    assert owner.program.checks == ("assert f(1) == 7",)
    assert thief.program.candidate == "def f(x): return 8\n"
    assert thief.program.limits.cpu_s == 1


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("# expect: passes\n", "passes"),
        ("# kind: 99\n# expect: pass\n", "99"),
        ("# expect: pass\n# modes: both\n", "both"),
        ("# sample: a\n# expect: pass\n# sample: a\n# expect: pass\n", "same name"),
        ("# check: assert f(1)\n", "expect"),
    ],
)
def test_a_wrong_header_is_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(text)
    with pytest.raises(SandboxError, match=named):
        load_attack(path, "hostile")


@pytest.mark.isolated
def test_every_run_of_a_scenario_counts(tmp_path: Path) -> None:
    """A forgery that passes once in a while is a wrong pass; an innocent that fails once is a fault."""
    (tmp_path / "hostile").mkdir()
    (tmp_path / "hostile" / "guess.py").write_text(
        "# kind: 3\n# rounds: 2\n# sample: owner\n# expect: pass\ndef f(x): return x + 1\n"
        "# sample: guesser\n# expect: fail\n# repeat: 2\ndef f(x): return 2\n"
    )
    (tmp_path / "hostile" / "beside.py").write_text(
        "# workers: 2\n# sample: owner\n# expect: pass\ndef f(x): return x + 2\n"
        "# sample: other\n# expect: fail\n# repeat: 3\ndef f(x): return 0\n"
    )
    beside, guess = run_corpus(
        lambda workers: Sandbox(workers=workers), load_corpus(tmp_path), "split", parallel=1
    )
    assert [verdict.outcome.value for _, verdict in guess.runs] == ["pass", "pass", "pass"] * 2
    assert (guess.wrong_pass, guess.good, guess.verdict.id) == (True, False, "hostile/guess/guesser#1")
    assert len(beside.runs) == 4
    assert (beside.wrong_pass, beside.unexpected, beside.canary_same) == (False, True, True)
    assert [row.kind for row in summarise_weaknesses("embedded", "split", [beside, guess])] == [
        "3 state across samples"
    ]
