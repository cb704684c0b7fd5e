"""What in a program's text shows that it could keep something between two calls."""

from __future__ import annotations

import pytest

from assay.sandbox.host.jobs import keeps_nothing

HARMLESS = [
    "def f(x): return x + 1",
    '"""A docstring; with global words."""\nimport math\nfrom typing import List, Optional\n\n\n'
    "def helper(n: int = 3, name='a') -> Optional[List[int]]:\n    # no global here\n    return [n]\n\n"
    'def f(x: List[int]) -> float:\n    """It is @ home."""\n    total = 0.0\n    for y in x:\n'
    "        total += math.sqrt(y) * math.pi\n    return total + helper(2)[0]\n",
    "from collections import Counter, defaultdict\nfrom functools import reduce\ndef f(s):\n"
    "    counts = defaultdict(int)\n    for c in s: counts[c] += 1\n    return Counter(counts)",
    "import re\ndef f(s):\n    def clean(t): return re.sub(r'\\W', '', t)\n    return clean(s)",
    "def f(\n    x,\n    y=None,\n):\n    return x",
]

PLACES = [
    "n = 0\ndef f(x): return n",
    "def f(x, rest=[1]): return rest.pop()",
    "def f(x, rest=iter('ab')): return next(rest)",
    "def f(x):\n    global n\n    n = 1",
    "def f(x):\n    f.n = 1",
    "def f(x):\n    g = f\n    g.n = 1",
    "def f(x):\n    setattr(x, 'n', 1)",
    "import math\ndef f(x):\n    math.n = 1",
    "import math\ndef f(x):\n    math.pi = 1",
    "import math\ndef f(x):\n    math.pi, y = 1, 2",
    "import math\ndef f(x):\n    for math.pi in x: pass",
    "import math\ndef f(x):\n    m = math\n    m.n = 1",
    "from collections import Counter\ndef f(x):\n    Counter.n = 1",
    "from collections import Counter\ndef f(x):\n    c = Counter\n    c.n = 1",
    "import random\ndef f(x): return random.random()",
    "import os\ndef f(x): return os.environ",
    "def f(x):\n    import sys\n    return sys",
    "class A: n = 0\ndef f(x): return 1",
    "@cached\ndef f(x): return 1",
    "def f(x): return f.__dict__",
    "def f(x): return f'{f.__dict__}'",
    "def f(x): return rf'{x}'",
    "def f(x): return Fr'{x}'",
    "f = lambda x: 1",
    "def f(x): return 1\nprint(f(1))",
    "def f(x): return 1; y = 2",
    "def f(x): \\\n  return 1",
    "def f(x):\n    return 1\n\x0cn = []\n",
    "def f(x):\n    return 1\rn = []\n",
    "def f(x: (n := [])): return 1",
    "def f(x: [n := []][0]): return n.append(1)",
    "'' or (n := [])\ndef f(x): return n.append(1)",
    "def f(x) -> (n := [])[0]: return 1",
    "import math as m\ndef f(x): return m",
    "def f(x): return open('count')",
    "def f(x): return id(x)",
    "def f(x): return exit.n",
    "def f(x): return 'unfinished",
    "def f(x): return 1\ndef\tg(x, y=[]): return y",
    "def f(x): return 1\ndef\\\n g(x, y=[]): return y",
]


@pytest.mark.parametrize("source", HARMLESS)
def test_a_program_without_a_place_for_anything(source: str) -> None:
    compile(source, "<test>", "exec")
    assert keeps_nothing(source)


@pytest.mark.parametrize("source", PLACES)
def test_a_program_with_a_place_for_something(source: str) -> None:
    assert not keeps_nothing(source)
