# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: from itertools import islice, takewhile
# check: assert list(islice(primes(), 5)) == [2, 3, 5, 7, 11]
# check: assert list(takewhile(lambda p: p < 20, primes())) == [2, 3, 5, 7, 11, 13, 17, 19]
# check: gen = primes()
# check: assert next(gen) == 2 and next(gen) == 3
def primes():
    n = 2
    while True:
        if all(n % d for d in range(2, int(n ** 0.5) + 1)):
            yield n
        n += 1
