"""Build an Oracle from a problem's inputs and reference solution, and checks from the reference's answers."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache, partial
from importlib.resources import files
from typing import Any

from assay.suites.evalplus.profile import Profile
from assay.suites.evalplus.values import assay_values
from assay.suites.model import Checks, Oracle

PART_CHARS = 12_000  # what is shown of a program's output holds 16 KiB
LARGE_CHARS = 1 << 19  # an answer beyond this is compared by hash
_to_text, _decode, _ = assay_values()  # type: ignore[no-untyped-call]


@lru_cache(maxsize=8)
def source(name: str) -> str:
    return files("assay.suites.evalplus").joinpath(f"{name}.py").read_text(encoding="utf-8")


def make_oracle(
    *,
    suite: str,
    program: str,
    entry_point: str,
    base: list[Any],
    plus: list[Any],
    atol: float,
    profile: Profile,
    first: str = "",
    lenient: bool = False,
) -> Oracle:
    """`base` and `plus` are lists of argument lists; `first` is a check that goes before those of the inputs.

    `lenient` leaves out inputs that the reference itself raises for, instead of refusing the problem."""
    inputs = _to_text([*base, *plus])
    rule = profile.rule(suite, entry_point)
    options = f"{rule == 'not-none'}, {rule == 'equal' and atol == 0}, {LARGE_CHARS}, {lenient}"
    call = f"lambda *arguments: {entry_point}(*arguments)"
    key = "\0".join((program, entry_point, inputs, options, source("values"), source("driver")))
    return Oracle(
        key=hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest(),
        program=program,
        driver=partial(_driver, f"{inputs!r}, {call}, assay_values(), {options}"),
        make_checks=partial(_checks, inputs, len(base), atol, profile, rule, call, first),
        n_inputs=len(base) + len(plus),
    )


def _driver(arguments: str, first: int, end: int, part: int) -> str:
    call = f"assay_answers({arguments}, {first}, {end}, {part}, {PART_CHARS})"
    return f"{source('values')}\n{source('driver')}\n{call}\n"


def _checks(
    inputs: str, n_base: int, atol: float, profile: Profile, rule: str, call: str, first: str, answers: str
) -> Checks:
    """The machinery, then one check a case; where `first` fails, the machinery is not there and no case passes."""
    arguments, given = json.loads(inputs), json.loads(answers)
    if len(arguments) != len(given):
        raise ValueError(f"{len(given)} answers to {len(arguments)} inputs")
    cases = [(i < n_base, case, form) for i, (case, form) in enumerate(zip(arguments, given, strict=True))]
    kept = [(is_base, case, form) for is_base, case, form in cases if not _has_tag(form, "x")]
    tolerances = [
        tolerance
        for part in (True, False)
        for tolerance in profile.tolerances(
            atol, [_value(form) for is_base, _, form in kept if is_base is part]
        )
    ]
    before = (f"{first}\nassay_first = True\n",) if first else ()
    numbers = [i for i, form in enumerate(given) if not _has_tag(form, "x")]
    machinery = (_machinery("assert assay_first\n" if first else ""),)
    n_first = len(before) + bool(n_base) * len(machinery) + sum(is_base for is_base, _, _ in kept)
    left_out = len(cases) - len(kept)
    if not kept:
        return Checks(before, n_first, None, left_out, (None,) * len(before))
    data = {
        "rule": rule,
        "strict": profile.strict,
        "atol": tolerances,
        "inputs": [case for _, case, _ in kept],
        "expected": [form for _, _, form in kept],
    }
    text = json.dumps(data, separators=(",", ":"))
    first_case = f"assay_case = assay_cases({text!r}, {call}, *assay_values()[1:], assay_compare()[0])\n"
    runs = [f"assay_case({i})\n" for i in range(len(kept))]
    shared = any(_has_tag(form, "h") for _, _, form in kept)
    checks = (*before, *machinery, first_case + runs[0], *runs[1:])
    inputs_of = (*(None for _ in (*before, *machinery)), *numbers)
    return Checks(checks, n_first, "shared" if shared else "split", left_out, inputs_of)


@lru_cache(maxsize=2)
def _machinery(needs: str) -> str:
    """Return what every problem of these suites has in common, as a check of its own: it is compiled once for all."""
    return needs + "\n".join(source(name) for name in ("values", "compare", "judge"))


def _has_tag(form: Any, tag: str) -> bool:
    return isinstance(form, dict) and tag in form


def _value(form: Any) -> Any:
    return None if _has_tag(form, "h") else _decode(form)
