# expect: pass
# kind: 4
# check: assert f(1) == 2
# check: assert f(10) == 29
# check: assert f(4) == 7
primes = [2, 3]
def f(n):
    while len(primes) < n:
        primes.append(next(k for k in range(primes[-1] + 2, 1 << 30, 2) if all(k % p for p in primes)))
    return primes[n - 1]
