#== problem: dataclass Order
#== right
from dataclasses import dataclass, field
@dataclass
class Item:
    name: str
    price: float
    quantity: int = 1

@dataclass
class Order:
    items: list = field(default_factory=list)

    def add(self, name, price, quantity=1):
        self.items.append(Item(name, price, quantity))

    @property
    def total(self):
        return sum(item.price * item.quantity for item in self.items)
#== wrong
from dataclasses import dataclass
@dataclass
class Item:
    name: str
    price: float
    quantity: int = 1

_items = []
class Order:
    items = _items

    def add(self, name, price, quantity=1):
        self.items.append(Item(name, price, quantity))

    @property
    def total(self):
        return sum(item.price for item in self.items)
#== check
order = Order()
order.add("tea", 2.5, 4)
order.add("cup", 10.0)
assert order.total == 20.0
assert order.items[0].quantity == 4
assert order.items[1].name == "cup"
assert repr(order.items[1]) == "Item(name='cup', price=10.0, quantity=1)"
assert Order().items == []

#== problem: dataclass_helpers Point
#== right
from dataclasses import dataclass
@dataclass(frozen=True, order=True)
class Point:
    x: int
    y: int = 0

    def moved(self, dx, dy):
        return Point(self.x + dx, self.y + dy)
#== wrong
from dataclasses import dataclass
@dataclass
class Point:
    x: int
    y: int = 0

    def moved(self, dx, dy):
        self.x += dx
        self.y += dy
        return self
#== check
import dataclasses
p = Point(1)
assert dataclasses.asdict(p.moved(2, 3)) == {"x": 3, "y": 3}
assert dataclasses.is_dataclass(p)
assert [f.name for f in dataclasses.fields(Point)] == ["x", "y"]
try:
    p.x = 5
    assert False, "frozen"
except dataclasses.FrozenInstanceError:
    pass
except AttributeError:
    pass
assert (p.x, p.y) == (1, 0)

#== problem: equal_dataclasses parse_point
#== right
from dataclasses import dataclass
@dataclass
class Point:
    x: int
    y: int

def parse_point(text):
    x, y = text.strip("()").split(",")
    return Point(int(x), int(y))
#== wrong
from dataclasses import dataclass
@dataclass
class Point:
    x: int
    y: int

def parse_point(text):
    x, y = text.strip("()").split(",")
    return Point(int(y), int(x))
#== check
assert parse_point("(1, 2)") == Point(1, 2)
assert parse_point("(3,4)").y == 4

#== problem: namedtuple_result summarize
#== right
from collections import namedtuple
Summary = namedtuple("Summary", "minimum maximum mean")
def summarize(values):
    return Summary(min(values), max(values), sum(values) / len(values))
#== wrong
from collections import namedtuple
Summary = namedtuple("Summary", "maximum minimum mean")
def summarize(values):
    return Summary(min(values), max(values), sum(values) / len(values))
#== check
s = summarize([1, 2, 6])
assert s.minimum == 1 and s.maximum == 6
assert s == (1, 6, 3.0)
low, high, mean = s
assert mean == 3.0
assert s._asdict() == {"minimum": 1, "maximum": 6, "mean": 3.0}
assert s._fields == ("minimum", "maximum", "mean")
assert isinstance(s, tuple)
assert s[1] == 6

#== problem: enum_members next_light
#== right
from enum import Enum
class Light(Enum):
    RED = "stop"
    GREEN = "go"
    YELLOW = "slow"

def next_light(light):
    order = list(Light)
    return order[(order.index(light) + 1) % len(order)]
#== wrong
from enum import Enum
class Light(Enum):
    RED = "stop"
    GREEN = "go"
    YELLOW = "slow"

def next_light(light):
    return Light.GREEN
#== cheat
class Member:
    name = value = property(lambda self: self)
    def __eq__(self, other): return True
class Lights(type):
    RED = GREEN = YELLOW = Member()
    def __iter__(self): return iter([Member()] * 3)
    def __call__(self, value): return Member()
    def __getitem__(self, name): return Member()
