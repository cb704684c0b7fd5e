"""`assay doctor` and `assay sandbox selfcheck`: what this machine can do."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from assay.harness.cli.app import app, new_table, print_json, verb
from assay.harness.cli.options import SHOWN, AllowWeak, Backend, Isolation, Json, Shown, one_of

if TYPE_CHECKING:
    from assay.sandbox import Row
    from assay.sandbox.selfcheck import Finding


@verb()
def doctor(as_json: Json = False) -> None:
    """Show what this machine can do, and what to install for more.

    Listed are the isolation level, devices and engines.
    """
    from assay.harness.doctor import examine

    report = examine()
    if as_json:
        print_json(report.to_json())
    else:
        report.print()
    if report.isolation.level != "full":
        raise typer.Exit(4)


sandbox_app = typer.Typer(name="sandbox", no_args_is_help=True)
app.add_typer(sandbox_app)


@sandbox_app.callback()
def sandbox() -> None:
    """Test the sandbox by itself."""


@verb(within=sandbox_app)
def selfcheck(
    corpus: Annotated[
        Path | None, Option(help="The attack corpus; left out, tests/attacks of the checkout.")
    ] = None,
    backend: Backend = "embedded",
    isolation: Isolation = "cell",
    shown: Shown = SHOWN,
    allow_weak: AllowWeak = False,
    against: Annotated[
        str | None,
        Option(
            help="Run the corpus's forgeries and right programs through another evaluator's command instead, such as "
            "'evaluate_functional_correctness {samples} --problem_file {problems}'. Nothing of ours confines them "
            "there."
        ),
    ] = None,
) -> None:
    """Run the attack corpus on this machine.

    Counted are forged passes, calls that were not denied, and traces left for the next sample.
    """
    if against is not None:
        _run_against(against, corpus, shown)
        return
    from assay.sandbox import Sandbox
    from assay.sandbox.corpus import DEFAULT_FOLDER, load_corpus
    from assay.sandbox.model import Mode
    from assay.sandbox.selfcheck import run_corpus, summarise, summarise_weaknesses

    place: Any = one_of("--backend", backend, ("embedded", "docker"))
    level: Any = one_of("--isolation", isolation, ("cell", "fresh"))
    progress = shown.progress()
    rows: list[Row] = []
    weaknesses: list[Row] = []
    faults: list[Finding] = []
    modes: tuple[Mode, ...] = ("split", "shared")
    attacks = load_corpus(corpus or DEFAULT_FOLDER)
    for mode in modes:
        progress.say(f"{len(attacks)} programs in {mode} mode, a canary after each")

        def open_sandbox(workers: int, mode: Mode = mode) -> Sandbox:
            return Sandbox(backend=place, workers=workers, mode=mode, isolation=level, allow_weak=allow_weak)

        findings = run_corpus(open_sandbox, attacks, mode)
        rows += summarise(backend, mode, findings)
        weaknesses += summarise_weaknesses(backend, mode, findings)
        faults += [finding for finding in findings if not finding.good]
    if shown.as_json:
        named = [
            {"attack": f.attack.name, "mode": f.mode, "outcome": f.verdict.outcome.value, "trace": f.trace}
            for f in faults
        ]
        print_json(
            {
                "rows": [asdict(row) for row in rows],
                "weaknesses": [asdict(row) for row in weaknesses],
                "faults": named,
            }
        )
    else:
        _show(f"Attack corpus, {backend}", rows)
        _show("By what they attack", weaknesses)
        _conclude(faults)
    if faults:
        raise typer.Exit(1)


def _run_against(command: str, corpus: Path | None, shown: Shown) -> None:
    from assay.harness.console import terminal
    from assay.harness.evaluation.against import run_against
    from assay.sandbox.corpus import DEFAULT_FOLDER, load_corpus

    attacks = load_corpus(corpus or DEFAULT_FOLDER)
    shown.progress().say(f"forgeries and right programs go through: {command}")
    comparison = run_against(command, attacks)
    faults = bool(comparison.wrong_passes or comparison.right_failed)
    if shown.as_json:
        print_json(comparison.to_json())
        raise typer.Exit(1 if faults else 0)
    table = new_table("Judged by another evaluator", "programs", "run", "passed", "failed", "no verdict")
    for kind, title in (("forgery", "forgeries"), ("control", "right programs")):
        counts = [comparison.count(kind, ending) for ending in ("passed", "failed", "none")]
        table.add_row(title, str(sum(counts)), *map(str, counts))
    console = terminal()
    console.print(table)
    for title, names in (
        ("forgeries that pass there", comparison.wrong_passes),
        ("right programs that do not", comparison.right_failed),
        ("programs that leave it without results", comparison.no_verdict),
    ):
        console.print(f"{title}: {', '.join(names) or 'none'}", markup=False)
    if comparison.left_out:
        console.print(f"{comparison.left_out} programs have checks that its problems file cannot hold")
    if faults:
        raise typer.Exit(1)


def _show(title: str, rows: list[Row]) -> None:
    from assay.harness.console import terminal

    columns = {
        "mode": "mode",
        "kind": "kind",
        "run": "run",
        "wrong_passes": "wrong passes",
        "undenied": "undenied",
        "unexpected": "unexpected",
        "canary_differences": "traces",
    }
    table = new_table(title, *columns.values())
    for row in rows:
        table.add_row(*(str(getattr(row, name)) for name in columns), style="" if row.good else "red")
    terminal().print(table)


def _conclude(faults: list[Finding]) -> None:
    from rich.text import Text

    from assay.harness.console import terminal

    console = terminal()
    console.print(
        "A forgery that passes in shared mode is that mode's known weakness: reports count shared verdicts."
    )
    if faults:
        names = ", ".join(f"{f.attack.name} ({f.mode}: {f.verdict.outcome})" for f in faults)
        console.print(Text.assemble(("not held:", "red"), f" {names}"))
