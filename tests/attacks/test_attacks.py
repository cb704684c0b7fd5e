"""The whole corpus on the embedded backend, in both modes, with a canary after each attack."""

from __future__ import annotations

from functools import cache

import pytest

from assay.sandbox import Sandbox
from assay.sandbox.corpus import load_corpus
from assay.sandbox.model import Mode
from assay.sandbox.selfcheck import Finding, run_corpus

ATTACKS = load_corpus()

pytestmark = pytest.mark.slow


@cache
def findings(mode: Mode) -> dict[str, Finding]:
    found = run_corpus(lambda workers: Sandbox(workers=workers, mode=mode), ATTACKS, mode, parallel=3)
    return {finding.attack.name: finding for finding in found}


def test_the_corpus_is_wide_enough() -> None:
    kinds = [attack.kind for attack in ATTACKS]
    assert kinds.count("hostile") >= 450
    assert kinds.count("forgery") >= 110
    assert kinds.count("control") >= 120


@pytest.mark.isolated
@pytest.mark.parametrize("name", [attack.name for attack in ATTACKS if "split" in attack.modes])
def test_split_mode(name: str) -> None:
    finding = findings("split")[name]
    assert not finding.wrong_pass, finding.verdict
    assert not finding.undenied, finding.verdict
    assert not finding.unexpected, finding.verdict
    assert finding.trace == "", "the next sample could tell that this one had run"


@pytest.mark.isolated
@pytest.mark.parametrize("name", [a.name for a in ATTACKS if a.kind != "forgery" and "shared" in a.modes])
def test_shared_mode(name: str) -> None:
    finding = findings("shared")[name]
    assert not finding.wrong_pass, finding.verdict
    assert not finding.undenied, finding.verdict
    assert not finding.unexpected, finding.verdict
    assert finding.trace == "", "the next sample could tell that this one had run"


@pytest.mark.isolated
def test_shared_mode_is_forgeable_as_its_documentation_says() -> None:
    """If this fails because nothing passes any more, the label "forgeable" is out of date."""
    forgeries = [finding for finding in findings("shared").values() if finding.attack.kind == "forgery"]
    passed = [finding.attack.name for finding in forgeries if finding.wrong_pass]
    assert 0 < len(passed) < len(forgeries)
    assert all(finding.canary_same for finding in forgeries)
