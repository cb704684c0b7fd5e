# expect: pass
# check: assert f(1) == 2
# limits: cpu_s=5 wall_s=30
from typing import *
T = TypeVar("T")
class P(Protocol):
    def g(self, x: Optional[List[int]]) -> Dict[str, Any]: ...
def f(x): return x + 1
