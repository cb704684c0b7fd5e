"""What checks need of their candidate is read off their code, and not off their data."""

from __future__ import annotations

import pytest

from assay.sandbox.host.needs import Needs, analyse


def needs(*checks: str) -> Needs:
    return analyse(checks, "", "f", ())


@pytest.mark.parametrize(
    "text", ["open", "stdin", "walk", "fork", "modules", "Mock", "environ", "a.b c", "seed", ""]
)
def test_texts_that_a_check_passes_decide_nothing(text: str) -> None:
    plain = needs(f"assert f({text!r}) == {text!r}")
    assert (plain.mode, plain.carried, plain.values) == ("split", (), ())


@pytest.mark.parametrize(
    ("check", "carried"),
    [
        ("import os\nassert f(1) == os.path.getsize('a')", "files"),
        ("from pathlib import Path\nassert f(Path.cwd()) == 1", "files"),
        ("import os\nf()\nassert os.stat('a').st_mode", "files"),
        (
            "from unittest.mock import patch\nwith patch('builtins.input', lambda _: '1'): assert f() == 1",
            "streams",
        ),
        (
            "from unittest.mock import patch\nwith patch.dict('os.environ', {'A': '1'}): assert f() == 1",
            "environ",
        ),
    ],
)
def test_what_is_done_around_a_call_is_carried(check: str, carried: str) -> None:
    assert (needs(check).mode, needs(check).carried) == ("split", (carried,))


@pytest.mark.parametrize(
    "check", ["import os\nassert os.fork", "from unittest.mock import Mock\nassert f(Mock())"]
)
def test_what_needs_the_candidates_own_process_is_shared(check: str) -> None:
    assert needs(check).mode == "shared"


def test_a_special_name_in_a_text_is_looked_at() -> None:
    assert needs("assert getattr(f, '__doc__') == 'text'").values == ("f",)
