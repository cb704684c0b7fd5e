"""Programs are parsed one at a time in this process, whoever parses (cpython#106905)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from assay.sandbox.host import needs
from assay.sandbox.host import parsing as of_sandbox
from assay.suites import parsing
from assay.suites.extraction import extract, trim


def test_all_that_parse_beside_each_other_share_one_lock() -> None:
    assert parsing.PARSING is of_sandbox.PARSING
    assert needs.PARSING is of_sandbox.PARSING
    assert extract.parse is trim.parse is parsing.parse


@pytest.mark.slow
def test_parsing_in_many_threads_gives_what_one_gives() -> None:
    sources = ["[" * n + "]" * n for n in (3, 40, 80)] + ["def f(x):\n    return " + "+".join("x" * 200)] * 3

    def parse_all(_: int) -> int:
        return sum(
            len(parsing.parse(source).body) + len(of_sandbox.parse(source).body) for source in sources * 60
        )

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(parse_all, range(8))) == {2 * 60 * len(sources)}
