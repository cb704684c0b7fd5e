"""The families: each draws one Part, a noun phrase with the code that computes it.

A Part stands alone as a problem ("Return <noun>.") or as a stage of a two-stage one ("Let t be <noun>. Return
<noun>."). Its `key` is the operation skeleton, without constants and names: the split of a problem depends on it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from assay.suites.pocket import operations as ops
from assay.suites.pocket.operations import Atom, Op, atom, between, chance, pick

Kind = Literal["int", "small", "digits", "ints", "str", "dict", "bool", "any"]
Chooser = Callable[[Atom], str]
"""Which code an atom contributes: `right` for solutions, a noisy one for the pre-training corpus."""


_LISTS = frozenset(op.key for op in ops.REDUCERS_TO_LIST)


def right(a: Atom) -> str:
    return a.code


@dataclass(frozen=True, slots=True)
class Part:
    """`args` are the parameters it reads, `lines(choose)` its code, ending in `return <expression>`."""

    key: str
    noun: str
    args: tuple[tuple[str, Kind], ...]
    gives: Kind
    operations: tuple[Atom, ...]
    lines: Callable[[Chooser], list[str]]
    stages: str = ""

    @property
    def sentence(self) -> str:
        return self.stages or f"Return {self.noun}."


def _distinct(rng: random.Random, table: Sequence[Op], n: int) -> Iterator[Op]:
    """`n` different rows of a table, each drawn when it is asked for."""
    left = list(table)
    for _ in range(n):
        op = pick(rng, left)
        left.remove(op)
        yield op


def _predicates(rng: random.Random, v: str, rate: float, two: float = 0.2) -> list[Atom]:
    """None, one or two conditions; an `or` among two would need brackets, so `outside` stands alone."""
    if not chance(rng, rate):
        return []
    first = pick(rng, ops.PREDICATES)
    rest = [p for p in ops.PREDICATES if p.key not in (first.key, "outside")]
    if first.key != "outside" and chance(rng, two):
        return [atom(rng, first, v), atom(rng, pick(rng, rest), v)]
    return [atom(rng, first, v)]


def _where(conditions: list[Atom]) -> str:
    return " where " + " and ".join(c.phrase for c in conditions) if conditions else ""


def _if(conditions: list[Atom], choose: Chooser) -> str:
    return " and ".join(choose(c) for c in conditions)


def _keys(*groups: list[Atom]) -> str:
    return "|".join("+".join(a.key for a in group) for group in groups)


def list_part(rng: random.Random, v: str = "", gives: Kind = "any") -> Part:
    """Filter, map and reduce a list of integers with a comprehension."""
    arg = v or pick(rng, ("xs", "nums", "values", "items", "data"))
    tables: dict[Kind, tuple[Op, ...]] = {
        "int": tuple(o for o in ops.REDUCERS_TO_INT if o.key not in ("first", "last")),
        "ints": ops.REDUCERS_TO_LIST,
        "any": ops.REDUCERS_TO_INT + ops.REDUCERS_TO_LIST,
    }
    reducer = atom(rng, pick(rng, tables[gives]), "out", 2, 4)
    mapping = [atom(rng, pick(rng, ops.MAPS), "v")] if chance(rng, 0.7) else []
    conditions = _predicates(rng, "v", 0.75 if mapping else 1.0)
    value = mapping[0].phrase if mapping else "v"

    def lines(choose: Chooser) -> list[str]:
        item = choose(mapping[0]) if mapping else "v"
        guard = f" if {_if(conditions, choose)}" if conditions else ""
        return [f"out = [{item} for v in {arg}{guard}]", f"return {choose(reducer)}"]

    return Part(
        "list:" + _keys([reducer], mapping, conditions),
        f"{reducer.phrase} {value} for each v in {arg}{_where(conditions)}",
        ((arg, "ints"),),
        "ints" if reducer.key in _LISTS else "int",
        (reducer, *mapping, *conditions),
        lines,
    )


def arith_part(rng: random.Random, v: str = "", gives: Kind = "any") -> Part:
    """A chain of integer steps, some with a second argument."""
    del gives
    arg = v or "a"
    with_b = not v and chance(rng, 0.5)
    table = ops.STEPS_ON_INT + (ops.STEPS_WITH_B * 2 if with_b else ())
    steps = [atom(rng, pick(rng, table), arg) for _ in range(pick(rng, (2, 2, 3) if v else (2, 3, 3, 4)))]

    def lines(choose: Chooser) -> list[str]:
        return [f"{arg} = {choose(s)}" for s in steps] + [f"return {arg}"]

    args: tuple[tuple[str, Kind], ...] = ((arg, "int"), ("b", "int")) if with_b else ((arg, "int"),)
    noun = f"{arg} after these steps: " + ", ".join(s.phrase for s in steps)
    return Part("arith:" + _keys(steps), noun, args, "int", tuple(steps), lines)


def string_part(rng: random.Random, v: str = "", gives: Kind = "any") -> Part:
    """A chain of string steps, then the string itself, a number about it, or a test of it."""
    arg = v or pick(rng, ("s", "text", "word"))
    n = pick(rng, (1, 2, 2, 3, 3))
    steps = [atom(rng, op, arg, 2, 5) for op in _distinct(rng, ops.STEPS_ON_STR, n)]
    kind: Kind = gives if gives != "any" else pick(rng, ("str", "str", "int", "bool"))
    ends: list[Atom] = []
    if kind != "str":
        ends = [atom(rng, pick(rng, ops.ENDS_OF_STR if kind == "int" else ops.TESTS_OF_STR), arg)]

    def lines(choose: Chooser) -> list[str]:
        last = choose(ends[0]) if ends else arg
        return [f"{arg} = {choose(s)}" for s in steps] + [f"return {last}"]

    noun = f"{arg} after these steps: " + ", ".join(s.phrase for s in (*steps, *ends))
    return Part("string:" + _keys(steps, ends), noun, ((arg, "str"),), kind, (*steps, *ends), lines)


def cond_part(rng: random.Random, v: str = "", gives: Kind = "any") -> Part:
    """One to three branches and a default."""
    del gives
    arg = v or pick(rng, ("n", "x", "num"))

    def result() -> Atom:
        if chance(rng, 0.35):
            word = f"'{pick(rng, ops.WORDS)}'"
            return Atom("word", word, word, word)
        return atom(rng, pick(rng, ops.RESULTS), arg)

    n = pick(rng, (1, 2, 2, 3))
    branches = [(atom(rng, op, arg, 2, 19), result()) for op in _distinct(rng, ops.PREDICATES, n)]
    default = result()

    def lines(choose: Chooser) -> list[str]:
        out = []
        for test, value in branches:
            out += [f"if {choose(test)}:", f"    return {choose(value)}"]
        return [*out, f"return {choose(default)}"]

    noun = ", ".join(f"{value.phrase} if {test.phrase}" for test, value in branches)
    flat = tuple(a for pair in branches for a in pair)
    return Part(
        "cond:" + _keys(*([t, r] for t, r in branches), [default]),
        f"{noun}, else {default.phrase}",
        ((arg, "int"),),
        "any",
        (*flat, default),
        lines,
    )


ACCUMULATE = {
    "sum": ("the sum of", "total = 0", "total += {}"),
    "product": ("the product of", "total = 1", "total *= {}"),
    "list": ("the list of", "total = []", "total.append({})"),
    "largest": ("the largest (at least 0) of", "total = 0", "total = max(total, {})"),
}
ENDS_OF_RANGE = (
    Op("to", "to {v}", "{v} + 1", "{v}"),
    Op("below", "to below {v}", "{v}", "{v} + 1"),
)


def loop_part(rng: random.Random, v: str = "", gives: Kind = "any") -> Part:
    """An accumulating `for` over a range or `while` over decimal digits."""
    arg = v or "n"
    digits = chance(rng, 0.3)
    name = "d" if digits else "i"
    kinds = {"int": ("sum", "product", "largest"), "ints": ("list",), "any": tuple(ACCUMULATE)}[str(gives)]
    how = pick(rng, kinds)
    what, start, update = ACCUMULATE[how]
    mapping = [atom(rng, pick(rng, ops.MAPS), name)] if chance(rng, 0.6) else []
    conditions = _predicates(rng, name, 0.6)
    first = between(rng, 0, 3)
    stop = [] if digits else [atom(rng, pick(rng, ENDS_OF_RANGE), arg)]
    over = f"decimal digit d of {arg}" if digits else f"i from {first} {stop[0].phrase}"

    def lines(choose: Chooser) -> list[str]:
        step = update.format(choose(mapping[0]) if mapping else name)
        inner = [f"if {_if(conditions, choose)}:", f"    {step}"] if conditions else [step]
        if digits:
            head = [f"while {arg} > 0:", f"    d = {arg} % 10"]
            tail = [f"    {arg} = {arg} // 10"]
        else:
            head, tail = [f"for i in range({first}, {choose(stop[0])}):"], []
        return [start, *head, *("    " + line for line in inner), *tail, "return total"]

    value = mapping[0].phrase if mapping else name
    note = ", last digit first" if digits and how == "list" else ""
    return Part(
        f"loop:{'digits' if digits else 'range'}:{how}:" + _keys(mapping, conditions, stop),
        f"{what} {value} for each {over}{_where(conditions)}{note}",
        ((arg, "digits" if digits else "small"),),
        "ints" if how == "list" else "int",
        (*mapping, *conditions, *stop),
        lines,
    )


KEY_TESTS = (
    Op("kstarts", "k starts with '{c}'", "k.startswith('{c}')", "k.endswith('{c}')"),
    Op("khas", "'{c}' is in k", "'{c}' in k", "'{c}' == k"),
    Op("klong", "k is longer than {k}", "len(k) > {k}", "len(k) >= {k}"),
)
OVER_KEYS = (
    Op("keys", "the sorted list of keys k", "sorted(out)", "out"),
    Op("kcount", "the number of keys k", "len(out)", "len(set(out)) - 1"),
)


def dict_part(rng: random.Random, v: str = "", gives: Kind = "any") -> Part:
    """Select from a dict of strings to integers: a smaller dict, its keys, or a figure of its values."""
    arg = v or pick(rng, ("d", "prices", "table"))
    form = pick(rng, {"int": ("values",), "ints": ("values",), "any": ("dict", "keys", "values")}[str(gives)])
    conditions = _predicates(rng, "v", 0.6, two=0.0)
    if not conditions or (conditions[0].key != "outside" and chance(rng, 0.25)):
        conditions.append(atom(rng, pick(rng, KEY_TESTS), "k", 1, 3))
    mapping = [atom(rng, pick(rng, ops.MAPS), "v")] if form != "keys" and chance(rng, 0.7) else []
    table: tuple[Op, ...] = OVER_KEYS
    if form == "values":
        by_kind = {"int": ops.REDUCERS_TO_INT[:5], "ints": ops.REDUCERS_TO_LIST[:4]}
        table = by_kind.get(str(gives), ops.REDUCERS_TO_INT[:5] + ops.REDUCERS_TO_LIST[:4])
    ends = [] if form == "dict" else [atom(rng, pick(rng, table), "out")]
    value = mapping[0].phrase if mapping else "v"

    def lines(choose: Chooser) -> list[str]:
        item = choose(mapping[0]) if mapping else "v"
        over = f"for k, v in {arg}.items() if {_if(conditions, choose)}"
        if form == "dict":
            return [f"out = {{k: {item} {over}}}", "return out"]
        return [f"out = [{'k' if form == 'keys' else item} {over}]", f"return {choose(ends[0])}"]

    end = ends[0].phrase if ends else ""
    result = {"dict": f"a dict of k to {value}", "keys": end, "values": f"{end} {value}"}[form]
    gave: Kind = "dict" if form == "dict" else "int"
    if ends and ends[0].key in (*_LISTS, "keys"):
        gave = "ints"
    return Part(
        f"dict:{form}:" + _keys(ends, mapping, conditions),
        f"{result} for each k and v in {arg}{_where(conditions)}",
        ((arg, "dict"),),
        gave,
        (*ends, *mapping, *conditions),
        lines,
    )


TALLY_STARTS = (Op("tally", "", "0) + 1", "1) + 1"),)
TALLY_ENDS = (
    Op("counts", "a dict of how often each occurs among", "out", "sorted(out)"),
    Op(
        "most",
        "the largest count of equal ones (or 0) among",
        "max(out.values(), default=0)",
        "max(out, default=0)",
    ),
    Op(
        "repeated",
        "the sorted list of those that occur {k} times or more among",
        "sorted(w for w in out if out[w] >= {k})",
        "sorted(w for w in out if out[w] > {k})",
    ),
    Op(
        "single",
        "the number of those that occur once among",
        "sum(out[w] == 1 for w in out)",
        "sum(out[w] > 1 for w in out)",
    ),
)


def tally_part(rng: random.Random, v: str = "", gives: Kind = "any") -> Part:
    """Count equal values in a dict, then ask about the counts."""
    del gives
    arg = v or pick(rng, ("xs", "nums", "values", "items", "data"))
    mapping = [atom(rng, pick(rng, ops.MAPS), "v")] if chance(rng, 0.7) else []
    conditions = _predicates(rng, "v", 0.6)
    start = atom(rng, TALLY_STARTS[0], "v")
    end = atom(rng, pick(rng, TALLY_ENDS), "out", 2, 3)

    def lines(choose: Chooser) -> list[str]:
        item = choose(mapping[0]) if mapping else "v"
        step = f"out[w] = out.get(w, {choose(start)}"
        inner = [f"w = {item}", step] if mapping else [step.replace("w", "v")]
        if conditions:
            inner = [f"if {_if(conditions, choose)}:", *("    " + line for line in inner)]
        return ["out = {}", f"for v in {arg}:", *("    " + line for line in inner), f"return {choose(end)}"]

    value = mapping[0].phrase if mapping else "v"
    return Part(
        "tally:" + _keys([end], mapping, conditions),
        f"{end.phrase} {value} for each v in {arg}{_where(conditions)}",
        ((arg, "ints"),),
        "any",
        (start, end, *mapping, *conditions),
        lines,
    )


Maker = Callable[..., Part]
SINGLE: dict[str, Maker] = {
    "arithmetic": arith_part,
    "strings": string_part,
    "lists": list_part,
    "dictionaries": dict_part,
    "tallies": tally_part,
    "loops": loop_part,
    "conditionals": cond_part,
}
Pair = tuple[str, str, Kind]
# First stage, second stage, and the kind handed on. Only the trained ones are ever seen before the test.
TRAINED_PAIRS: tuple[Pair, ...] = (
    ("lists", "arithmetic", "int"),
    ("dictionaries", "arithmetic", "int"),
    ("loops", "arithmetic", "int"),
    ("lists", "conditionals", "int"),
    ("loops", "conditionals", "int"),
    ("strings", "conditionals", "int"),
    ("loops", "lists", "ints"),
    ("lists", "lists", "ints"),
    ("lists", "tallies", "ints"),
    ("dictionaries", "tallies", "ints"),
)
HELD_OUT_PAIRS: tuple[Pair, ...] = (
    ("strings", "arithmetic", "int"),
    ("dictionaries", "conditionals", "int"),
    ("dictionaries", "lists", "ints"),
    ("loops", "tallies", "ints"),
)


def join(first: Part, second: Part) -> Part:
    """`second` of the result `t` of `first`; both end in a single `return`, only the last one stays."""

    def lines(choose: Chooser) -> list[str]:
        before = first.lines(choose)
        return [*before[:-1], "t = " + before[-1].removeprefix("return "), *second.lines(choose)]

    return Part(
        f"{first.key}>>{second.key}",
        second.noun,
        first.args,
        second.gives,
        first.operations + second.operations,
        lines,
        f"Let t be {first.noun}. Return {second.noun}.",
    )


def pair_part(rng: random.Random, pair: Pair) -> Part:
    first, second, kind = pair
    return join(SINGLE[first](rng, gives=kind), SINGLE[second](rng, "t"))
