"""A gate from the names of files: its rules, what was measured beside the verdicts, and every check that they allow."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay.harness.decide.baseline import measurements_of
from assay.harness.decide.gate import GateResult, Rules, check_quality, floor_of
from assay.harness.decide.measurements import Measurements, check_measurements, peaks_of, read_benchmarks
from assay.harness.decide.readers.read import split_name
from assay.harness.decide.results import Results
from assay.harness.errors import BadInputError
from assay.harness.experiment.validation import checked
from assay.harness.files import read_json
from assay.harness.leaderboard.schema import read_leaderboard
from assay.trainers.files import read_bytes


def read_rules(
    file: Path | None,
    *,
    margin: float | None = None,
    fail_under: float | None = None,
    on_undecided: str | None = None,
) -> Rules:
    """Return the rules of a TOML file, with those that are given by themselves before them."""
    try:
        values: dict[str, Any] = {} if file is None else tomllib.loads(read_bytes(file).decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInputError(f"{file}: not TOML ({error})") from error
    quality = values.setdefault("quality", {})
    if isinstance(quality, dict):
        quality |= {k: v for k, v in (("margin", margin), ("fail_under", fail_under)) if v is not None}
    if on_undecided is not None:
        values["on_undecided"] = on_undecided
    return checked(Rules, values, str(file) if file else "")


def measured(name: str, benchmarks: Path | None = None) -> Measurements:
    """Return what a run or a baseline file measured of speed and memory, with the benchmarks of a file of their own."""
    path, _ = split_name(name)
    if path.is_dir() and (path / "leaderboard.json").is_file():
        known = peaks_of(read_leaderboard(read_json(Path("leaderboard.json"), path)))
    else:
        known = measurements_of(path)
    if benchmarks is None:
        return known
    timed = read_benchmarks(benchmarks)
    if known.peak_bytes:
        raise BadInputError(
            f"--benchmarks {benchmarks}: {path} has measurements of its own; give one of the two"
        )
    return timed


def decide_gate(
    candidate: Sequence[Results],
    before: Sequence[Results],
    rules: Rules,
    *,
    now: Measurements,
    known: Measurements | None,
    sequential: int | None = None,
) -> GateResult:
    """Make every check that two results and their measurements allow; without a baseline (`known` is None), of the
    floor alone, which the rules then have to name."""
    notes: tuple[str, ...] = ()
    if now.seconds and not (known and known.seconds):
        notes = (
            "the candidate's benchmarks decide nothing: the baseline has none (assay baseline update --benchmarks)",
        )
    if known is None:
        floor = rules.quality.fail_under
        if floor is None:
            raise BadInputError("a gate needs a baseline, or a floor (fail_under)")
        checks = [floor_of(one, floor, rules.quality.confidence) for one in candidate]
        return GateResult(candidate[0].model, f"a floor of {floor:g}", rules, tuple(checks), notes=notes)
    checks, compared = check_quality(candidate, before, rules, sequential=sequential)
    checks += check_measurements(now, known, rules.speed, rules.memory)
    return GateResult(
        compared.candidate, compared.baseline, rules, tuple(checks), compared, (*compared.warnings, *notes)
    )
