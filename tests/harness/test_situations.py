"""Which row of the table `assay doctor` prints."""

from __future__ import annotations

from typing import Any

import pytest

from assay.harness.situations import (
    CI_RUNNER,
    CONTAINER,
    OTHER_SYSTEM,
    ROOT,
    SITUATIONS,
    USER,
    USER_WITHOUT_NAMESPACES,
    Facts,
    facts,
    situation,
)
from assay.sandbox import Isolation


@pytest.mark.parametrize(
    ("level", "known", "row"),
    [
        ("full", Facts(is_root=True), ROOT),
        ("full", Facts(is_root=True, in_container=True), ROOT),
        ("full", Facts(), USER),
        ("full", Facts(in_ci=True), USER),
        ("weak", Facts(), USER_WITHOUT_NAMESPACES),
        ("weak", Facts(is_root=True, in_container=True), CONTAINER),
        ("weak", Facts(in_container=True), CONTAINER),
        ("weak", Facts(is_root=True), CONTAINER),
        ("weak", Facts(in_ci=True), CI_RUNNER),
        ("weak", Facts(in_ci=True, in_container=True), CONTAINER),
        ("none", Facts(), USER_WITHOUT_NAMESPACES),
        ("none", Facts(is_linux=False), OTHER_SYSTEM),
    ],
)
def test_the_row_that_matches(level: Any, known: Facts, row: Any) -> None:
    assert situation(Isolation("embedded", level, "", ()), known) is row


def test_facts_are_of_this_process() -> None:
    assert facts({"CI": "true"}).in_ci
    assert not facts({}).in_ci
    assert facts({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}).in_container


def test_rows_say_what_is_lost_and_what_to_type() -> None:
    assert len({row.name for row in SITUATIONS}) == len(SITUATIONS)
    assert all(row.reports and row.lost and row.remedy for row in SITUATIONS)
