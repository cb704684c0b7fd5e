"""The benchmark of the board runs, on a small file; nothing is timed."""

from __future__ import annotations

from pathlib import Path

from benchmarks import board


def test_the_board_of_drawn_verdicts_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.parquet"
    board.write_verdicts(path, 30, models=4)
    seconds, peak, value = board.measure(path)
    assert seconds > 0
    assert 0 < peak < 4
    assert value["models"][0] == "model-03"  # type: ignore[index]
