from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.harness import formatting
from assay.harness.report import charts
from assay.harness.report import charts as drawing


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123, "+12.3"), (-0.05, "−5.0"), (0.0, "0.0"), (-0.0001, "0.0"), (0.0005, "+0.1"), (1.0, "+100.0")],
)
def test_points_are_signed_with_a_real_minus_and_zero_has_no_sign(value: float, text: str) -> None:
    assert formatting.points(value) == text


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0, "< 0.001"), (0.00099, "< 0.001"), (0.001, "0.001"), (0.0456, "0.046"), (1.0, "1.000")],
)
def test_p_values(p: float, text: str) -> None:
    assert formatting.p_value(p) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.6, "600 ms"), (1.4, "1.4 s"), (61.2, "61 s"), (245.0, "4 min 05 s"), (7800.0, "2 h 10 min")],
)
def test_seconds(seconds: float, text: str) -> None:
    assert formatting.seconds(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1 << 20, "1.00 MiB"),
        (7_102_464, "6.77 MiB"),
        (25_000_000_000, "23.3 GiB"),
        (1 << 43, "8192 GiB"),
    ],
)
def test_sizes_are_binary(size: int, text: str) -> None:
    assert formatting.size(size) == text


@pytest.mark.parametrize(
    ("names", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_names_in_a_sentence(names: list[str], text: str) -> None:
    assert formatting.enumerate_names(names) == text


def test_a_date_that_cannot_be_read_is_printed_as_it_is() -> None:
    assert formatting.day("2026-11-21T22:10:03Z") == "21 November 2026"
    assert formatting.day("yesterday") == "yesterday"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.floats(-1, 1), max_size=8), st.integers(2, 6))
def test_a_scale_covers_its_values_and_has_few_round_ticks(values: list[float], most: int) -> None:
    scale = charts.scale_for(values, max_ticks=most)
    assert all(scale.low <= v <= scale.high for v in values)
    assert all(scale.low <= t <= scale.high for t in scale.ticks)
    assert len(scale.ticks) <= most
    assert all(re.fullmatch(r"\d{1,3}\.\d\d%", scale.at(v)) for v in values)


def test_a_plot_puts_its_marks_where_the_figures_are() -> None:
    scale = charts.Scale(0.0, 1.0, (0.5,))
    plot = charts.interval(scale, 0.5, 0.25, 0.75, label="x", mark=0.1)
    assert '<circle class="dot" cx="50.00%"' in plot
    assert '<line class="whisker" x1="25.00%" x2="75.00%"' in plot
    assert '<line class="mark" x1="10.00%" x2="10.00%"' in plot


def test_without_an_interval_only_the_dot_is_drawn() -> None:
    plot = charts.interval(charts.Scale(0.0, 1.0, ()), 0.5, None, None, label="x")
    assert "whisker" not in plot
    assert "circle" in plot


def test_a_stacked_bar_is_filled_exactly() -> None:
    bar = charts.stacked_bar([("pass", 1), ("fail", 2), ("error", 0), ("timeout", 1)], label="x")
    assert re.findall(r'class="o-(\w+)" x="([\d.]+)%" y="0" width="([\d.]+)%"', bar) == [
        ("pass", "0.000", "25.000"),
        ("fail", "25.000", "50.000"),
        ("timeout", "75.000", "25.000"),
    ]


def test_a_constant_curve_is_a_level_line() -> None:
    line = drawing.Line("x", [[(1.0, 0.5), (2.0, 0.5), (3.0, 0.5)]])
    chart = drawing.draw(drawing.Plot([line], "step", "loss", "x"))
    heights = {y for _, y in re.findall(r"([\d.]+),([\d.]+)", chart.split('points="')[1].split('"')[0])}
    assert len(heights) == 1
