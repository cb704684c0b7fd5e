"""The HTML report: one file that needs nothing else, neither network nor server.

Its content security policy admits exactly two inline texts, this package's style and script, by their hashes. A
completion that got past the escaping could still run nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from harness.report import (
    answers,
    curves,
    learned,
    links,
    overlap,
    profiles,
    reward_models,
    sections,
    trainings,
    words,
)
from harness.report import board as board_table
from harness.report.findings import setting, verdict
from harness.report.model import Leaderboard
from harness.report.text import escape, script_json


def render_page(board: Leaderboard, data: Mapping[str, Any]) -> str:
    """The whole document; `data` is what `data.page_data` made."""
    style, script = _asset("style.css"), _asset("script.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = [
        ("leaderboard", "Leaderboard", board_table.section(board)),
        ("families", "By family", sections.families(board)),
        ("comparisons", "Paired comparisons", sections.comparisons(board)),
        ("links", "Chain", links.section(board)),
        ("profiles", "Memory and speed alone", profiles.section(board)),
        ("training", "Training", _training(board)),
        ("contamination", "Training set and suite", overlap.section(board)),
        ("samples", "Samples", _browser(data)),
        ("definitions", "What the figures mean", sections.definitions(board)),
        ("provenance", "Provenance", sections.provenance(board)),
    ]
    present = [(anchor, title, body) for anchor, title, body in parts if body]
    anchors = "".join(f'<a href="#{anchor}">{escape(title)}</a>' for anchor, title, _ in present)
    main = "".join(
        f'<section id="{anchor}" aria-labelledby="{anchor}-h"><h2 id="{anchor}-h">{escape(title)}</h2>{body}</section>'
        for anchor, title, body in present
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="generator" content="assay">\n'
        f"<title>{escape(board.experiment)} · Assay</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f"{_header(board, anchors)}<main>{main}</main>\n"
        '<dialog id="viewer" aria-label="One sample"></dialog>\n'
        f'<script type="application/json" id="data">{script_json(data)}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _training(board: Leaderboard) -> str:
    parts = (trainings, learned, reward_models, answers, curves)
    return "".join(part.section(board) for part in parts)


def _asset(name: str) -> str:
    return resources.files("harness.report").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _header(board: Leaderboard, links: str) -> str:
    machine = board.machine
    where = machine.get("gpu") or machine.get("cpu") or machine.get("device") or ""
    stamp = " · ".join(escape(x) for x in (f"run {board.run[:12]}", words.day(board.created), where) if x)
    return (
        f'<header><p class="stamp"><b>Assay</b> {stamp}</p><h1>{escape(board.experiment)}</h1>'
        f'<p class="verdict">{escape(verdict(board))}</p><p class="setting">{escape(setting(board))}</p>'
        f'<nav aria-label="Sections">{links}</nav></header>\n'
    )


def _browser(data: Mapping[str, Any]) -> str:
    """The sample browser's frame; script.js fills it. Empty where there are no samples."""
    if not data["variants"]:
        return ""
    cut = ""
    if data["kept_per_problem"] is not None:
        share = f"{words.count(data['embedded'])} of {words.count(data['total'])} samples"
        cut = (
            f'<p class="note">{share} are in this page, '
            f"the first {data['kept_per_problem']} of each problem; all of them are in the run's samples.</p>"
        )
    return (
        f"{cut}<noscript><p class=note>The samples are in this page, but need JavaScript to be shown.</p></noscript>"
        '<form id="filters" role="search" aria-label="Filter samples" hidden></form>'
        '<p id="found" aria-live="polite"></p><div id="list" class="scroll"></div>'
        '<p class="hint" hidden>Arrow keys move between samples, Enter opens one.</p>'
    )
