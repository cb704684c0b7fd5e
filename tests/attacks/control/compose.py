# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: inc = lambda x: x + 1
# check: double = lambda x: x * 2
# check: assert compose(inc, double)(5) == 11
# check: assert compose(double, inc)(5) == 12
# check: assert compose()(7) == 7
# check: assert compose(str, len)([1, 2]) == "2"
def compose(*functions):
    def composed(x):
        for function in reversed(functions):
            x = function(x)
        return x
    return composed
