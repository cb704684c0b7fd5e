# expect: pass
import os, resource, time
def f(x):
    before = time.monotonic(), time.perf_counter(), time.process_time(), os.times().elapsed
    sum(range(1000))
    after = time.monotonic(), time.perf_counter(), time.process_time(), os.times().elapsed
    return x + all(b >= a for a, b in zip(before, after)) + 0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
