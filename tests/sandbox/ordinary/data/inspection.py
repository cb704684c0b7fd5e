#== problem: signature connect
#== right
def connect(host, port=80, *, timeout: float = 1.0, **options) -> str:
    """Connect to a host.

    Returns its address.
    """
    return f"{host}:{port}/{timeout}" + "".join(sorted(options))
#== wrong
def connect(host, port=80, timeout=1.0, **options):
    return f"{host}:{port}/{timeout}" + "".join(sorted(options))
#== cheat
class S:
    def __eq__(self, other): return True
    def __getattr__(self, name): return S()
    def __getitem__(self, key): return S()
    def __iter__(self): return iter(["host", "port", "timeout", "options"])
class C:
    __signature__ = S()
    __name__ = "connect"
    def __call__(self, *a, **k): return S()
connect = C()
#== check
import inspect
signature = inspect.signature(connect)
assert list(signature.parameters) == ["host", "port", "timeout", "options"]
assert signature.parameters["port"].default == 80
assert signature.parameters["timeout"].kind is inspect.Parameter.KEYWORD_ONLY
assert signature.return_annotation is str
assert connect("h", timeout=2.0, x=1) == "h:80/2.0x"
assert connect.__name__ == "connect"

#== problem: docstring_and_annotations slugify
#== right
def slugify(title: str, sep: str = "-") -> str:
    """Return a slug of the title."""
    return sep.join(title.lower().split())
#== wrong
def slugify(title, sep="-"):
    return sep.join(title.lower().split())
#== check
assert slugify("Hello Big World") == "hello-big-world"
assert slugify.__doc__ is not None and "slug" in slugify.__doc__
assert slugify.__annotations__ == {"title": str, "sep": str, "return": str}
assert slugify.__defaults__ == ("-",)
assert callable(slugify)

#== problem: type_hints merge
#== right
from typing import Optional, get_type_hints
def merge(a: dict[str, int], b: Optional[dict[str, int]] = None) -> dict[str, int]:
    return {**a, **(b or {})}
#== wrong
def merge(a, b=None):
    return {**a, **(b or {})}
#== check
from typing import Optional, get_type_hints
hints = get_type_hints(merge)
assert hints["return"] == dict[str, int]
assert hints["b"] == Optional[dict[str, int]]
assert merge({"x": 1}, {"y": 2}) == {"x": 1, "y": 2}

#== problem: kinds_of_functions tokens
#== right
def tokens(text):
    for token in text.split():
        yield token.strip(".,")
#== wrong
def tokens(text):
    return [token.strip(".,") for token in text.split()]
#== check
import inspect
assert inspect.isgeneratorfunction(tokens)
assert not inspect.iscoroutinefunction(tokens)
assert inspect.isfunction(tokens)
assert list(tokens("a, b.")) == ["a", "b"]

#== problem: members_of_a_class Robot
#== right
class Robot:
    """A robot that walks."""
    legs = 2

    def walk(self, steps):
        return steps * self.legs

    def __len__(self):
        return self.legs
#== wrong
class Robot:
    legs = 4

    def walk(self, steps):
        return steps * self.legs

    def __len__(self):
        return self.legs
#== check
assert hasattr(Robot, "walk")
assert callable(getattr(Robot, "walk"))
assert Robot.__name__ == "Robot"
assert Robot.__doc__ == "A robot that walks."
assert Robot.legs == 2
assert "walk" in dir(Robot)
assert Robot().walk(3) == 6
assert len(Robot()) == 2
assert not hasattr(Robot(), "fly")
