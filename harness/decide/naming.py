"""One name for a suite, and one for each of its problems, whatever an evaluator calls them.

`HumanEval/0`, `HumanEval_0_has_close_elements`, `HumanEval0` and, in a file that says that it is of HumanEval, `0` are
one problem. A suite that is not in the table keeps its problems' ids as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Naming:
    """How a family of suites writes its ids: `prefix`, then a number. `names` are those of its suites, ours first."""

    prefix: str
    names: dict[str, tuple[str, ...]]


FAMILIES = (
    Naming(
        "HumanEval",
        {
            "humaneval": (
                "humaneval",
                "openaihumaneval",
                "humanevalinstruct",
                "humaneval64",
                "humaneval64instruct",
            ),
            "humaneval+": ("humaneval+", "humanevalplus", "humanevalplusinstruct"),
        },
    ),
    Naming(
        "Mbpp",
        {
            "mbpp": ("mbpp", "mbppinstruct", "googlembpp"),
            "mbpp+": ("mbpp+", "mbppplus", "mbppplusinstruct"),
            "mbpp-sanitized": ("mbppsanitized", "sanitizedmbpp"),
        },
    ),
    Naming(
        "BigCodeBench",
        {
            "bigcodebench": ("bigcodebench", "bcb"),
            "bigcodebench-hard": ("bigcodebenchhard", "bcbhard"),
        },
    ),
)
_SUITES = {name: ours for family in FAMILIES for ours, names in family.names.items() for name in names}
# Suites whose ids every evaluator writes alike.
_SUITES |= dict.fromkeys(("swebench", "swebenchverified", "swebenchlite"), "swe-bench")
_SUITES |= dict.fromkeys(("livecodebench", "lcb"), "livecodebench")
_FAMILY_OF = {ours: family for family in FAMILIES for ours in family.names}
_PREFIXES = {family.prefix.lower(): family for family in FAMILIES}
_ID = re.compile(r"(HumanEval|Mbpp|BigCodeBench)[/_-]?0*(\d+)(_\w*)?", re.IGNORECASE)
TRANSLATED = "multipl-e"  # whose ids end in the function's name
_NUMBER = re.compile(r"0*(\d+)")
_LAST_NUMBER = re.compile(r"(.*?)0*(\d+)")


def suite_name(text: str) -> str:
    """Return our name of a suite, or the text itself where no suite of the table is called so."""
    text = text.strip()
    return _SUITES.get(re.sub(r"[^a-z0-9+]", "", text.rpartition("/")[2].lower()), text)


@lru_cache(maxsize=1 << 18)
def problem_id(suite: str, text: str) -> str:
    """Return the one id of a suite's problem: `HumanEval/0` for all that HumanEval's first problem is called."""
    if match := _ID.fullmatch(text):
        return f"{_PREFIXES[match[1].lower()].prefix}/{match[2]}"
    family = _FAMILY_OF.get(suite)
    if family and (match := _NUMBER.fullmatch(text)):
        return f"{family.prefix}/{match[1]}"
    return text


@lru_cache(maxsize=1 << 18)
def suite_of_id(text: str) -> str:
    """Return the suite whose id this is; empty for a bare number and for ids of unknown suites."""
    match = _ID.fullmatch(text)
    if match is None:
        return ""
    return TRANSLATED if match[3] else next(iter(_PREFIXES[match[1].lower()].names))


def numbered(ids: Iterable[str]) -> dict[str, str] | None:
    """Return ids by their last number where all have one, no two the same, after one and the same prefix; else None.

    So are `12`, `MultiPL/12` and `sample_12` matched, where two files call all their problems differently.
    """
    by_number: dict[str, str] = {}
    prefixes = set()
    for text in ids:
        match = _LAST_NUMBER.fullmatch(text)
        if match is None or match[2] in by_number:
            return None
        prefixes.add(match[1])
        by_number[match[2]] = text
    return by_number if len(prefixes) == 1 else None


def place(problem: str) -> tuple[str, int]:
    """Return the key by which problems are put in order, `Mbpp/9` before `Mbpp/10`."""
    match = _LAST_NUMBER.fullmatch(problem)
    return (match[1], int(match[2])) if match else (problem, -1)
