"""The pytest plugin: the fixture and marker `assay_gate`, by which a test is a gate (PYTEST_DONT_REWRITE).

Every pytest session of an environment with Assay loads this module, so it imports nothing but pytest: the gate is
imported by the first test that asks for one. Its hooks do nothing for other tests, and need no recent pytest.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from assay.harness.decide.gate import GateResult, Rules
    from assay.harness.decide.measurements import Measurements

_NAME = "assay_gate"
_KEYS = ("baseline", "rules", "margin", "fail_under", "on_undecided")


def pytest_addoption(parser: pytest.Parser) -> None:
    for name, what in (("baseline", "baseline file"), ("rules", "TOML file of rules")):
        text = f"The {what} of tests that ask for `assay_gate` and name none; a path from the root directory."
        parser.addini(f"assay_{name}", text)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{_NAME}(baseline, rules, margin, fail_under, on_undecided): how the fixture {_NAME} decides in this test, "
        "and that the test's pytest-benchmark is held against the baseline's speed",
    )


class AssayGate:
    """What the fixture `assay_gate` is: call it with a result, and the test fails unless it holds."""

    def __init__(self, node: pytest.Item) -> None:
        self._node = node
        self.used = False

    def __call__(
        self,
        result: str | Path,
        *,
        benchmarks: str | Path | None = None,
        sequential: int | None = None,
        **how: Any,
    ) -> GateResult:
        """Hold a result file or run (`FILE:MODEL` of several) against the baseline.

        `benchmarks` is pytest-benchmark's JSON: without it the speeds of the baseline are left to the tests that
        measure them. `how` has the marker's keys, and comes before the marker's. A regression and an undecided gate
        fail the test, and what is unmeasured skips it.
        """
        self.used = True
        return self._settle(_plainly(lambda: self._of_files(result, benchmarks, sequential, how)))

    def hold_speed(self, benchmark: Any) -> GateResult:
        """Hold what pytest-benchmark's fixture measured in this test against the baseline's speed of it."""
        return self._settle(_plainly(lambda: self._of_benchmark(benchmark)))

    def _of_files(
        self, result: str | Path, benchmarks: str | Path | None, sequential: int | None, how: dict[str, Any]
    ) -> GateResult:
        from dataclasses import replace

        from assay.harness.decide import gate_run, read_results

        baseline, rules = self._settings(how)
        known = None if baseline is None else gate_run.measured(baseline)
        name = self._path(result)
        now = gate_run.measured(name, None if benchmarks is None else Path(self._path(benchmarks)))
        if known is not None and benchmarks is None:
            known, now = replace(known, seconds={}), replace(now, seconds={})
        return gate_run.decide_gate(
            read_results(name),
            [] if baseline is None else read_results(baseline),
            rules,
            now=now,
            known=known,
            sequential=sequential,
        )

    def _of_benchmark(self, benchmark: Any) -> GateResult:
        from assay.harness.decide.gate import GateResult
        from assay.harness.decide.gate_run import measured
        from assay.harness.decide.measurements import Check, Measurements, check_measurements
        from assay.harness.errors import BadInputError

        name = benchmark.fullname
        baseline, rules = self._settings({})
        if baseline is None:
            raise BadInputError("name the baseline that the speed is held against")
        known = measured(baseline)
        if name not in known.seconds:
            advice = "write it by assay baseline update RESULT --benchmarks FILE"
            raise BadInputError(f"{baseline} has no benchmark {name!r}: {advice}")
        now = _speed_of(name, benchmark, self._node.config)
        if now is None:
            reason = "pytest-benchmark kept no samples (it may be disabled)"
            checks = [Check(f"speed of {name}", "unmeasured", reason)]
        else:
            known = Measurements(known.hardware, {name: known.seconds[name]})
            checks = check_measurements(now, known, rules.speed, rules.memory)
        return GateResult(name, baseline, rules, tuple(checks))

    def _settings(self, how: dict[str, Any]) -> tuple[str | None, Rules]:
        """Return baseline and rules, of the call, the marker and the configuration, in that order."""
        from assay.harness.decide.gate_run import read_rules
        from assay.harness.errors import BadInputError

        marker = self._node.get_closest_marker(_NAME)
        given = {**(marker.kwargs if marker else {}), **how}
        unknown = [*(marker.args if marker else ()), *(key for key in given if key not in _KEYS)]
        if unknown:
            raise BadInputError(f"{_NAME} takes {', '.join(_KEYS)}, by name, and not {unknown[0]!r}")
        paths = {}
        for key in ("baseline", "rules"):
            name = given.pop(key, None) or self._node.config.getini(f"assay_{key}")
            paths[key] = self._path(name) if name else None
        rules = paths["rules"]
        return paths["baseline"], read_rules(None if rules is None else Path(rules), **given)

    def _path(self, name: str | Path) -> str:
        return str(self._node.config.rootpath / name)

    def _settle(self, outcome: GateResult) -> GateResult:
        from assay.harness.report.wording import visible

        lines = [visible(f"{check.state}: {check.name}: {check.words}") for check in outcome.checks]
        lines += [visible(f"note: {note}") for note in outcome.notes]
        self._node.user_properties += [(_NAME, line) for line in lines]
        text = "\n".join((f"{_NAME}: {outcome.state}", *lines))
        if outcome.state == "unmeasured":
            pytest.skip(text)
        if outcome.exit_code:
            pytest.fail(text, pytrace=False)
        return outcome


@pytest.fixture
def assay_gate(request: pytest.FixtureRequest) -> AssayGate:
    """Hold results against a baseline: `assay_gate("results.jsonl", baseline="baseline.json")`."""
    return AssayGate(request.node)


@pytest.hookimpl(trylast=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """After a marked test that passed: hold its benchmark against the baseline."""
    if item.get_closest_marker(_NAME) is None:
        return
    fixtures = getattr(item, "funcargs", {})
    gate = fixtures.get(_NAME)
    benchmark = fixtures.get("benchmark")
    if hasattr(benchmark, "fullname") and hasattr(
        benchmark, "stats"
    ):  # others have a fixture of that name too
        AssayGate(item).hold_speed(benchmark)
    elif gate is None or not gate.used:
        pytest.fail(
            f"the test is marked {_NAME}, and holds nothing against a baseline: call the fixture {_NAME}, or use "
            "pytest-benchmark's fixture benchmark",
            pytrace=False,
        )


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what gates decided, those that passed included: a proven loss within the margin passes and is said."""
    lines = [
        f"{report.nodeid}: {entry[1]}"
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for entry in getattr(report, "user_properties", ())
        if isinstance(entry, tuple | list) and len(entry) == 2 and entry[0] == _NAME
    ]
    if lines:
        terminalreporter.section("assay gate")
        for line in lines:
            terminalreporter.line(line)


def _speed_of(name: str, benchmark: Any, config: pytest.Config) -> Measurements | None:
    """Return the seconds of each round; None where none were kept."""
    from assay.harness.decide.measurements import Measurements

    seconds = getattr(getattr(benchmark.stats, "stats", None), "data", ())
    return Measurements(_hardware(config), {name: tuple(map(float, seconds))}) if seconds else None


@lru_cache(maxsize=1)
def _hardware(config: pytest.Config) -> dict[str, Any]:
    """Return the fingerprint of this machine, which pytest-benchmark takes about a second for."""
    from assay.harness.decide.measurements import benchmark_hardware

    info = config.hook.pytest_benchmark_generate_machine_info(config=config)
    config.hook.pytest_benchmark_update_machine_info(config=config, machine_info=info)
    return benchmark_hardware(info)


def _plainly(decide: Callable[[], GateResult]) -> GateResult:
    """Return what `decide` returns; errors that the command line reports in one line fail the test in one line."""
    try:
        return decide()
    except Exception as error:
        from assay.harness.errors import exit_code_of, message_of

        if exit_code_of(error) is None:
            raise
        text = message_of(error)
    pytest.fail(f"{_NAME}: {text}", pytrace=False)
