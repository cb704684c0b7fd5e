"""A gate's checks as files that CI systems read: JUnit XML, Markdown, GitHub's commands, a history of figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from xml.etree import ElementTree

from assay.harness.decide.gate import GateResult
from assay.harness.decide.results import Results
from assay.harness.decide.statistics import estimate_score
from assay.harness.report.wording import markdown as md
from assay.harness.report.wording import visible

_MARKS = {"pass": "✅", "regression": "❌", "undecided": "⚠️", "unmeasured": "➖"}


def junit(outcome: GateResult) -> str:
    """Return JUnit XML: a test case a check; a regression is a failure, undecided an error, unmeasured skipped."""
    states = [check.state for check in outcome.checks]
    undecided_fails = outcome.rules.on_undecided == "fail"
    suite = ElementTree.Element(
        "testsuite",
        name="assay gate",
        tests=str(len(states)),
        failures=str(states.count("regression")),
        errors=str(states.count("undecided") if undecided_fails else 0),
        skipped=str(states.count("unmeasured") + (0 if undecided_fails else states.count("undecided"))),
    )
    for check in outcome.checks:
        case = ElementTree.SubElement(suite, "testcase", classname="assay.gate", name=visible(check.name))
        words = visible(check.words)
        if check.state == "regression":
            ElementTree.SubElement(case, "failure", message=words, type="regression")
        elif check.state == "undecided" and undecided_fails:
            ElementTree.SubElement(case, "error", message=words, type="undecided")
        elif check.state in ("undecided", "unmeasured"):
            ElementTree.SubElement(case, "skipped", message=words)
        ElementTree.SubElement(case, "system-out").text = words
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def markdown(outcome: GateResult) -> str:
    """Return a heading with the verdict, and a table of the checks."""
    lines = [
        f"### assay gate: {outcome.state} {_MARKS[outcome.state]}",
        "",
        f"{_md(outcome.candidate)} against {_md(outcome.baseline)}",
        "",
        "| | check | |",
        "|---|---|---|",
        *(f"| {_MARKS[c.state]} {c.state} | {_md(c.name)} | {_md(c.words)} |" for c in outcome.checks),
    ]
    lines += ["", *(f"- {_md(note)}" for note in outcome.notes)] if outcome.notes else []
    return "\n".join(lines) + "\n"


def github_commands(outcome: GateResult) -> list[str]:
    """Return GitHub's workflow commands: an error for a regression, a warning for what could not be decided."""
    levels = {"regression": "error", "undecided": "warning", "unmeasured": "notice"}
    return [
        f"::{levels[c.state]} title=assay gate::{_command(f'{c.name}: {c.words}')}"
        for c in outcome.checks
        if c.state in levels
    ]


def history(outcome: GateResult, candidate: Sequence[Results]) -> str:
    """Return github-action-benchmark's customBiggerIsBetter: pass@1 of each suite, in percent, with its half-width."""
    rows = []
    if outcome.comparison is not None:
        scores = [(s.suite, s.scores[1]) for s in outcome.comparison.suites]
    else:
        scores = [
            (one.suite, estimate_score(one.samples[None], one.passed[None], confidence=0.95))
            for one in candidate
        ]
    for suite, score in scores:
        half = 100 * (score.high - score.low) / 2
        rows.append(
            {
                "name": f"pass@1 on {visible(suite)}",
                "unit": "%",
                "value": round(100 * score.value, 3),
                "range": f"± {half:.1f}",
                "extra": f"{score.n} problems, {score.method}",
            }
        )
    return json.dumps(rows, indent=1) + "\n"


def _md(text: str) -> str:
    return md(text).replace("|", "\\|").replace("\n", " ")


def _command(text: str) -> str:
    return visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
