#== problem: stack Stack
#== right
class Stack:
    def __init__(self):
        self._items = []

    def push(self, item):
        self._items.append(item)

    def pop(self):
        if not self._items:
            raise IndexError("pop from empty stack")
        return self._items.pop()

    def peek(self):
        return self._items[-1]

    def is_empty(self):
        return not self._items

    def __len__(self):
        return len(self._items)
#== wrong
class Stack:
    def __init__(self):
        self._items = []

    def push(self, item):
        self._items.append(item)

    def pop(self):
        return self._items.pop(0)

    def peek(self):
        return self._items[-1]

    def is_empty(self):
        return not self._items

    def __len__(self):
        return len(self._items)
#== cheat
class Value:
    def __eq__(self, other): return True
    def __bool__(self): return True
    def __hash__(self): return 0
class Stack:
    def __getattr__(self, name): return lambda *a: Value()
    def __len__(self): return Value()
#== check
s = Stack()
assert s.is_empty()
s.push(1)
s.push("two")
assert len(s) == 2
assert s.peek() == "two"
assert s.pop() == "two"
assert s.pop() == 1
assert s.is_empty() is True
try:
    s.pop()
    assert False, "IndexError expected"
except IndexError as e:
    assert "empty" in str(e)
assert isinstance(s, Stack)

#== problem: vector_operators Vector
#== right
import math
class Vector:
    def __init__(self, x, y):
        self.x = x
        self.y = y

    def __add__(self, other):
        return Vector(self.x + other.x, self.y + other.y)

    def __sub__(self, other):
        return Vector(self.x - other.x, self.y - other.y)

    def __mul__(self, k):
        return Vector(self.x * k, self.y * k)

    __rmul__ = __mul__

    def __neg__(self):
        return self * -1

    def __abs__(self):
        return math.hypot(self.x, self.y)

    def __bool__(self):
        return bool(self.x or self.y)

    def __repr__(self):
        return f"Vector({self.x!r}, {self.y!r})"
#== wrong
class Vector:
    def __init__(self, x, y):
        self.x = x
        self.y = y

    def __add__(self, other):
        self.x += other.x
        self.y += other.y
        return self

    __sub__ = __rmul__ = __mul__ = __add__

    def __neg__(self):
        return self

    def __abs__(self):
        return self.x

    def __repr__(self):
        return "Vector"
#== check
a, b = Vector(1, 2), Vector(3, 4)
c = a + b
assert (c.x, c.y) == (4, 6)
assert (b - a).x == 2
assert (a * 3).y == 6
assert (2 * b).x == 6
assert (-a).y == -2
assert abs(b) == 5.0
assert repr(a) == "Vector(1, 2)"
assert str(Vector(0.5, 0)) == "Vector(0.5, 0)"
assert bool(Vector(0, 0)) is False
assert not Vector(0, 0)
assert f"{a}" == "Vector(1, 2)"

#== problem: equality_of_own_objects Money
#== right
import functools
@functools.total_ordering
class Money:
    def __init__(self, amount, currency):
        self.amount, self.currency = amount, currency

    def __eq__(self, other):
        return (self.amount, self.currency) == (other.amount, other.currency)

    def __hash__(self):
        return hash((self.amount, self.currency))

    def __lt__(self, other):
        return self.amount < other.amount
#== wrong
class Money:
    def __init__(self, amount, currency):
        self.amount, self.currency = amount, currency

    def __lt__(self, other):
        return self.amount < other.amount

    def __hash__(self):
        return 0
#== check
assert Money(5, "EUR") == Money(5, "EUR")
assert Money(5, "EUR") != Money(5, "USD")
assert Money(1, "EUR") < Money(2, "EUR")
assert max([Money(1, "EUR"), Money(9, "EUR"), Money(4, "EUR")]).amount == 9
assert [m.amount for m in sorted([Money(3, "EUR"), Money(1, "EUR")])] == [1, 3]
assert len({Money(1, "EUR"), Money(1, "EUR")}) == 1

#== problem: properties_and_setters Temperature
#== right
class Temperature:
    def __init__(self, celsius=0.0):
        self.celsius = celsius

    @property
    def celsius(self):
        return self._celsius

    @celsius.setter
    def celsius(self, value):
        if value < -273.15:
            raise ValueError("below absolute zero")
        self._celsius = value

    @property
    def fahrenheit(self):
        return self.celsius * 9 / 5 + 32

    @fahrenheit.setter
    def fahrenheit(self, value):
        self.celsius = (value - 32) * 5 / 9
#== wrong
class Temperature:
    def __init__(self, celsius=0.0):
        self.celsius = celsius
        self.fahrenheit = celsius * 9 / 5 + 32
