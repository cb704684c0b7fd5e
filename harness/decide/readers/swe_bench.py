"""Results of SWE-bench: the report of a run, and the lists of its leaderboard."""

from __future__ import annotations

from typing import Any

from assay.harness.decide.readers.read import READERS
from assay.harness.decide.readers.source import Source
from assay.harness.decide.results import Results

SUITE = "swe-bench"
# Lists of a run's report; an instance without a prediction was not tried, and has no verdict.
_REPORT = {"resolved_ids": True, "unresolved_ids": False, "empty_patch_ids": False, "error_ids": False,
           "incomplete_ids": None}  # fmt: skip
_TRIED = ("generated", "no_generation", "no_logs", "applied", "no_apply", "test_errored", "test_timeout",
          "install_fail", "reset_failed", "with_logs", "unresolved")  # fmt: skip


@READERS.register("swe-bench")
def read_swe_bench(source: Source, /) -> list[Results]:
    """A report `MODEL.RUN.json` (`resolved_ids`, `unresolved_ids`, …), a leaderboard's `results.json` (`resolved`), or
    `{instance: {"resolved": true, …}}`, which `per_instance_details.json` and an instance's `report.json` hold.

    As SWE-bench scores them, an empty patch and an instance whose evaluation broke are not resolved; the note says how
    many broke. A `results.json` without the list `generated` names what was resolved and not what was tried.
    """
    value = source.json
    if not isinstance(value, dict):
        raise source.error("", "expected an object with 'resolved_ids' or 'resolved'")
    collector = source.collector("swe-bench")
    if "resolved_ids" in value:
        model = source.stem
        for name, passed in _REPORT.items():
            for instance in _ids(source, value, name):
                collector.add(instance, passed, model=model, suite=SUITE)
        if broken := len(_ids(source, value, "error_ids")):
            collector.notes.append(
                f"{broken} instances whose evaluation broke count as not resolved, as SWE-bench does"
            )
        return collector.results()
    model = source.stem
    if model == "results":  # experiments/evaluation/verified/MODEL/results/results.json
        model = source.path.resolve().parents[1].name
    if "resolved" not in value:
        for instance, details in value.items():
            if not isinstance(details, dict) or not isinstance(details.get("resolved"), bool):
                raise source.error(instance, f"field 'resolved' is neither true nor false: {details!r:.80}")
            collector.add(instance, details["resolved"], model=model, suite=SUITE)
        return collector.results()
    resolved = dict.fromkeys(_ids(source, value, "resolved"))
    for instance in resolved:
        collector.add(instance, True, model=model, suite=SUITE)
    tried = dict.fromkeys(i for name in _TRIED for i in _ids(source, value, name))
    for instance in tried:
        if instance not in resolved:
            collector.add(instance, False, model=model, suite=SUITE)
    return collector.results(only_passed=not value.get("generated"))


def _ids(source: Source, value: dict[str, Any], name: str) -> list[str]:
    ids = value.get(name) or []
    if not isinstance(ids, list) or not all(isinstance(i, str) for i in ids):
        raise source.error("", f"field {name!r} is not a list of instance ids: {ids!r:.80}")
    return ids
