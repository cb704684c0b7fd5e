# expect: fail error timeout memory output
# check: assert f(1) == 2
# limits: cpu_s=2 wall_s=6
import sys
for name, module in list(sys.modules.items()):
    if name.startswith("sandbox") and hasattr(module, "run_checks"):
        module.run_checks = lambda checks, namespace: (1, len(checks), "")
        module.code_of = lambda *a, **k: 1
def f(x): return 0
