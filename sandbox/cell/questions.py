"""What one statement of a problem's checks does: which variables it uses, and what it asks of the candidate.

Pure: a syntax tree in, Facts out. `order` decides by them what may be moved.
"""

from __future__ import annotations

import ast
import builtins
from dataclasses import dataclass, field

_BUILTINS = frozenset(vars(builtins))
_NAMESPACES = frozenset(("locals", "globals", "vars", "eval", "exec", "dir", "__import__"))
_LEAVING = (ast.Global, ast.Nonlocal, ast.Yield, ast.YieldFrom, ast.Await, ast.AsyncFor, ast.AsyncWith)
_LOOPS = (ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_LEAVES = (ast.expr_context, ast.operator, ast.cmpop, ast.unaryop, ast.boolop, ast.Constant)
_PLAIN = (
    ast.Assert,
    ast.Compare,
    ast.List,
    ast.Tuple,
    ast.UnaryOp,
    ast.BinOp,
    ast.BoolOp,
    ast.Dict,
    ast.arguments,
)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


class KeptError(Exception):
    """These checks are asked as they are written; the message says why."""


@dataclass(slots=True)
class Facts:
    """`reads` and `writes` are the names that a statement uses, and those that it binds or changes in its block.
    `n_questions` counts its questions, a loop as many. `is_definition` says that it may as well come first. `case` is
    the function of a numbered case, `case(3)`, and `maker` the one whose result the statement gives a name. `equal` is
    a question with the constant that its answer has to equal. `random_names` are those of modules and functions that
    draw random numbers, which have a state in common."""

    reads: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)
    n_questions: int = 0
    is_definition: bool = False
    is_import: bool = False
    case: str = ""
    maker: str = ""
    equal: tuple[str, str] | None = None
    uses_random: bool = False
    random_names: set[str] = field(default_factory=set)


def look(statement: ast.stmt, targets: frozenset[str], given: set[str]) -> Facts:
    """Return what the statement does. `targets` are the names that stand for functions of the candidate; `given` those
    that stand for what it returned, and gets further ones. Raises KeptError for commands, and for what this does not
    understand."""
    facts = Facts()
    reader = _Reader(facts, targets, given)
    reader.walk(statement, nested=False, loops=0, expects_error=False)
    if isinstance(statement, ast.FunctionDef):
        facts.reads -= reader.local
        facts.writes -= reader.local - {statement.name}
        is_plain = not statement.decorator_list and _has_constant_defaults(statement.args)
        facts.is_definition = is_plain and facts.writes == {statement.name}
    match statement:
        case ast.Import() | ast.ImportFrom():
            facts.is_definition = facts.is_import = True
        case ast.Pass() | ast.Expr(ast.Constant() | ast.Name()) | ast.ClassDef(decorator_list=[]):
            facts.is_definition = not facts.n_questions
        case ast.Assign([ast.Name()], value) | ast.AnnAssign(ast.Name(), _, value) if _is_constant(value):
            facts.is_definition = True
        case ast.Assign([ast.Name()], ast.Call(ast.Name(maker))) if maker not in targets | _BUILTINS:
            facts.maker = maker
        case ast.Expr(ast.Call(ast.Name(case), [_, *_] as arguments, [])) if all(
            map(_is_constant, arguments)
        ):
            facts.case = case
        case ast.Assert(ast.Compare(ast.Call(ast.Name(name)) as call, [ast.Eq()], [value])):
            if name in targets and _is_constant(value):
                nothing: frozenset[str] = frozenset()
                facts.equal = _shape(call, nothing), _shape(value, nothing)
    return facts


def answer_key(statement: ast.stmt, targets: frozenset[str]) -> str:
    """Return the statement without its questions' arguments and without its message: where this is the same, the
    answer is."""
    return _shape(statement.test if isinstance(statement, ast.Assert) else statement, targets)


def _shape(node: ast.AST, targets: frozenset[str]) -> str:
    if isinstance(node, ast.Constant):
        return repr(node.value)
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in targets:
        return f"{node.func.id}?"
    name = getattr(node, "attr", None) or getattr(node, "arg", None) or ""
    return f"{type(node).__name__}{name}({','.join([_shape(child, targets) for child in ast.iter_child_nodes(node)])})"


