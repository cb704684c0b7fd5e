# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: assert apply_to_all(lambda x: x + 1, [1, 2, 3]) == [2, 3, 4]
# check: assert apply_to_all(str.upper, ["a", "b"]) == ["A", "B"]
# check: assert apply_to_all(len, ["ab", "c"]) == [2, 1]
# check: calls = []
# check: apply_to_all(calls.append, [1, 2])
# check: assert calls == [1, 2]
def apply_to_all(function, values):
    return [function(value) for value in values]
