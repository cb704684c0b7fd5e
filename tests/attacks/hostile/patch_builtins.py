# expect: error
# limits: cpu_s=2 wall_s=6
import builtins
builtins.AssertionError = type("X", (BaseException,), {})
builtins.exec = lambda *a: None
builtins.compile = lambda *a: None
builtins.len = builtins.isinstance = builtins.type = None