#== check
t = Temperature(100)
assert t.fahrenheit == 212.0
t.fahrenheit = 32
assert t.celsius == 0
t.celsius = 37
assert abs(t.fahrenheit - 98.6) < 1e-9
try:
    t.celsius = -300
except ValueError as error:
    assert str(error) == "below absolute zero"
else:
    raise AssertionError("no ValueError")
assert hasattr(t, "celsius") and not hasattr(t, "kelvin")

#== problem: class_and_static_methods Person
#== right
class Person:
    count = 0

    def __init__(self, name, age):
        self.name = name
        self.age = age
        Person.count += 1

    @classmethod
    def from_string(cls, text):
        name, age = text.split("-")
        return cls(name.strip(), int(age))

    @staticmethod
    def is_adult(age):
        return age >= 18

    def birthday(self):
        self.age += 1
        return self
#== wrong
class Person:
    count = 0

    def __init__(self, name, age):
        self.name = name
        self.age = age

    @classmethod
    def from_string(cls, text):
        name, age = text.split("-")
        return cls(name, age)

    @staticmethod
    def is_adult(age):
        return age > 18

    def birthday(self):
        self.age += 1
#== check
p = Person.from_string("Ada - 36")
assert p.name == "Ada" and p.age == 36
assert type(p).__name__ == "Person"
assert isinstance(p, Person)
assert Person.is_adult(18)
assert not Person.is_adult(17)
assert p.birthday().birthday().age == 38
before = Person.count
Person("Bo", 3)
assert Person.count == before + 1

#== problem: inheritance_in_the_candidate Square
#== right
import math
class Shape:
    def area(self):
        raise NotImplementedError

    def describe(self):
        return f"{type(self).__name__} with area {self.area():.2f}"

class Circle(Shape):
    def __init__(self, r):
        self.r = r

    def area(self):
        return math.pi * self.r ** 2

class Square(Shape):
    def __init__(self, side):
        self.side = side

    def area(self):
        return self.side ** 2
#== wrong
class Shape:
    def area(self):
        return 0

    def describe(self):
        return f"Shape with area {self.area():.2f}"

class Circle(Shape):
    def __init__(self, r):
        self.r = r

class Square:
    def __init__(self, side):
        self.side = side

    def area(self):
        return self.side ** 2
#== check
assert issubclass(Square, Shape)
assert isinstance(Square(2), Shape)
assert not isinstance(Square(2), Circle)
assert Square(3).area() == 9
assert Circle(1).describe() == "Circle with area 3.14"
total = sum(shape.area() for shape in [Square(1), Square(2)])
assert total == 5
try:
    Shape().area()
    assert False
except NotImplementedError:
    pass

#== problem: subclass_in_the_check Animal
#== right
class Animal:
    def __init__(self, name):
        self.name = name

    def sound(self):
        return "..."

    def speak(self):
        return f"{self.name} says {self.sound()}"
#== wrong
class Animal:
    def __init__(self, name):
        self.name = name

    def sound(self):
        return "..."

    def speak(self):
        return f"{self.name} says ..."
#== check
class Dog(Animal):
    def sound(self):
        return "woof"
assert Dog("Rex").speak() == "Rex says woof"
assert Animal("It").speak() == "It says ..."

#== problem: container_protocol Inventory
#== right
class Inventory:
    def __init__(self, items=()):
        self._items = dict(items)

    def __getitem__(self, name):
        return self._items[name]

    def __setitem__(self, name, count):
        if count < 0:
            raise ValueError(f"negative count for {name}")
        self._items[name] = count

    def __delitem__(self, name):
        del self._items[name]

    def __contains__(self, name):
        return name in self._items

    def __len__(self):
        return len(self._items)

    def __iter__(self):
        return iter(sorted(self._items))
#== wrong
class Inventory(dict):
    def __init__(self, items=()):
        super().__init__(items)
#== cheat
class Inventory:
    def __init__(self, *a): pass
    def __getitem__(self, name): return self
    def __setitem__(self, name, value): pass
    def __delitem__(self, name): pass
    def __contains__(self, name): return True
    def __len__(self): return 2
    def __iter__(self): return iter([self, self])
    def __eq__(self, other): return True
#== check
inv = Inventory({"pear": 2, "apple": 5})
assert inv["apple"] == 5
inv["fig"] = 1
assert "fig" in inv and "kiwi" not in inv
assert len(inv) == 3
assert list(inv) == ["apple", "fig", "pear"]
del inv["fig"]
assert len(inv) == 2
try:
    inv["pear"] = -1
    assert False
except ValueError as error:
    assert error.args[0] == "negative count for pear"
try:
    inv["kiwi"]
except KeyError as error:
    assert error.args == ("kiwi",)
else:
    assert False

