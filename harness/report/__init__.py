"""A run's leaderboard and samples as pages for people: HTML, Markdown, and a table in the terminal."""

from __future__ import annotations

from harness.report.markdown import render_markdown
from harness.report.terminal import render_terminal, reward_model_lines
from harness.report.write import write_report

__all__ = ["render_markdown", "render_terminal", "reward_model_lines", "write_report"]
