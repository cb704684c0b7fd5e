from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from assay.harness.errors import BadInputError
from assay.harness.leaderboard.schema import read_leaderboard
from assay.harness.report import render_markdown, render_terminal, write_report
from tests.harness.report.conftest import SyntheticRun
from tests.harness.report.hostile import HOSTILE, make_hostile

NAMES = ["leaderboard.json", "leaderboard.md", "report.html", "verdicts.parquet"]
VOID = {"meta", "link", "br", "input", "line", "circle", "rect", "polyline"}


class Outline(HTMLParser):
    """The tags and attributes of a page, and whether every element that opens also closes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str]] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def written(run: SyntheticRun, folder: Path) -> str:
    write_report(folder, run.board, run.samples, run.problems)
    return (folder / "report.html").read_text(encoding="utf-8")


def test_four_files_and_nothing_else(run: SyntheticRun, tmp_path: Path) -> None:
    written(run, tmp_path / "new")
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == NAMES
    assert json.loads((tmp_path / "new/leaderboard.json").read_text()) == run.leaderboard
    assert (tmp_path / "new/leaderboard.md").read_text() == render_markdown(run.board)
    verdicts = pd.read_parquet(tmp_path / "new/verdicts.parquet")
    for row in run.board.rows:
        passed = verdicts[verdicts["variant"] == row.variant]["outcome"].eq("pass").sum()
        assert passed == run.samples[row.variant]["outcome"].eq("pass").sum()
    assert len(verdicts) == sum(len(table) for table in run.samples.values())


def test_a_withdrawn_leaderboard_says_so_before_all_else(run: SyntheticRun) -> None:
    taken_back = run.board.model_copy(update={"withdrawn": "p-values and ranks are withdrawn: three seeds."})
    assert render_markdown(taken_back).splitlines()[2] == "**p-values and ranks are withdrawn: three seeds.**"


def test_the_page_is_well_formed_and_fetches_nothing(run: SyntheticRun, tmp_path: Path) -> None:
    outline = Outline(written(run, tmp_path))
    assert outline.open == []
    assert not {"link", "img", "iframe", "object", "base"} & set(outline.tags)
    for tag, name, value in outline.attributes:
        assert name not in ("src", "style", "srcset"), (tag, name)
        assert not name.startswith("on"), (tag, name)
        assert name != "href" or value.startswith("#"), value
    ids = [value for _, name, value in outline.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    targets = {value[1:] for _, name, value in outline.attributes if name == "href"}
    assert targets <= set(ids)


def test_the_policy_admits_this_style_and_script_alone(run: SyntheticRun, tmp_path: Path) -> None:
    page = written(run, tmp_path)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    for tag in ("style", "script"):
        (inline,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy.group(1)
    assert "default-src 'none'" in policy.group(1)
    assert "unsafe" not in policy.group(1)


def test_hostile_text_everywhere_adds_no_element(run: SyntheticRun, tmp_path: Path) -> None:
    """Every string that a model or a user can choose is an attack; the page has the same tags as without."""
    hostile = make_hostile(run)
    page = written(hostile, tmp_path)
    outline = Outline(page)
    assert outline.open == []
    harmless = {"script", "style", "title", "html", "head", "body", "meta"}
    counts = {tag: outline.tags.count(tag) for tag in harmless}
    svg_titles = outline.tags.count("svg") + outline.tags.count("g")
    assert counts["script"] == 2
    assert counts["style"] == 1
    assert counts["title"] <= 1 + svg_titles
    assert not {"img", "iframe", "svg:script", "object", "b64"} & set(outline.tags)
    assert not [a for a in outline.attributes if a[1].startswith("on")]
    (data,) = re.findall(r'<script type="text/plain" id="data">([\w+/=]+)</script>', page)
    strings = json.loads(zlib.decompress(base64.b64decode(data)))["strings"]
    assert HOSTILE + "program" in strings


def test_hostile_text_leaves_markdown_tables_whole(run: SyntheticRun) -> None:
    text = render_markdown(make_hostile(run).board)
    tables = [block for block in text.split("\n\n") if block.startswith("| ")]
    # board, families, pairs, lineage; trainings, learned, cost, curves; reward models, calibration, answers
    assert len(tables) == 11
    for table in tables:
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(cells) == 1, table
    assert not re.search(r"(?<!\\)<", text)


def test_bad_input_leaves_a_former_report_alone(run: SyntheticRun, tmp_path: Path) -> None:
    before = written(run, tmp_path)
    run.leaderboard["machine"]["load"] = float("nan")
    with pytest.raises(BadInputError, match="never NaN"):
        write_report(tmp_path, run.board, run.samples, run.problems)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == before
    assert sorted(p.name for p in tmp_path.iterdir()) == NAMES


def test_a_write_that_fails_raises_and_leaves_no_litter(run: SyntheticRun, tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OSError, match=r"report\.html"):
        write_report(tmp_path, run.board, run.samples, run.problems)
    assert sorted(p.name for p in tmp_path.iterdir()) == NAMES


def test_what_was_not_measured_says_so_and_why(run: SyntheticRun, tmp_path: Path) -> None:
    row = run.leaderboard["rows"][1]
    row |= {"tok_per_s": None, "size_bytes": None, "unmeasured": {"tok_per_s": "taken from a samples file"}}
    row["pass@k"]["4"] = {"value": None, "reason": "k is above n"}
    row["vs_reference"] = {"difference": None, "reason": "other problems"}
    page = written(run, tmp_path)
    notes = re.search(r'<ol class="footnotes"[^>]*>(.*?)</ol>', page)
    assert notes is not None
    reasons = re.findall(r"<li[^>]*>(.*?)</li>", notes.group(1))
    assert set(reasons) == {
        "taken from a samples file",
        "no reason was recorded",
        "k is above n",
        "other problems",
    }
    assert page.count('class="unmeasured"') == 4


def test_a_model_taken_as_it_was_has_no_time_of_making(run: SyntheticRun, tmp_path: Path) -> None:
    assert run.leaderboard["rows"][0]["make_s"] is None
    assert '<td class="num quiet" data-label="made in">given</td>' in written(run, tmp_path)
    run.leaderboard["rows"][0]["unmeasured"]["make_s"] = "made elsewhere"
    assert "made elsewhere</li>" in written(run, tmp_path)


def test_a_leaderboard_with_the_bare_minimum(tmp_path: Path) -> None:
    bare = {
        "schema": 1,
        "experiment": "e",
        "run": "r",
        "created": "?",
        "reference": "m",
        "suite": {"name": "jsonl"},
        "rows": [{"variant": "m", "kind": "base", "pass@k": {"1": {"value": 0.5}}}],
    }
    write_report(tmp_path, read_leaderboard(bare), {}, {})
    outline = Outline((tmp_path / "report.html").read_text(encoding="utf-8"))
    sections = [value for tag, name, value in outline.attributes if (tag, name) == ("section", "id")]
    assert sections == ["leaderboard", "definitions", "provenance"]


def test_a_shared_rank_is_marked_and_ties_stand_as_made(run: SyntheticRun) -> None:
    for row in run.leaderboard["rows"]:
        row["rank"] = 5 if row["variant"] == "base" else 1
    first = [line.split("|")[1:3] for line in render_markdown(run.board).splitlines() if "**" in line][1:6]
    assert [(rank.strip(), name.strip(" *")) for rank, name in first] == [
        ("1=", "adapter"),
        ("1=", "merged"),
        ("1=", "gguf-f16"),
        ("1=", "gguf-q8\\_0"),
        ("5", "base"),
    ]


def test_the_terminal_prints_figures_and_reads_no_markup(run: SyntheticRun) -> None:
    run.leaderboard["rows"][1]["variant"] = "[red]ad[/red]\x1b[2J"
    run.leaderboard.update(comparisons=[], curves={})
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(render_terminal(run.board))
    console.file.close()
    text = console.export_text()
    assert "[red]ad[/red]⟨U+001B⟩[2J" in text
    base = next(line for line in text.splitlines() if " base " in line)
    value = run.leaderboard["rows"][0]["pass@k"]["1"]["value"]
    assert f"{value * 100:.1f}" in base
    assert "reference" in base


def test_every_figure_in_the_page_is_the_one_in_the_data(run: SyntheticRun, tmp_path: Path) -> None:
    page = written(run, tmp_path)
    shown = dict(re.findall(r'data-sort="([\w.-]+)"><b>[^<]*</b><small class="recipe"[^>]*>.*?data-label="pass@1" '
                            r'data-sort="([\d.]+)"', page))  # fmt: skip
    assert {k: float(v) for k, v in shown.items()} == {
        r["variant"]: r["pass@k"]["1"]["value"] for r in run.leaderboard["rows"]
    }
