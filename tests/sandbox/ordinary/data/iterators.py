#== problem: list_of_a_generator count_up_to
#== right
def count_up_to(n):
    i = 0
    while i < n:
        yield i
        i += 1
#== wrong
def count_up_to(n):
    for i in range(n + 1):
        yield i
#== cheat
class Items:
    def __iter__(self): return self
    def __next__(self): raise StopIteration
    def __eq__(self, other): return True
    def __length_hint__(self): return 3
def count_up_to(n): return Items()
#== check
assert list(count_up_to(3)) == [0, 1, 2]
assert list(count_up_to(0)) == []
assert sum(count_up_to(5)) == 10
assert [x * 2 for x in count_up_to(3)] == [0, 2, 4]

#== problem: endless_generator primes
#== right
def primes():
    n = 2
    while True:
        if all(n % d for d in range(2, int(n ** 0.5) + 1)):
            yield n
        n += 1
#== wrong
def primes():
    n = 2
    while True:
        yield n
        n += 1 if n == 2 else 2
#== check
from itertools import islice, takewhile
assert list(islice(primes(), 5)) == [2, 3, 5, 7, 11]
assert list(takewhile(lambda p: p < 20, primes())) == [2, 3, 5, 7, 11, 13, 17, 19]
gen = primes()
assert next(gen) == 2 and next(gen) == 3

#== problem: stop_iteration pairwise_sums
#== right
def pairwise_sums(values):
    it = iter(values)
    previous = next(it, None)
    for value in it:
        yield previous + value
        previous = value
#== wrong
def pairwise_sums(values):
    for i in range(len(values)):
        yield values[i] + values[i - 1]
#== check
it = pairwise_sums([1, 2, 4])
assert next(it) == 3
assert next(it) == 6
try:
    next(it)
    assert False, "should be exhausted"
except StopIteration:
    pass
assert next(pairwise_sums([1]), "none") == "none"

#== problem: is_an_iterator evens
#== right
def evens(limit):
    return (n for n in range(limit) if n % 2 == 0)
#== wrong
def evens(limit):
    return [n for n in range(limit) if n % 2 == 0]
#== check
from collections.abc import Iterator
import types
result = evens(7)
assert isinstance(result, Iterator)
assert isinstance(evens(1), types.GeneratorType)
assert list(result) == [0, 2, 4, 6]
assert list(result) == []

#== problem: generator_send running_average
#== right
def running_average():
    total, count, average = 0.0, 0, None
    while True:
        value = yield average
        total += value
        count += 1
        average = total / count
#== wrong
def running_average():
    average = None
    while True:
        value = yield average
        average = value
#== cheat
class G:
    def __next__(self): return None
    def send(self, value): return self
    def close(self): return None
    def __eq__(self, other): return True
def running_average(): return G()
#== check
avg = running_average()
next(avg)
assert avg.send(10) == 10.0
assert avg.send(20) == 15.0
assert avg.send(30) == 20.0
avg.close()

#== problem: endless_argument first_matching
#== right
def first_matching(values, predicate, n):
    out = []
    for value in values:
        if predicate(value):
            out.append(value)
            if len(out) == n:
                break
    return out
#== wrong
def first_matching(values, predicate, n):
    out = []
    for value in values:
        out.append(value)
        if len(out) == n:
            break
    return out
#== check
import itertools
assert first_matching(itertools.count(), lambda x: x % 3 == 0, 3) == [0, 3, 6]
def squares():
    n = 1
    while True:
        yield n * n
        n += 1
source = squares()
assert first_matching(source, lambda x: x > 10, 2) == [16, 25]
assert next(source) == 36

#== problem: custom_iterator_class Countdown
#== right
class Countdown:
    def __init__(self, start):
        self.current = start

    def __iter__(self):
        return self

    def __next__(self):
        if self.current <= 0:
            raise StopIteration
        self.current -= 1
        return self.current + 1
#== wrong
class Countdown:
    def __init__(self, start):
        self.current = start

    def __iter__(self):
        return self

    def __next__(self):
        if self.current < 0:
            raise StopIteration
        self.current -= 1
        return self.current + 1
#== check
assert list(Countdown(3)) == [3, 2, 1]
c = Countdown(2)
assert iter(c) is c
assert next(c) == 2
assert c.current == 1
seen = []
for i, value in enumerate(Countdown(2)):
    seen.append((i, value))
assert seen == [(0, 2), (1, 1)]

#== problem: returned_by_a_generator collect_words
#== right
def collect_words(text):
    count = 0
    for word in text.split():
        count += 1
        yield word.lower()
    return count
#== wrong
def collect_words(text):
    yield from (word.lower() for word in text.split())
#== check
gen = collect_words("The Cat Sat")
words = []
while True:
    try:
        words.append(next(gen))
    except StopIteration as stop:
        total = stop.value
        break
assert words == ["the", "cat", "sat"]
assert total == 3

#== problem: chunks_of_an_iterable chunked
#== right
import itertools
def chunked(iterable, size):
    it = iter(iterable)
    while chunk := list(itertools.islice(it, size)):
        yield chunk
#== wrong
def chunked(iterable, size):
    values = list(iterable)
    for i in range(0, len(values) - size + 1, size):
        yield values[i:i + size]
#== check
assert list(chunked(range(5), 2)) == [[0, 1], [2, 3], [4]]
assert list(chunked(iter("abc"), 3)) == [["a", "b", "c"]]
a, b = chunked((x * x for x in range(4)), 2)
assert a == [0, 1] and b == [4, 9]

#== problem: reversible_range_view Table
#== right
class Table:
    def __init__(self, rows):
        self._rows = list(rows)

    def __iter__(self):
        for row in self._rows:
            yield dict(row)

    def __reversed__(self):
        return iter(self._rows[::-1])

    def columns(self):
        return {key: [row[key] for row in self._rows] for key in self._rows[0]}.items()
#== check
t = Table([{"a": 1, "b": 2}, {"a": 3, "b": 4}])
assert [row["a"] for row in t] == [1, 3]
assert [row["a"] for row in t] == [1, 3], "can be iterated twice"
assert next(reversed(t)) == {"a": 3, "b": 4}
assert dict(t.columns()) == {"a": [1, 3], "b": [2, 4]}
