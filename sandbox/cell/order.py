"""The order in which the questions of a problem's checks are asked: what may be moved, and how.

A candidate that has memorised the answers in the order of its checks needs to know no question. So questions that
have nothing to do with each other are asked in an order that is drawn for each program. Checks are looked at and
rewritten once for a problem: a part that may be moved becomes a function, and the order is applied when they run.

Pure: sources in, a Plan out. A part is one statement, or several that share a variable. Commands, which ask for what
is done and not for an answer, keep the whole problem as it is written: a bare statement that calls the candidate, a
call without arguments, a method of an object that it gave.
"""

from __future__ import annotations

import ast
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from assay.sandbox.cell.questions import Facts, KeptError, answer_key, look

# Names in the namespace of checks, which no source can say: what runs the parts of a check, and what makes a call.
ASK, CALL = "ask parts", "ask call"
ENOUGH_BITS = 8.0  # of what a program would have to guess to pass in every order in which it is asked
MOST_TURNS = 4
# Further turns where only other questions can be hidden in between: one of them alone misses a candidate in six.
HIDDEN_TURNS = 3

_MASK = (1 << 64) - 1
_LINES_IN_COMMON = range(
    100, 2000
)  # of a check that may be the same in many problems: helpers, rules of comparison


def draw(keys: Sequence[int], number: int, turn: int) -> list[int]:
    """Return an order of `len(keys)` parts; parts with the same key have the same answer. Each turn has an order of its
    own, and in those after the first the answers come in another sequence than in the first, if there is one."""
    order = _shuffle(len(keys), number)
    if turn:
        first, order = order, _shuffle(len(keys), number + turn * 0x9E3779B97F4A7C15)
        if [keys[i] for i in order] == [keys[i] for i in first]:
            other = next((n for n in range(len(order)) if keys[order[n]] != keys[order[0]]), 0)
            order[0], order[other] = order[other], order[0]
    return order


def step(number: int) -> int:
    """The next of a sequence of 64-bit numbers, of which the upper bits look drawn."""
    return (number * 6364136223846793005 + 1442695040888963407) & _MASK


def _shuffle(count: int, number: int) -> list[int]:
    order = list(range(count))
    for last in range(count - 1, 0, -1):
        number = step(number)
        other = (number >> 33) % (last + 1)
        order[last], order[other] = order[other], order[last]
    return order


class Parts:
    """The value of ASK in the namespace of one sample's checks: runs the parts of a check in their order."""

    def __init__(self, number: int, turn: int) -> None:
        """With the number 0 they are run as they are written."""
        self._number, self._turn = number, turn

    def __call__(self, check: int, keys: tuple[int, ...], *parts: object) -> None:
        for i in draw(keys, self._number + check, self._turn) if self._number else range(len(parts)):
            parts[i]()  # type: ignore[operator]