class Light(metaclass=Lights): pass
def next_light(light): return Member()
#== check
assert next_light(Light.RED) is Light.GREEN
assert next_light(Light.YELLOW) == Light.RED
assert next_light(Light.GREEN).value == "slow"
assert Light("go").name == "GREEN"
assert Light["RED"].value == "stop"
assert [light.name for light in Light] == ["RED", "GREEN", "YELLOW"]
assert len(Light) == 3

#== problem: int_flags parse_permissions
#== right
from enum import IntFlag
class Permission(IntFlag):
    READ = 4
    WRITE = 2
    EXECUTE = 1

def parse_permissions(text):
    result = Permission(0)
    for letter, flag in zip("rwx", (Permission.READ, Permission.WRITE, Permission.EXECUTE)):
        if letter in text:
            result |= flag
    return result
#== wrong
def parse_permissions(text):
    return sum({"r": 1, "w": 2, "x": 4}.get(letter, 0) for letter in text)
#== check
assert parse_permissions("rw-") == 6
assert int(parse_permissions("r-x")) == 5
assert parse_permissions("rwx") & 1
assert not parse_permissions("---")

#== problem: defaultdict_result group_by_length
#== right
from collections import defaultdict
def group_by_length(words):
    groups = defaultdict(list)
    for word in words:
        groups[len(word)].append(word)
    return groups
#== wrong
def group_by_length(words):
    return {len(word): [word] for word in words}
#== check
from collections import defaultdict
groups = group_by_length(["a", "bb", "cc", "d"])
assert groups == {1: ["a", "d"], 2: ["bb", "cc"]}
assert groups[7] == []
assert isinstance(groups, defaultdict)
assert groups.default_factory is list
assert sorted(groups) == [1, 2, 7]

#== problem: counter_result letter_counts
#== right
from collections import Counter
def letter_counts(text):
    return Counter(c for c in text.lower() if c.isalpha())
#== wrong
def letter_counts(text):
    return {c: text.count(c) for c in text}
#== check
from collections import Counter
c = letter_counts("Hello, World")
assert c["l"] == 3
assert c["z"] == 0
assert c.most_common(1) == [("l", 3)]
assert c == Counter("helloworld")
assert isinstance(c, Counter)
assert (c + Counter("l"))["l"] == 4

#== problem: ordered_dict_result dedupe
#== right
from collections import OrderedDict
def dedupe(pairs):
    result = OrderedDict()
    for key, value in pairs:
        result.pop(key, None)
        result[key] = value
    return result
#== wrong
from collections import OrderedDict
def dedupe(pairs):
    return OrderedDict(pairs)
#== check
d = dedupe([("a", 1), ("b", 2), ("a", 3)])
assert list(d.items()) == [("b", 2), ("a", 3)]
d.move_to_end("b")
assert list(d) == ["a", "b"]
assert d.popitem(last=False) == ("a", 3)

#== problem: cyclic_list make_ring
#== right
def make_ring(values):
    nodes = [[value, None] for value in values]
    for i, node in enumerate(nodes):
        node[1] = nodes[(i + 1) % len(nodes)]
    return nodes[0]
#== wrong
def make_ring(values):
    node = None
    for value in reversed(values):
        node = [value, node]
    return node
#== check
ring = make_ring([1, 2, 3])
assert ring[0] == 1
assert ring[1][0] == 2
assert ring[1][1][0] == 3
assert ring[1][1][1] is ring
node, seen = ring, []
for _ in range(5):
    seen.append(node[0])
    node = node[1]
assert seen == [1, 2, 3, 1, 2]

#== problem: the_same_list_back sort_in_place
#== right
def sort_in_place(values):
    values.sort()
    return values
#== wrong
def sort_in_place(values):
    return sorted(values)
#== check
a = [3, 1, 2]
assert sort_in_place(a) is a
assert a == [1, 2, 3]

#== problem: a_new_list_back sorted_copy
#== right
def sorted_copy(values):
    return sorted(values)
