"""The project's tests; one of them is a gate of quality."""

from pathlib import Path

from answers import answer
from evaluate import main


def test_an_answer() -> None:
    assert answer(2, "+", 3) == 5


def test_quality(assay_gate, tmp_path: Path) -> None:
    main(str(tmp_path / "results.csv"))
    assay_gate(tmp_path / "results.csv")