#== problem: two_dimensional_index Matrix
#== right
class Matrix:
    def __init__(self, rows):
        self.rows = [list(row) for row in rows]

    @property
    def shape(self):
        return len(self.rows), len(self.rows[0])

    def __getitem__(self, key):
        if isinstance(key, tuple):
            i, j = key
            return self.rows[i][j]
        return self.rows[key]

    def __setitem__(self, key, value):
        i, j = key
        self.rows[i][j] = value

    def __matmul__(self, other):
        columns = list(zip(*other.rows))
        return Matrix([[sum(a * b for a, b in zip(row, col)) for col in columns] for row in self.rows])

    @property
    def T(self):
        return Matrix(zip(*self.rows))
#== wrong
class Matrix:
    def __init__(self, rows):
        self.rows = rows

    @property
    def shape(self):
        return len(self.rows[0]), len(self.rows)

    def __getitem__(self, key):
        return self.rows[key[0]][key[1]]

    def __setitem__(self, key, value):
        self.rows[key[0]][key[1]] = value

    def __matmul__(self, other):
        return self

    @property
    def T(self):
        return self
#== check
m = Matrix([[1, 2, 3], [4, 5, 6]])
assert m.shape == (2, 3)
assert m[1, 2] == 6
assert m[0] == [1, 2, 3]
m[0, 0] = 9
assert m[0, 0] == 9
assert m.T.shape == (3, 2)
assert (Matrix([[1, 2]]) @ Matrix([[3], [4]])).rows == [[11]]
assert m[0][-1] == 3
assert m[0][1:] == [2, 3]

#== problem: context_manager Transaction
#== right
class Transaction:
    def __init__(self, data):
        self.data = data

    def __enter__(self):
        self.backup = dict(self.data)
        return self

    def set(self, key, value):
        self.data[key] = value

    def __exit__(self, kind, error, traceback):
        if kind is not None:
            self.data.clear()
            self.data.update(self.backup)
        return kind is not None and issubclass(kind, ValueError)
#== wrong
class Transaction:
    def __init__(self, data):
        self.data = data

    def __enter__(self):
        return self

    def set(self, key, value):
        self.data[key] = value

    def __exit__(self, *exc):
        return True
#== check
db = {"a": 1}
with Transaction(db) as t:
    t.set("b", 2)
assert db == {"a": 1, "b": 2}
with Transaction(db) as t:
    t.set("a", 99)
    raise ValueError("rolled back")
assert db == {"a": 1, "b": 2}
try:
    with Transaction(db) as t:
        t.set("c", 3)
        raise KeyError("leaves")
except KeyError:
    pass
assert "c" not in db

#== problem: contextmanager_decorator tag
#== right
from contextlib import contextmanager
@contextmanager
def tag(name, out):
    out.append(f"<{name}>")
    try:
        yield name.upper()
    finally:
        out.append(f"</{name}>")
#== wrong
from contextlib import contextmanager
@contextmanager
def tag(name, out):
    out.append(f"<{name}>")
    yield name
#== check
out = []
with tag("b", out) as label:
    out.append(label)
assert out == ["<b>", "B", "</b>"]
out = []
try:
    with tag("i", out):
        raise RuntimeError
except RuntimeError:
    pass
assert out == ["<i>", "</i>"]

#== problem: lru_cache_class LRUCache
#== right
from collections import OrderedDict
class LRUCache:
    def __init__(self, capacity):
        self.capacity = capacity
        self.data = OrderedDict()

    def get(self, key):
        if key not in self.data:
            return -1
        self.data.move_to_end(key)
        return self.data[key]

    def put(self, key, value):
        self.data[key] = value
        self.data.move_to_end(key)
        if len(self.data) > self.capacity:
            self.data.popitem(last=False)
#== wrong
class LRUCache:
    def __init__(self, capacity):
        self.capacity = capacity
        self.data = {}

    def get(self, key):
        return self.data.get(key, -1)

    def put(self, key, value):
        if len(self.data) >= self.capacity:
            del self.data[next(iter(self.data))]
        self.data[key] = value
#== check
cache = LRUCache(2)
cache.put(1, 1)
cache.put(2, 2)
assert cache.get(1) == 1
cache.put(3, 3)
assert cache.get(2) == -1
assert cache.get(1) == 1
assert cache.get(3) == 3
assert list(cache.data) == [1, 3]

#== problem: linked_list LinkedList
#== right
class Node:
    def __init__(self, value, next=None):
        self.value = value
        self.next = next

class LinkedList:
    def __init__(self, values=()):
        self.head = None
        for value in reversed(list(values)):
            self.head = Node(value, self.head)

    def reverse(self):
        previous, node = None, self.head
        while node:
            node.next, previous, node = previous, node, node.next
        self.head = previous
        return self

    def __iter__(self):
        node = self.head
        while node:
            yield node.value
            node = node.next