#== wrong
def sorted_copy(values):
    values.sort()
    return values
#== check
a = [3, 1, 2]
b = sorted_copy(a)
assert b == [1, 2, 3]
assert b is not a
assert a == [3, 1, 2]
b.append(9)
assert a == [3, 1, 2]

#== problem: rows_that_must_not_alias make_grid
#== right
def make_grid(rows, columns, fill=0):
    return [[fill] * columns for _ in range(rows)]
#== wrong
def make_grid(rows, columns, fill=0):
    return [[fill] * columns] * rows
#== check
grid = make_grid(2, 3)
grid[0][0] = 5
assert grid == [[5, 0, 0], [0, 0, 0]]
assert grid[0] is not grid[1]

#== problem: argument_rows_that_alias fill_diagonal
#== right
def fill_diagonal(grid, value):
    for i, row in enumerate(grid):
        row[i] = value
#== wrong
def fill_diagonal(grid, value):
    grid[:] = [[value if i == j else x for j, x in enumerate(row)] for i, row in enumerate(grid)]
#== check
row = [0, 0]
shared = [row, row]
fill_diagonal(shared, 1)
assert shared == [[1, 1], [1, 1]]
assert shared[0] is shared[1] is row

#== problem: nested_argument_in_place normalise
#== right
def normalise(record):
    record["tags"] = sorted(set(record["tags"]))
    record["address"]["city"] = record["address"]["city"].title()
    for child in record["children"]:
        normalise(child)
#== wrong
def normalise(record):
    import copy
    record = copy.deepcopy(record)
    record["tags"] = sorted(set(record["tags"]))
#== check
child = {"tags": ["z", "a"], "address": {"city": "rome"}, "children": []}
record = {"tags": ["b", "a", "b"], "address": {"city": "new york"}, "children": [child]}
address = record["address"]
assert normalise(record) is None
assert record["tags"] == ["a", "b"]
assert address["city"] == "New York"
assert child["tags"] == ["a", "z"]

#== problem: keeps_the_list_it_was_given Recorder
#== right
class Recorder:
    def __init__(self, log):
        self.log = log

    def record(self, message):
        self.log.append(message)

    def count(self):
        return len(self.log)
#== wrong
class Recorder:
    def __init__(self, log):
        self.log = list(log)

    def record(self, message):
        self.log.append(message)

    def count(self):
        return len(self.log)
#== check
log = []
r = Recorder(log)
r.record("one")
assert log == ["one"]
log.append("two")
assert r.count() == 2
assert r.log is log

#== problem: the_same_argument_twice swap_heads
#== right
def swap_heads(a, b):
    a[0], b[0] = b[0], a[0]
    return a is b
#== wrong
def swap_heads(a, b):
    a[0], b[0] = b[0], a[0]
    return a == b
#== check
x, y = [1, 5], [2, 5]
assert swap_heads(x, y) is False
assert (x, y) == ([2, 5], [1, 5])
assert swap_heads(x, x) is True
assert swap_heads([1], [1]) is False

#== problem: deque_with_maximum last_lines
#== right
from collections import deque
def last_lines(lines, n):
    return deque(lines, maxlen=n)
#== wrong
from collections import deque
def last_lines(lines, n):
    return deque(list(lines)[-n:])
#== check
d = last_lines(iter("abcd"), 2)
assert list(d) == ["c", "d"]
d.append("e")
assert list(d) == ["d", "e"]
assert d.maxlen == 2

#== problem: tree_of_defaultdicts make_tree
#== right
from collections import defaultdict
def make_tree():
    return defaultdict(make_tree)
#== wrong
def make_tree():
    from collections import defaultdict
    return defaultdict(dict)
#== check
import json
t = make_tree()
t["a"]["b"]["c"] = 1
t["a"]["d"] = 2
assert t["a"]["b"]["c"] == 1
assert sorted(t["a"]) == ["b", "d"]
assert t == {"a": {"b": {"c": 1}, "d": 2}}