class Run(NamedTuple):
    """Checks that may be asked in any order: their positions, and the keys of their answers."""

    positions: tuple[int, ...]
    keys: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The ways in which a problem's checks can be asked.

    `trees` are the checks, parsed, that are not run as they are written: with parts as functions, and without the
    definitions in `heads`, which are run before any check of the same run. `bits` is the logarithm of the number of
    sequences in which the answers can come. `hides_calls` says that some questions stand in a fixed order, so that only
    other ones in between can displace what is answered by count. `kept` is why nothing is moved.
    """

    trees: dict[int, ast.Module]
    heads: dict[int, ast.Module]
    runs: tuple[Run, ...]
    bits: float = 0.0
    hides_calls: bool = False
    kept: str = ""

    def is_confirmed(self, turn: int) -> bool:
        """Return whether a pass in this turn needs no further one."""
        if self.bits >= ENOUGH_BITS or turn + 1 >= MOST_TURNS:
            return True
        return self.bits * (turn + 1) >= ENOUGH_BITS or (
            turn >= HIDDEN_TURNS if self.hides_calls else not self.bits
        )


def plan(sources: Sequence[str], names: Iterable[str], first_run: int = 0) -> Plan:
    """Return how to ask these checks of a candidate with functions of these `names`. The first `first_run` checks are
    asked before the others."""
    try:
        return _Planner(sources, frozenset(names), first_run).plan()
    except KeptError as error:
        return kept(str(error))
    except (SyntaxError, ValueError, RecursionError):
        return kept("the checks cannot be read")


def kept(reason: str) -> Plan:
    """Return the plan of checks that are asked as they are written."""
    return Plan({}, {}, (), kept=reason)


class _Line(NamedTuple):
    """A statement of a block: the position of the check that it belongs to, and its own in the block."""

    check: int
    place: int
    statement: ast.stmt
    facts: Facts


_Part = list[_Line]


def _look_at(tree: ast.Module, targets: frozenset[str]) -> list[tuple[ast.stmt, Facts]]:
    given: set[str] = set()
    return [(statement, look(statement, targets, given)) for statement in tree.body]


@lru_cache(maxsize=32)
def _look_once(source: str, targets: frozenset[str]) -> list[tuple[ast.stmt, Facts]]:
    """What problems have in common is looked at once. Nothing changes these trees."""
    return _look_at(ast.parse(source), targets)


class _Planner:
    def __init__(self, sources: Sequence[str], targets: frozenset[str], first_run: int) -> None:
        self._sources, self._targets, self._first_run = sources, targets, first_run
        self._parsed: dict[int, ast.Module] = {}
        self._trees: dict[int, ast.Module] = {}
        self._heads: dict[int, ast.Module] = {}
        self._answers: dict[str, str] = {}
        self._random: set[str] = set()
        self._aliases = set(targets)
        self._bits = 0.0
        self._hides = False

    def plan(self) -> Plan:
        lines = []
        for check, source in enumerate(self._sources):
            if source.count("\n") in _LINES_IN_COMMON:
                statements = _look_once(source, self._targets)
            else:
                self._parsed[check] = ast.parse(source)
                statements = _look_at(self._parsed[check], self._targets)
            lines += [_Line(check, place, *pair) for place, pair in enumerate(statements)]
        definitions, parts = self._divide(lines)
        self._rewrite_functions(lines)
        runs = tuple(self._move_checks(definitions, parts))
        if self._hides and self._bits < ENOUGH_BITS:
            calls = _Calls(self._aliases)
            for check in {line.check for line in lines}:
                calls.visit(self._tree(check))
            for head in self._heads.values():
                calls.visit(head)
        return Plan(self._trees, self._heads, runs, self._bits, self._hides)

    def _divide(self, lines: list[_Line]) -> tuple[list[_Line], list[_Part]]:
        """The definitions of a block, and the parts that ask."""
        cases = _cases(lines)
        definitions, others, begun = [], [], set()
        for line in lines:
            self._random |= line.facts.random_names
            is_definition = line.facts.is_definition or (line.facts.maker and line.facts.writes <= cases)
            if is_definition and (line.facts.is_import or line.check not in begun):
                definitions.append(line)
                continue
            others.append(line)
            begun.add(line.check)
            if line.facts.equal:
                question, answer = line.facts.equal
                if self._answers.setdefault(question, answer) != answer:
                    raise KeptError("a check asks the same twice and wants different answers")
        _demote(definitions, others)
        helpers = _Helpers(definitions, self._random)
        variables = {name for line in others for name in line.facts.writes}
        if any(line.facts.reads & variables for line in definitions):
            raise KeptError("a helper uses a variable of the checks")
        parts = _joined(others, variables, helpers)
        return definitions, [part for part in parts if any(helpers.asks(line.facts) for line in part)]

    def _weigh(self, parts: list[_Part], targets: frozenset[str]) -> tuple[int, ...]:
        """Count what the order of these parts decides; return the keys of their answers."""
        keys = _numbered(["\n".join(answer_key(line.statement, targets) for line in part) for part in parts])
        self._bits += _bits(keys)
        return keys

    def _rewrite_functions(self, lines: list[_Line]) -> None:
        """Give parts to each function that a check defines and calls once, as in check(candidate)."""
        defined = {
            (line.check, line.statement.name) for line in lines if isinstance(line.statement, ast.FunctionDef)
        }
        calls = [(line.check, *_called(line.statement)) for line in lines]
        times = Counter((check, name) for check, name, _ in calls)
        for check, name, arguments in calls:
            if (check, name) not in defined or name in self._targets or times[check, name] > 1:
                continue
            functions = [
                node
                for node in self._tree(check).body
                if isinstance(node, ast.FunctionDef) and node.name == name
            ]
            if len(functions) == 1:
                self._rewrite_function(functions[0], arguments, check)

    def _tree(self, check: int) -> ast.Module:
        if check not in self._trees:
            self._trees[check] = (
                self._parsed[check] if check in self._parsed else ast.parse(self._sources[check])
            )
        return self._trees[check]

    def _rewrite_function(self, function: ast.FunctionDef, arguments: list[ast.expr], check: int) -> None:
        pairs = zip(function.args.args, arguments, strict=False)
        targets = self._targets | {
            p.arg for p, a in pairs if isinstance(a, ast.Name) and a.id in self._targets
        }
        self._aliases |= targets
        given: set[str] = set()
        lines = [
            _Line(check, place, statement, look(statement, targets, given))
            for place, statement in enumerate(function.body)
        ]
        _, parts = self._divide(lines)
        self._hides |= any(_n_questions(part) > 1 for part in parts)
        keys = self._weigh(parts, targets)
        if len(parts) > 1:
            function.body = _with_functions(function.body, parts, check, keys)

    def _move_checks(self, definitions: list[_Line], parts: list[_Part]) -> Iterable[Run]:
        of_check: dict[int, list[_Part]] = {}
        fixed: set[int] = set()
        for part in parts:
            checks = {line.check for line in part}
            self._hides |= _n_questions(part) > 1
            if len(checks) > 1:
                fixed |= checks
            for check in checks:
                of_check.setdefault(check, []).append(part)
        movable = [check for check in sorted(of_check) if check not in fixed]
        for check in movable:
            if len(of_check[check]) > 1:
                keys = self._weigh(of_check[check], self._targets)
                tree = self._tree(check)
                tree.body = _with_functions(tree.body, of_check[check], check, keys)
        for positions in _consecutive(movable, self._first_run):
            keys = self._weigh(
                [[line for part in of_check[check] for line in part] for check in positions], self._targets
            )
            yield Run(tuple(positions), keys)
            for check in positions:
                first = [line.place for line in definitions if line.check == check]
                if first:
                    self._take_head(check, first)

    def _take_head(self, check: int, places: list[int]) -> None:
        """Definitions are the first statements of a check, but for imports; rewriting left both where they were."""
        tree = self._tree(check)
        self._heads[check] = ast.Module([tree.body[place] for place in places], [])
        tree.body = [statement for place, statement in enumerate(tree.body) if place not in places]


class _Calls(ast.NodeTransformer):
    """Has questions asked by CALL, which is given the function and its name."""

    def __init__(self, names: set[str]) -> None:
        self._names = names

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in self._names:
            name = ast.copy_location(ast.Constant(node.func.id), node)
            node.args = [name, node.func, *node.args]
            node.func = ast.copy_location(ast.Name(CALL, ast.Load()), node)
        return node


class _Helpers:
    """What the definitions of a block do for those who use them."""

    def __init__(self, definitions: list[_Line], random: set[str]) -> None:
        self._asking: set[str] = set()
        self._drawing = set(random)
        changed = True
        while changed:
            before = len(self._asking) + len(self._drawing)
            for line in definitions:
                if line.facts.n_questions or line.facts.reads & self._asking:
                    self._asking |= line.facts.writes
                if line.facts.uses_random or line.facts.reads & self._drawing:
                    self._drawing |= line.facts.writes
            changed = len(self._asking) + len(self._drawing) > before

    def asks(self, facts: Facts) -> bool:
        return facts.n_questions > 0 or bool(facts.reads & self._asking)

    def draws(self, facts: Facts) -> bool:
        return facts.uses_random or bool(facts.reads & self._drawing)


def _cases(lines: list[_Line]) -> set[str]:
    """The names that are only used as functions of numbered cases."""
    cases = {line.facts.case for line in lines} - {""}
    if cases:
        cases -= {name for line in lines for name in line.facts.reads & cases if line.facts.case != name}
    return cases


def _demote(definitions: list[_Line], others: list[_Line]) -> None:
    """A name that is bound by something else too is a variable and no definition."""
    written = {name for line in others for name in line.facts.writes}
    forms: dict[str, str] = {}
    for line in definitions:
        for name in line.facts.writes:
            text = "import" if line.facts.is_import else f"{line.check}:{line.place}"
            if forms.setdefault(name, text) != text:
                written.add(name)
    demoted = [line for line in definitions if line.facts.writes & written]
    if demoted:
        definitions[:] = [line for line in definitions if not line.facts.writes & written]
        others[:] = sorted([*others, *demoted], key=lambda line: line[:2])


def _joined(lines: list[_Line], variables: set[str], helpers: _Helpers) -> list[_Part]:
    """The lines in parts: those that share a variable are in the same one."""
    part_of: dict[str, _Part] = {}
    parts: dict[int, _Part] = {}
    for line in lines:
        touched = line.facts.writes | (line.facts.reads & variables)
        if helpers.draws(line.facts):
            touched.add("random numbers")
        part = [line]
        for other in {id(part_of[name]): part_of[name] for name in touched if name in part_of}.values():
            part += other
            touched |= {name for name, owner in part_of.items() if owner is other}
            del parts[id(other)]
        parts[id(part)] = part
        part_of.update(dict.fromkeys(touched, part))
    for part in parts.values():
        part.sort(key=lambda line: line[:2])
    return sorted(parts.values(), key=lambda part: part[0][:2])


def _n_questions(part: _Part) -> int:
    return sum(line.facts.n_questions for line in part)


def _called(statement: ast.stmt) -> tuple[str, list[ast.expr]]:
    match statement:
        case ast.Expr(ast.Call(ast.Name(name), arguments, [])):
            return name, arguments
    return "", []


def _numbered(texts: list[str]) -> tuple[int, ...]:
    numbers: dict[str, int] = {}
    return tuple(numbers.setdefault(text, len(numbers)) for text in texts)


def _bits(keys: tuple[int, ...]) -> float:
    """The logarithm to base 2 of the number of sequences that these keys can be put in."""
    ways = math.lgamma(len(keys) + 1) - sum(math.lgamma(n + 1) for n in Counter(keys).values())
    return round(max(0.0, ways / math.log(2)), 6)


def _consecutive(positions: list[int], first_run: int) -> Iterable[list[int]]:
    """Groups of at least two positions that follow on each other; a new one begins at `first_run`."""
    group: list[int] = []
    for position in positions:
        if group and (position != group[-1] + 1 or position == first_run):
            if len(group) > 1:
                yield group
            group = []
        group.append(position)
    if len(group) > 1:
        yield group


def _with_functions(
    body: list[ast.stmt], parts: list[_Part], check: int, keys: tuple[int, ...]
) -> list[ast.stmt]:
    """The body with each part as a function, and at its end what runs them. Lines keep their numbers."""
    moved = {line.place for part in parts for line in part}
    written = [statement for place, statement in enumerate(body) if place not in moved]
    names = [f"part {number}" for number in range(len(parts))]
    for name, part in zip(names, parts, strict=True):
        statements = [body[line.place] for line in part]
        function = ast.FunctionDef(name, ast.arguments([], [], None, [], [], None, []), statements, [])
        if "type_params" in ast.FunctionDef._fields:
            function.type_params = []  # type: ignore[attr-defined]
        written.append(ast.copy_location(function, statements[0]))
    arguments = [
        ast.Constant(check),
        ast.Constant(keys),  # type: ignore[arg-type]
        *(ast.Name(name, ast.Load()) for name in names),
    ]
    call = ast.Call(ast.Name(ASK, ast.Load()), arguments, [])
    for node in (*arguments, call.func, call, run := ast.Expr(call)):
        ast.copy_location(node, body[-1])
    return [*written, run]
