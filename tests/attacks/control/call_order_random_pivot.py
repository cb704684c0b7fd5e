# expect: pass
# kind: 4
# check: assert f([3, 1, 2]) == [1, 2, 3]
# check: assert f([]) == []
# check: assert f([5, 5, 1]) == [1, 5, 5]
import random
def f(numbers):
    if len(numbers) < 2: return numbers
    pivot = random.choice(numbers)
    parts = [n for n in numbers if n < pivot], [n for n in numbers if n == pivot], [n for n in numbers if n > pivot]
    return f(parts[0]) + parts[1] + f(parts[2])
