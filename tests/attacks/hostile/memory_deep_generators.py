# expect: error memory timeout
# limits: cpu_s=3 wall_s=4
def tree(n):
    if n:
        yield from tree(n - 1)
        yield from tree(n - 1)
kept = []
while True:
    g = tree(400)
    try: next(g)
    except (StopIteration, RecursionError): pass
    kept.append((g, bytearray(1 << 20)))
