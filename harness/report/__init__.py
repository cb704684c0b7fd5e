"""Reports of a run's leaderboard and samples for people: HTML, Markdown, and a table in the terminal."""

from __future__ import annotations

from assay.harness.report.blocks import Document
from assay.harness.report.html import render_document, write_report
from assay.harness.report.markdown import document_markdown, render_markdown
from assay.harness.report.terminal import note_lines, render_table, render_terminal, reward_model_lines

__all__ = [
    "Document",
    "document_markdown",
    "note_lines",
    "render_document",
    "render_markdown",
    "render_table",
    "render_terminal",
    "reward_model_lines",
    "write_report",
]