def root_of(node: ast.AST) -> str:
    """The name that a chain of attributes and items begins with, or nothing."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _is_constant(node: ast.expr | None) -> bool:
    """Return whether an expression always has the same value, and one that nothing can change."""
    match node:
        case ast.Constant() | ast.Call(ast.Name("float"), [ast.Constant()], []):
            return True
        case ast.UnaryOp(_, operand):
            return _is_constant(operand)
        case ast.BinOp(left, _, right):
            return _is_constant(left) and _is_constant(right)
        case ast.Tuple(items):
            return all(map(_is_constant, items))
    return False


def _has_constant_defaults(arguments: ast.arguments) -> bool:
    return all(node is None or _is_constant(node) for node in (*arguments.defaults, *arguments.kw_defaults))


def _is_raised_for(node: ast.With) -> bool:
    """Return whether a with statement waits for an exception: `pytest.raises`, `self.assertRaises`."""
    calls = (item.context_expr for item in node.items)
    return any("raises" in ast.unparse(call.func).lower() for call in calls if isinstance(call, ast.Call))


def _children(node: ast.AST) -> list[ast.AST]:
    """The nodes below one, without those that say nothing."""
    children: list[ast.AST] = []
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, list):
            children += [
                item for item in value if isinstance(item, ast.AST) and not isinstance(item, _LEAVES)
            ]
        elif isinstance(value, ast.AST) and not isinstance(value, _LEAVES):
            children.append(value)
    return children


class _Reader:
    """Walks one statement. Names of functions and comprehensions within it count as read, never as bound."""

    def __init__(self, facts: Facts, targets: frozenset[str], given: set[str]) -> None:
        self._facts, self._targets, self._given = facts, targets, given
        self.local: set[str] = set()  # of functions and comprehensions within the statement

    def walk(self, node: ast.AST, *, nested: bool, loops: int, expects_error: bool) -> None:
        if isinstance(node, _LEAVING) or (isinstance(node, ast.Return) and not nested):
            raise KeptError(f"a check has {type(node).__name__.lower()}")
        if not isinstance(node, _PLAIN):
            self._see(node, nested, loops, expects_error)
        children: list[ast.AST]
        if isinstance(node, ast.Try) and node.handlers:
            for part in node.body:
                self.walk(part, nested=nested, loops=loops, expects_error=True)
            children = [*node.handlers, *node.orelse, *node.finalbody]
        else:
            children = _children(node)
        expects_error = expects_error or (isinstance(node, ast.With) and _is_raised_for(node))
        loops += isinstance(node, _LOOPS)
        in_comprehension = isinstance(node, ast.comprehension)
        nested = nested or isinstance(node, _FUNCTIONS)
        for child in children:
            inner = nested or (in_comprehension and child is node.target)  # type: ignore[attr-defined]
            self.walk(child, nested=inner, loops=loops, expects_error=expects_error)

    def _see(self, node: ast.AST, nested: bool, loops: int, expects_error: bool) -> None:
        facts = self._facts
        match node:
            case ast.Name(name, ast.Load()):
                if name in _NAMESPACES:
                    raise KeptError(f"a check uses {name}()")
                facts.reads.add(name)
                if name in self._targets:
                    facts.n_questions += 10 if loops else 1
            case ast.Name(name):
                self._bind(name, nested)
            case ast.NamedExpr(ast.Name(name)):
                facts.writes.add(name)
            case ast.arg(name):
                self.local.add(name)
            case ast.alias(name, asname):
                if name == "*":
                    raise KeptError("a check imports *")
                self._bind(asname or name.partition(".")[0], nested)
                if name in ("random", "secrets"):
                    facts.random_names.add(asname or name)
            case ast.ImportFrom("random" | "secrets", names):
                facts.random_names.update(alias.asname or alias.name for alias in names)
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
                self._bind(name, nested)
            case (
                ast.ExceptHandler(name=str(name))
                | ast.MatchAs(name=str(name))
                | ast.MatchStar(name=str(name))
            ):
                self._bind(name, nested)
            case ast.Attribute() | ast.Subscript() if not isinstance(node.ctx, ast.Load):
                self._change(root_of(node))
            case ast.Attribute(attr="random"):
                facts.uses_random = True
            case ast.Assign(targets, value):
                self._take(targets, value)
            case ast.AnnAssign(target, _, value) | ast.For(target, value):
                self._take([target], value)
            case ast.withitem(value, target) if target is not None:
                self._take([target], value)
            case ast.AugAssign(ast.Name(name)):
                facts.reads.add(name)
            case ast.Expr(ast.Call() as call):
                self._statement(call, expects_error)
            case ast.Expr(ast.Constant() | ast.Name()):
                pass
            case ast.Expr():
                if not expects_error:
                    raise KeptError("a check has a bare expression")
            case ast.Call(function, arguments, keywords):
                self._call(function, bool(arguments or keywords))

    def _bind(self, name: str, nested: bool) -> None:
        (self.local if nested else self._facts.writes).add(name)

    def _change(self, root: str) -> None:
        if not root or root in self._targets:
            raise KeptError("a check changes something of the candidate's")
        self._facts.writes.add(root)

    def _take(self, targets: list[ast.expr], value: ast.expr | None) -> None:
        """Note the names of what the candidate gives."""
        names = {n.id for n in ast.walk(value) if isinstance(n, ast.Name)} if value is not None else set()
        if names & (self._targets | self._given):
            self._given.update(n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name))

    def _call(self, function: ast.expr, has_arguments: bool) -> None:
        if isinstance(function, ast.Name) and function.id in self._targets and not has_arguments:
            raise KeptError(f"a check calls {function.id}() without arguments")
        if isinstance(function, ast.Attribute) and root_of(function) in self._given | self._targets:
            raise KeptError(f"a check calls a method of {root_of(function)}")

    def _statement(self, call: ast.Call, expects_error: bool) -> None:
        function = call.func
        if expects_error:
            return
        if isinstance(function, ast.Name):
            if function.id in self._targets or (function.id in _BUILTINS and function.id != "print"):
                raise KeptError(f"a check calls {function.id} for what it does")
            return
        if isinstance(function, ast.Attribute):
            if function.attr.startswith("assert"):
                return
            if function.attr == "seed":
                return
            if root := root_of(function):
                self._change(root)
                return
        raise KeptError(f"a check calls {ast.unparse(function)[:40]} for what it does")
