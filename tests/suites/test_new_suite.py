"""The guide's example is a suite: the code block of suites/README.md is run as it stands there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assay.harness.evaluation.samples_file import evaluate_file
from assay.harness.experiment import SandboxTable
from assay.suites import SUITES, SuiteError, load_suite

GUIDE = Path(__file__).parents[2] / "suites" / "README.md"
ROW = {
    "id": "t/0",
    "prompt": "def triple(x):\n",
    "function": "triple",
    "asserts": ["assert triple(2) == 6"],
    "hint": "three times",
}


@pytest.fixture
def registered() -> None:
    if "triple" not in SUITES.names():
        exec(GUIDE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0], {})


@pytest.mark.isolated
@pytest.mark.usefixtures("registered")
def test_the_example_loads_and_judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_DATA", str(tmp_path))
    with pytest.raises(SuiteError, match=r"Fetch triple\.jsonl from https://example\.org/triple"):
        load_suite("triple")
    (tmp_path / "triple.jsonl").write_text(json.dumps(ROW) + "\n")
    suite = load_suite("triple", options={"hints": "yes"})
    assert suite.problems[0].prompt.endswith("# three times\n")
    assert suite.source == str(tmp_path / "triple.jsonl")
    samples = tmp_path / "samples.jsonl"
    bodies = ("    return 3 * x\n", "    return x\n")
    samples.write_text("".join(json.dumps({"task_id": "t/0", "completion": body}) + "\n" for body in bodies))
    result = evaluate_file(suite, samples, SandboxTable(workers=1)).to_json()
    assert (result["outcomes"]["pass"], result["outcomes"]["fail"]) == (1, 1)


@pytest.mark.usefixtures("registered")
def test_its_options_are_checked(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="no option 'hint'; known: hints"):
        load_suite("triple", path=tmp_path, options={"hint": "yes"})
    with pytest.raises(SuiteError, match="only the split 'test'"):
        load_suite("triple", path=tmp_path, split="dev")
