"""The release whose verdicts are reproduced: EvalPlus' rules change with its releases, so a profile names one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SET_EQ_TASKS = frozenset(
    (
        "similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly",
        "larg_nnum", "intersection_array", "find_dissimilar", "Diff",
    )
)  # fmt: skip
NOT_NONE_TASKS = frozenset(("check_str", "text_match_three", "text_starta_endb"))


def _mbpp(set_eq: bool, alternatives: bool) -> dict[str, str]:
    rules = {"are_equivalent": "any", "sum_div": "zero-too"} | dict.fromkeys(NOT_NONE_TASKS, "not-none")
    if set_eq:
        rules |= dict.fromkeys(SET_EQ_TASKS, "set")
    if alternatives:
        rules |= {"surface_Area": "surface", "digit_distance_nums": "digits"}
    return rules


@dataclass(frozen=True, slots=True)
class Profile:
    """The rules of one release. `rules` maps a suite to entry points that are not compared by equality alone.

    `float_atol` is the tolerance where the reference answers floats and the problem names none; from the first such
    case on it holds for all that follow, as it does there.

    `strict` wants an answer within the tolerance to have the reference's type and length (numpy.allclose, since April
    2024); before, numpy.testing.assert_allclose took a number for a list of it and NaN for NaN, and an empty answer
    counted as floats.
    """

    name: str
    rules: dict[str, dict[str, str]] = field(default_factory=dict)
    strict: bool = True
    float_atol: float = 1e-6

    def rule(self, suite: str, entry_point: str) -> str:
        return self.rules.get(suite, {}).get(entry_point, "equal")

    def tolerances(self, atol: float, expected: list[Any]) -> list[float]:
        """The tolerance of each case of one list of inputs."""
        tolerances = []
        for value in expected:
            if atol == 0 and (is_floats(value) or (not self.strict and value in ([], ()))):
                atol = self.float_atol
            tolerances.append(atol)
        return tolerances


def is_floats(value: Any) -> bool:
    """A float, or a list or tuple of nothing but floats and at least one."""
    if isinstance(value, (list, tuple)):
        return bool(value) and all(isinstance(item, float) for item in value)
    return isinstance(value, float)


PROFILES = {
    profile.name: profile
    for profile in (
        # evalplus 0.3.0 and 0.3.1 judge alike.
        Profile("evalplus-0.3.1", {"mbpp": _mbpp(True, True), "humaneval": {"find_zero": "root"}}),
        # 0.2.1 and 0.2.2 judge alike: no set comparison yet, and a root was one where the polynomial is below 0.
        Profile(
            "evalplus-0.2.2",
            {"mbpp": _mbpp(False, False), "humaneval": {"find_zero": "root-below"}},
            strict=False,
        ),
    )
}
DEFAULT = "evalplus-0.3.1"
