"""Reports of a run's leaderboard and samples for people: HTML, Markdown, and a table in the terminal."""

from __future__ import annotations

from assay.harness.report.html import write_report
from assay.harness.report.markdown import render_markdown
from assay.harness.report.terminal import note_lines, render_terminal, reward_model_lines

__all__ = ["note_lines", "render_markdown", "render_terminal", "reward_model_lines", "write_report"]
