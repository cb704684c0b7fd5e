"""Tables as data: what is left out, which reasons are printed, and the same cells in every medium."""

from __future__ import annotations

from typing import Any

import pytest

from assay.harness import formatting
from assay.harness.leaderboard.schema import Estimate, Row, read_leaderboard
from assay.harness.report import render_markdown
from assay.harness.report.blocks import Cell, Column, figure, tabulate
from assay.harness.report.html import render_page
from assay.harness.report.sample_browser import page_data
from assay.harness.report.sections.board import leaderboard_table
from tests.harness.report.conftest import SyntheticRun


def rate(value: float | None, reason: str = "") -> dict[str, Any]:
    return {"value": value, "reason": reason}


def column(head: str, key: str) -> Column[dict[str, Any]]:
    return Column(head, lambda item: figure(item[key]["value"], formatting.percent, item[key]["reason"]))


NAME: Column[dict[str, Any]] = Column("name", lambda item: item["name"], "l", names_row=True)
ITEMS = [
    {"name": "a", "x": rate(0.5), "y": rate(None, "no device"), "z": rate(None, "no device")},
    {"name": "b", "x": rate(None, "killed"), "y": rate(None, "no device"), "z": rate(None, "busy")},
    {"name": "c", "x": rate(None, "killed"), "y": rate(None, "no device"), "z": rate(None, "no device")},
]


def test_a_column_that_nobody_has_is_left_out_and_named_once() -> None:
    table = tabulate([NAME, column("x", "x"), column("y", "y"), column("z", "z")], ITEMS, name="t")
    assert [c.head for c in table.columns] == ["name", "x"]
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["a", "50.0"],
        ["b", "unmeasured"],
        ["c", "unmeasured"],
    ]
    assert table.left_out == ("y unmeasured: no device", "z unmeasured: no device; busy")


def test_columns_left_out_for_one_reason_share_a_line() -> None:
    table = tabulate([NAME, column("y", "y"), column("w", "y")], ITEMS, name="t")
    assert table.left_out == ("y and w unmeasured: no device",)


def test_a_reason_has_one_number_however_many_rows_it_is_of() -> None:
    table = tabulate([NAME, column("x", "x")], ITEMS, name="t")
    assert table.reasons == ("killed",)
    assert [table.number(row[1]) for row in table.rows] == [None, 1, 1]


def test_words_that_say_nothing_do_not_keep_a_column() -> None:
    columns: list[Column[str]] = [
        Column("name", lambda item: item, names_row=True),
        Column("parent", lambda _: formatting.DASH),
        Column("note", lambda item: "" if item == "a" else "here"),
    ]
    assert [c.head for c in tabulate(columns, ["a", "b"], name="t").columns] == ["name", "note"]


@pytest.mark.parametrize(("low", "high"), [(0.4, None), (None, 0.6), (None, None)])
def test_an_interval_of_which_one_end_is_unknown_is_not_printed(
    low: float | None, high: float | None
) -> None:
    assert figure(0.5, formatting.percent, low=low, high=high) == Cell("50.0", sort=0.5)
    assert formatting.span(low, high, formatting.points) == ""
    assert formatting.span(0.4, 0.6, formatting.percent) == "40.0–60.0"
    assert formatting.span(-0.4, 0.6, formatting.points) == "−40.0 to +60.0"


def test_a_half_known_interval_is_neither_drawn_nor_spoken(run: SyntheticRun) -> None:
    estimate = run.leaderboard["rows"][1]["pass@k"]["1"]
    del estimate["high"]
    run.leaderboard["rows"][1]["vs_reference"] |= {"low": None}
    page = render_page(run.board, page_data(run.board, {}, {}))
    shown = formatting.percent(estimate["value"])
    assert f'aria-label="adapter: {shown} %"' in page
    assert f"| **adapter** | {shown} | " in render_markdown(run.board)


def test_an_adapters_size_stands_with_its_bases(run: SyntheticRun) -> None:
    table = leaderboard_table(run.board, [1])
    size = next(i for i, c in enumerate(table.columns) if c.head == "size")
    by_name = {row[1].text: row[size] for row in table.rows}
    assert (by_name["adapter"].text, by_name["adapter"].range) == ("1.15 MiB", "+ 6.77 MiB")
    assert by_name["adapter"].sort == 1_204_992 + 7_102_464
    assert by_name["merged"].range == by_name["base"].range == ""
    run.leaderboard["rows"][2] |= {"kind": "adapter"}  # trained from an adapter, on the same base
    assert run.board.base_of(run.board.row("merged")) == run.board.row("base")
    run.leaderboard["rows"][1]["parent"] = None
    assert run.board.base_of(run.board.row("adapter")) is None


def test_a_new_column_is_one_line_in_every_medium() -> None:
    row = Row(variant="m", kind="base", pass_at_k={1: Estimate(value=0.5)})
    columns: list[Column[Row]] = [
        Column("variant", lambda r: r.variant, "l", names_row=True),
        Column("load", lambda r: figure(0.25, formatting.percent), unit="%"),
    ]
    (cells,) = tabulate(columns, [row], name="t").rows
    assert [cell.text for cell in cells] == ["m", "25.0"]
    assert [column.heading for column in columns] == ["variant", "load %"]


def test_the_board_is_read_once(run: SyntheticRun) -> None:
    """What is written is the dump of what was read, key by key."""
    assert read_leaderboard(run.leaderboard).to_json() == run.leaderboard
