# expect: pass
# kind: 4
# check: numbers = [3, 1, 2]
# check: assert f(numbers) == 1
# check: assert numbers == [1, 2, 3]
# check: assert f([5, 4]) == 4
def f(numbers):
    numbers.sort()
    return numbers[0]
