#== problem: adder make_adder
#== right
def make_adder(n):
    return lambda x: x + n
#== wrong
def make_adder(n):
    return lambda x: x * n
#== cheat
class Any:
    def __call__(self, *a, **k): return self
    def __eq__(self, other): return True
    def __ne__(self, other): return False
make_adder = Any()
#== check
assert make_adder(2)(3) == 5
add10 = make_adder(10)
assert add10(5) == 15
assert list(map(make_adder(1), [1, 2, 3])) == [2, 3, 4]

#== problem: counter_with_state make_counter
#== right
def make_counter():
    count = 0
    def counter():
        nonlocal count
        count += 1
        return count
    return counter
#== wrong
count = 0
def make_counter():
    def counter():
        global count
        count += 1
        return count
    return counter
#== check
c1 = make_counter()
c2 = make_counter()
assert c1() == 1
assert c1() == 2
assert c2() == 1
assert c1() == 3

#== problem: compose compose
#== right
def compose(*functions):
    def composed(x):
        for function in reversed(functions):
            x = function(x)
        return x
    return composed
#== wrong
def compose(*functions):
    def composed(x):
        for function in functions:
            x = function(x)
        return x
    return composed
#== check
inc = lambda x: x + 1
double = lambda x: x * 2
assert compose(inc, double)(5) == 11
assert compose(double, inc)(5) == 12
assert compose()(7) == 7
assert compose(str, len)([1, 2]) == "2"

#== problem: passed_in_function apply_to_all
#== right
def apply_to_all(function, values):
    return [function(value) for value in values]
#== wrong
def apply_to_all(function, values):
    return [value + 1 for value in values]
#== check
assert apply_to_all(lambda x: x + 1, [1, 2, 3]) == [2, 3, 4]
assert apply_to_all(str.upper, ["a", "b"]) == ["A", "B"]
assert apply_to_all(len, ["ab", "c"]) == [2, 1]
calls = []
apply_to_all(calls.append, [1, 2])
assert calls == [1, 2]

#== problem: memoize_decorator memoize
#== right
import functools
def memoize(function):
    cache = {}
    @functools.wraps(function)
    def wrapper(*args):
        if args not in cache:
            cache[args] = function(*args)
        return cache[args]
    wrapper.cache = cache
    return wrapper
#== wrong
import functools
def memoize(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)
    wrapper.cache = {}
    return wrapper
#== check
calls = 0
@memoize
def square(x):
    """Return the square."""
    global calls
    calls += 1
    return x * x
assert square(4) == 16
assert square(4) == 16
assert calls == 1
assert square.__name__ == "square"
assert square.__doc__ == "Return the square."
assert square.cache == {(4,): 16}

#== problem: decorator_with_arguments retry
#== right
import functools
def retry(times, exceptions=(Exception,)):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            for attempt in range(times):
                try:
                    return function(*args, **kwargs)
                except exceptions:
                    if attempt == times - 1:
                        raise
        return wrapper
    return decorate
#== wrong
def retry(times, exceptions=(Exception,)):
    def decorate(function):
        def wrapper(*args, **kwargs):
            for attempt in range(times):
                try:
                    return function(*args, **kwargs)
                except exceptions:
                    pass
        return wrapper
    return decorate
#== check
attempts = []
@retry(3, exceptions=(ValueError,))
def flaky(x):
    attempts.append(x)
    if len(attempts) < 3:
        raise ValueError("not yet")
    return "done"
assert flaky(7) == "done"
assert attempts == [7, 7, 7]
@retry(2)
def broken():
    raise KeyError("lost")
try:
    broken()
    assert False
except KeyError as error:
    assert error.args == ("lost",)

#== problem: callback_that_raises safe_map
#== right
def safe_map(function, values, default=None):
    results = []
    for value in values:
        try:
            results.append(function(value))
        except ZeroDivisionError:
            results.append(default)
    return results
#== wrong
def safe_map(function, values, default=None):
    return [function(value) for value in values]
#== check
assert safe_map(lambda x: 10 // x, [1, 0, 5], default=-1) == [10, -1, 2]
def bad(x):
    raise TypeError(f"no {x}")
try:
    safe_map(bad, [1])
    assert False
except TypeError as error:
    assert str(error) == "no 1"

#== problem: curry curry
#== right
import inspect
def curry(function):
    wanted = len(inspect.signature(function).parameters)
    def curried(*args):
        if len(args) >= wanted:
            return function(*args)
        return lambda *more: curried(*args, *more)
    return curried
#== wrong
def curry(function):
    return lambda a: lambda b: function(a, b)
#== check
def volume(a, b, c):
    return a * b * c
assert curry(volume)(2)(3)(4) == 24
assert curry(volume)(2, 3)(4) == 24
assert curry(volume)(2, 3, 4) == 24

#== problem: sort_by_key rank
#== right
def rank(items, key, reverse=False):
    return sorted(items, key=key, reverse=reverse)
#== wrong
def rank(items, key, reverse=False):
    return sorted(items, reverse=reverse)
#== check
people = [{"name": "Bo", "age": 30}, {"name": "Al", "age": 40}]
assert rank(people, key=lambda p: p["name"]) == [people[1], people[0]]
assert [p["name"] for p in rank(people, lambda p: -p["age"])] == ["Al", "Bo"]
from operator import itemgetter
assert rank(people, itemgetter("age"), reverse=True)[0]["name"] == "Al"

#== problem: event_emitter EventEmitter
#== right
class EventEmitter:
    def __init__(self):
        self._handlers = {}

    def on(self, event, handler):
        self._handlers.setdefault(event, []).append(handler)
        return self

    def off(self, event, handler):
        self._handlers[event].remove(handler)

    def emit(self, event, *args, **kwargs):
        handlers = self._handlers.get(event, [])
        for handler in list(handlers):
            handler(*args, **kwargs)
        return len(handlers)
#== wrong
class EventEmitter:
    def __init__(self):
        self._handlers = {}

    def on(self, event, handler):
        self._handlers[event] = [handler]
        return self

    def off(self, event, handler):
        self._handlers[event].remove(handler)

    def emit(self, event, *args, **kwargs):
        for handler in self._handlers.get(event, []):
            handler(*args, **kwargs)
        return len(self._handlers.get(event, []))
#== check
log = []
def first(x, tag=""):
    log.append(("first", x, tag))
second = lambda x, tag="": log.append(("second", x, tag))
e = EventEmitter()
e.on("hit", first).on("hit", second)
assert e.emit("hit", 1, tag="t") == 2
assert log == [("first", 1, "t"), ("second", 1, "t")]
e.off("hit", first)
assert e.emit("hit", 2) == 1
assert log[-1] == ("second", 2, "")
assert e.emit("miss") == 0

#== problem: pipeline_of_partials build_pipeline
#== right
import functools
def build_pipeline(steps):
    return functools.reduce(lambda f, g: lambda x: g(f(x)), steps, lambda x: x)
#== check
import functools, operator
run = build_pipeline([functools.partial(operator.add, 3), functools.partial(operator.mul, 2)])
assert run(1) == 8
assert callable(run)
assert build_pipeline([])("same") == "same"

#== problem: dispatch_table make_calculator
#== right
def make_calculator():
    return {
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "/": lambda a, b: a / b if b else None,
    }
#== wrong
def make_calculator():
    return {op: (lambda a, b: a + b) for op in "+-/"}
#== check
calc = make_calculator()
assert sorted(calc) == ["+", "-", "/"]
assert calc["+"](2, 3) == 5
assert calc["-"](2, 3) == -1
assert calc["/"](1, 0) is None
assert "*" not in calc
