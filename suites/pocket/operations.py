"""The smallest pieces of a pocket problem: an operation with its phrase, its code and its typical mistake.

Every atom knows one *slip*: code that looks right and is not (an open bound for a closed one, the wrong end of a
slice). Slips make the wrong bodies the base model was pre-trained on, and they tell which inputs a problem's
checks need. Nothing that is shown as a solution ever contains one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

T = TypeVar("T")


def pick(rng: random.Random, options: Sequence[T]) -> T:
    """One of `options`. Built on `random()` alone, the only draw whose sequence Python promises to keep."""
    return options[int(rng.random() * len(options))]


def between(rng: random.Random, low: int, high: int) -> int:
    """An integer in [low, high]; see `pick` for why this is not `randint`."""
    return low + int(rng.random() * (high - low + 1))


def chance(rng: random.Random, probability: float) -> bool:
    return rng.random() < probability


class Op(NamedTuple):
    """A row of a table. `{v}` is the value it works on, `{k}` `{j}` small numbers, `{c}` `{d}` characters."""

    key: str
    phrase: str
    code: str
    slip: str


@dataclass(frozen=True, slots=True)
class Atom:
    """An Op with its constants filled in. `numbers` and `letters` are those constants, which inputs must meet."""

    key: str
    phrase: str
    code: str
    slip: str
    numbers: tuple[int, ...] = ()
    letters: str = ""


PREDICATES = (
    Op("even", "{v} is even", "{v} % 2 == 0", "{v} % 2 == 1"),
    Op("odd", "{v} is odd", "{v} % 2 == 1", "{v} % 2 == 0"),
    Op("positive", "{v} is positive", "{v} > 0", "{v} >= 0"),
    Op("negative", "{v} is negative", "{v} < 0", "{v} <= 0"),
    Op("gt", "{v} is greater than {k}", "{v} > {k}", "{v} >= {k}"),
    Op("lt", "{v} is less than {k}", "{v} < {k}", "{v} <= {k}"),
    Op("ge", "{v} is at least {k}", "{v} >= {k}", "{v} > {k}"),
    Op("le", "{v} is at most {k}", "{v} <= {k}", "{v} < {k}"),
    Op("div", "{v} is divisible by {k}", "{v} % {k} == 0", "{v} // {k} == 0"),
    Op("notdiv", "{v} is not divisible by {k}", "{v} % {k} != 0", "{v} % {k} == 0"),
    Op("ne", "{v} is not {k}", "{v} != {k}", "{v} == {k}"),
    Op("within", "{v} is from {j} to {k}", "{j} <= {v} <= {k}", "{j} <= {v} < {k}"),
    Op("outside", "{v} is not from {j} to {k}", "{v} < {j} or {v} > {k}", "{v} < {j} and {v} > {k}"),
)

MAPS = (
    Op("square", "{v} squared", "{v} * {v}", "{v} * 2"),
    Op("double", "{v} doubled", "{v} * 2", "{v} + 2"),
    Op("abs", "the absolute value of {v}", "abs({v})", "-{v}"),
    Op("minus", "the negative of {v}", "-{v}", "abs({v})"),
    Op("times", "{v} times {k}", "{v} * {k}", "{v} + {k}"),
    Op("plus", "{v} plus {k}", "{v} + {k}", "{v} - {k}"),
    Op("less", "{k} less than {v}", "{v} - {k}", "{k} - {v}"),
    Op("from", "{k} minus {v}", "{k} - {v}", "{v} - {k}"),
    Op("rem", "the remainder of {v} by {k}", "{v} % {k}", "{v} // {k}"),
    Op("quot", "the whole quotient of {v} by {k}", "{v} // {k}", "{v} / {k}"),
    Op("cap", "{v} capped at {k}", "min({v}, {k})", "max({v}, {k})"),
    Op("floor", "{v} raised to at least {k}", "max({v}, {k})", "min({v}, {k})"),
)

# Over the list `out`; phrases are completed by what the list holds.
REDUCERS_TO_INT = (
    Op("sum", "the sum of", "sum(out)", "len(out)"),
    Op("count", "the number of", "len(out)", "sum(out)"),
    Op("largest", "the largest (or 0) of", "max(out, default=0)", "min(out, default=0)"),
    Op("smallest", "the smallest (or 0) of", "min(out, default=0)", "max(out, default=0)"),
    Op("distinct", "the number of distinct", "len(set(out))", "len(out)"),
    Op("first", "the first (or None) of", "out[0] if out else None", "out[-1] if out else None"),
    Op("last", "the last (or None) of", "out[-1] if out else None", "out[0] if out else None"),
)
REDUCERS_TO_LIST = (
    Op("list", "the list of", "out", "out[1:]"),
    Op("sorted", "the sorted list of", "sorted(out)", "out"),
    Op("falling", "the falling sorted list of", "sorted(out, reverse=True)", "sorted(out)"),
    Op("backwards", "the reversed list of", "out[::-1]", "out"),
    Op("unique", "the sorted list of distinct", "sorted(set(out))", "sorted(out)"),
    Op("head", "the first {k} of", "out[:{k}]", "out[{k}:]"),
    Op("tail", "the last {k} of", "out[-{k}:]", "out[:-{k}]"),
)

STEPS_ON_INT = (
    Op("add", "add {k}", "{v} + {k}", "{v} - {k}"),
    Op("subtract", "subtract {k}", "{v} - {k}", "{k} - {v}"),
    Op("multiply", "multiply by {k}", "{v} * {k}", "{v} + {k}"),
    Op("divide", "floor divide by {k}", "{v} // {k}", "{v} / {k}"),
    Op("modulo", "take the remainder by {k}", "{v} % {k}", "{v} // {k}"),
    Op("square", "square it", "{v} * {v}", "{v} * 2"),
    Op("abs", "take the absolute value", "abs({v})", "-{v}"),
    Op("clamp", "cap it at {k}", "min({v}, {k})", "max({v}, {k})"),
    Op("negate", "negate it", "-{v}", "abs({v})"),
)
STEPS_WITH_B = (
    Op("add_b", "add b", "{v} + b", "{v} - b"),
    Op("subtract_b", "subtract b", "{v} - b", "b - {v}"),
    Op("multiply_b", "multiply by b", "{v} * b", "{v} + b"),
    Op("larger_b", "take the larger of it and b", "max({v}, b)", "min({v}, b)"),
    Op("smaller_b", "take the smaller of it and b", "min({v}, b)", "max({v}, b)"),
)

STEPS_ON_STR = (
    Op("reverse", "reverse it", "{v}[::-1]", "{v}[:-1]"),
    Op("upper", "make it uppercase", "{v}.upper()", "{v}.lower()"),
    Op("lower", "make it lowercase", "{v}.lower()", "{v}.upper()"),
    Op("swapcase", "swap its case", "{v}.swapcase()", "{v}.upper()"),
    Op("strip", "strip the spaces around it", "{v}.strip()", "{v}.lstrip()"),
    Op("nospace", "remove its spaces", "{v}.replace(' ', '')", "{v}.strip()"),
    Op(
        "novowel",
        "remove its vowels",
        "''.join(c for c in {v} if c not in 'aeiou')",
        "''.join(c for c in {v} if c in 'aeiou')",
    ),
    Op("without", "remove every '{c}'", "{v}.replace('{c}', '')", "{v}.strip('{c}')"),
    Op("keep", "keep the first {k} characters", "{v}[:{k}]", "{v}[{k}:]"),
    Op("keeplast", "keep the last {k} characters", "{v}[-{k}:]", "{v}[:-{k}]"),
    Op("drop", "drop the first {k} characters", "{v}[{k}:]", "{v}[:{k}]"),
    Op("droplast", "drop the last {k} characters", "{v}[:-{k}]", "{v}[-{k}:]"),
    Op("repeat", "repeat it {k} times", "{v} * {k}", "{v} + {v}"),
    Op("append", "append '{c}'", "{v} + '{c}'", "'{c}' + {v}"),
    Op("prepend", "prepend '{c}'", "'{c}' + {v}", "{v} + '{c}'"),
    Op("replace", "replace '{c}' by '{d}'", "{v}.replace('{c}', '{d}')", "{v}.replace('{d}', '{c}')"),
    Op("second", "keep every second character", "{v}[::2]", "{v}[1::2]"),
    Op("order", "sort its characters", "''.join(sorted({v}))", "''.join(sorted(set({v})))"),
)
ENDS_OF_STR = (
    Op("length", "take its length", "len({v})", "len({v}.strip())"),
    Op("occur", "count every '{c}' in it", "{v}.count('{c}')", "{v}.find('{c}')"),
    Op("vowels", "count its vowels", "sum(c in 'aeiou' for c in {v})", "sum(c not in 'aeiou' for c in {v})"),
    Op("where", "find the index of '{c}' (or -1)", "{v}.find('{c}')", "{v}.count('{c}')"),
)
TESTS_OF_STR = (
    Op("palindrome", "tell if it is a palindrome", "{v} == {v}[::-1]", "{v} != {v}[::-1]"),
    Op("starts", "tell if it starts with '{c}'", "{v}.startswith('{c}')", "{v}.endswith('{c}')"),
    Op("ends", "tell if it ends with '{c}'", "{v}.endswith('{c}')", "{v}.startswith('{c}')"),
    Op("inside", "tell if '{c}' is in it", "'{c}' in {v}", "{v} in '{c}'"),
)

RESULTS = (
    Op("itself", "{v}", "{v}", "-{v}"),
    Op("plus", "{v} plus {k}", "{v} + {k}", "{v} - {k}"),
    Op("times", "{v} times {k}", "{v} * {k}", "{v} + {k}"),
    Op("less", "{k} less than {v}", "{v} - {k}", "{k} - {v}"),
    Op("minus", "the negative of {v}", "-{v}", "abs({v})"),
    Op("square", "{v} squared", "{v} * {v}", "{v} * 2"),
    Op("text", "{v} as a string", "str({v})", "{v}"),
    Op("rem", "the remainder of {v} by {k}", "{v} % {k}", "{v} // {k}"),
)
WORDS = ("fizz", "buzz", "big", "small", "yes", "no", "low", "high", "zero", "other")


def atom(rng: random.Random, op: Op, v: str, low: int = 2, high: int = 9) -> Atom:
    """`op` on the variable `v`, its constants drawn: `{k}` in [low, high] (above `{j}`), letters apart."""
    j = between(rng, low, max(low, high - 3))
    k = between(rng, j + 2, j + 6) if "{j}" in op.phrase else between(rng, low, high)
    c, d = pick(rng, "abcdestxyz"), pick(rng, "mnopqr-_!")
    text = [t.format(v=v, j=j, k=k, c=c, d=d) for t in op[1:]]
    numbers = tuple(n for n, mark in ((j, "{j}"), (k, "{k}")) if mark in op.code)
    letters = "".join(x for x, mark in ((c, "{c}"), (d, "{d}")) if mark in op.code)
    return Atom(op.key, text[0], text[1], text[2], numbers, letters)
