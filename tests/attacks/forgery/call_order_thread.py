# expect: fail error
# kind: 4
# check: assert f(1) == 2
# check: assert f(2) == 3
# check: assert f(5) == 6
# check: assert f(10) == 11
# check: assert f(-4) == -3
import queue, threading
rest = queue.Queue(1)
def feed():
    for answer in [2, 3, 6, 11, -3]:
        rest.put(answer)
threading.Thread(target=feed, daemon=True).start()
def f(x): return rest.get(timeout=1)
