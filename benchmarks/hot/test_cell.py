"""The sandbox: the codec that crosses its border, and one program through one cell that is up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest

from assay.sandbox import Mode, Outcome, Program, Sandbox, SandboxError
from assay.sandbox.cell import codec

VALUE = {"rows": [[i, i / 3, f"item {i}", (i, None, True)] for i in range(200)], "seen": {1, 2, 3}}


def program(mode: Mode) -> Program:
    body = "def total(xs):\n    return sum(x * x for x in xs)\n"
    return Program("p", body, ("assert total([1, 2, 3]) == 14", "assert total([]) == 0"), "total", mode=mode)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    try:
        with Sandbox(workers=1) as made:
            yield made
    except SandboxError as error:
        pytest.skip(f"NO SANDBOX of full isolation on this machine, one cell is NOT timed: {error}")


@pytest.mark.parametrize("mode", get_args(Mode))
def test_a_program_in_a_cell(benchmark: Any, sandbox: Sandbox, mode: Mode) -> None:
    (verdict,) = benchmark(lambda: list(sandbox.run([program(mode)])))
    assert verdict.outcome is Outcome.PASS


def test_data_crosses_the_border(benchmark: Any) -> None:
    def there_and_back() -> Any:
        (form,) = codec.from_bytes(codec.to_bytes([codec.encode(VALUE, [])]))
        return codec.decode(form, [])

    assert benchmark(there_and_back) == VALUE
