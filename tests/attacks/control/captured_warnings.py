# expect: pass
# kind: 11
# limits: cpu_s=5 wall_s=30
# check: import warnings
# check: with warnings.catch_warnings(record=True) as caught:
# check:     warnings.simplefilter("always")
# check:     assert old_api(1) == 2
# check: assert len(caught) == 1
# check: assert issubclass(caught[0].category, DeprecationWarning)
# check: assert str(caught[0].message) == "use new_api"
import warnings
def old_api(x):
    warnings.warn("use new_api", DeprecationWarning, stacklevel=2)
    return x + 1
