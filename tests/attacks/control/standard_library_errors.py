# expect: pass
# check: import json, statistics
# check: try: f("{")
# check: except json.JSONDecodeError as error: assert error.pos == 1
# check: else: raise AssertionError
# check: try: f("[]")
# check: except statistics.StatisticsError: pass
# check: else: raise AssertionError
# check: assert f("[1, 2]") == 1.5
# kind: 10
import json
import statistics


def f(text):
    return statistics.mean(json.loads(text))