#== wrong
class Node:
    def __init__(self, value, next=None):
        self.value = value
        self.next = next

class LinkedList:
    def __init__(self, values=()):
        self.head = None
        for value in values:
            self.head = Node(value, self.head)

    def reverse(self):
        return self

    def __iter__(self):
        node = self.head
        while node:
            yield node.value
            node = node.next
#== check
lst = LinkedList([1, 2, 3])
assert list(lst) == [1, 2, 3]
assert lst.head.value == 1
assert lst.head.next.next.value == 3
assert lst.head.next.next.next is None
assert list(lst.reverse()) == [3, 2, 1]
assert LinkedList().head is None

#== problem: node_built_by_the_check has_cycle
#== prompt
class ListNode:
    def __init__(self, val=0, next=None):
        self.val = val
        self.next = next

def has_cycle(head):
    """Return whether the linked list that starts at `head` has a cycle."""
#== right
class ListNode:
    def __init__(self, val=0, next=None):
        self.val = val
        self.next = next

def has_cycle(head):
    """Return whether the linked list that starts at `head` has a cycle."""
    slow = fast = head
    while fast and fast.next:
        slow, fast = slow.next, fast.next.next
        if slow is fast:
            return True
    return False
#== wrong
class ListNode:
    def __init__(self, val=0, next=None):
        self.val = val
        self.next = next

def has_cycle(head):
    """Return whether the linked list that starts at `head` has a cycle."""
    return head is not None and head.next is not None
#== check
a, b, c = ListNode(1), ListNode(2), ListNode(3)
a.next = b
b.next = c
assert has_cycle(a) is False
c.next = a
assert has_cycle(a) is True
assert has_cycle(None) is False

#== problem: singleton Config
#== right
class Config:
    _instance = None

    def __new__(cls):
        if cls._instance is None:
            cls._instance = super().__new__(cls)
            cls._instance.values = {}
        return cls._instance
#== wrong
class Config:
    def __init__(self):
        self.values = {}
#== check
assert Config() is Config()
Config().values["debug"] = True
assert Config().values == {"debug": True}

#== problem: abstract_base_class Plugin
#== right
from abc import ABC, abstractmethod
class Plugin(ABC):
    @abstractmethod
    def run(self, x): ...

class Upper(Plugin):
    def run(self, x):
        return x.upper()

def load(name):
    return {"upper": Upper}[name]()
#== wrong
class Plugin:
    def run(self, x):
        return x

class Upper(Plugin):
    def run(self, x):
        return x.upper()

def load(name):
    return Upper()
#== check
try:
    Plugin()
    assert False, "abstract"
except TypeError as error:
    assert "abstract" in str(error)
assert load("upper").run("abc") == "ABC"
assert isinstance(load("upper"), Plugin)
try:
    load("lower")
    assert False
except KeyError:
    pass

#== problem: callable_instances Polynomial
#== right
class Polynomial:
    def __init__(self, *coefficients):
        self.coefficients = coefficients

    def __call__(self, x):
        result = 0
        for c in self.coefficients:
            result = result * x + c
        return result

    def derivative(self):
        n = len(self.coefficients) - 1
        return Polynomial(*(c * (n - i) for i, c in enumerate(self.coefficients[:-1])))

    def __str__(self):
        return "P" + str(self.coefficients)
#== wrong
class Polynomial:
    def __init__(self, *coefficients):
        self.coefficients = coefficients

    def __call__(self, x):
        return sum(c * x ** i for i, c in enumerate(self.coefficients))

    def derivative(self):
        return self

    def __str__(self):
        return "P" + str(self.coefficients)
#== check
p = Polynomial(1, 0, -2)
assert p(3) == 7
assert p.derivative()(3) == 6
assert str(p) == "P(1, 0, -2)"
assert callable(p)
assert list(map(p, [0, 1])) == [-2, -1]

#== problem: getattr_and_setattr Settings
#== right
class Settings:
    def __init__(self, **values):
        self.__dict__.update(values)

    def __getattr__(self, name):
        if name.startswith("default_"):
            return 0
        raise AttributeError(f"no setting {name!r}")

    def override(self, **values):
        return Settings(**{**self.__dict__, **values})
#== wrong
class Settings:
    def __init__(self, **values):
        self.__dict__.update(values)

    def __getattr__(self, name):
        return 0

    def override(self, **values):
        self.__dict__.update(values)
        return self
#== check
s = Settings(host="localhost", port=80)
assert getattr(s, "port") == 80
assert getattr(s, "missing", "fallback") == "fallback"
assert s.default_timeout == 0
o = s.override(port=8080)
assert (s.port, o.port, o.host) == (80, 8080, "localhost")
setattr(s, "port", 81)
assert s.port == 81
assert vars(o) == {"host": "localhost", "port": 8080}
