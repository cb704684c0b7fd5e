"""The cell's entry: `python -S -s -P boot.py [NAME]`. Makes this folder importable and nothing else of the package.

With a NAME, which shows in lists of processes, it builds the cell from outside; without one, it runs in it.
"""

import os
import sys
import types

# `assay/__init__.py` and `sandbox/__init__.py` are the host's side; the names are given paths without running them.
_assay, _sandbox = types.ModuleType("assay"), types.ModuleType("assay.sandbox")
_assay.__path__ = []
_sandbox.__path__ = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
sys.modules |= {"assay": _assay, "assay.sandbox": _sandbox}

if len(sys.argv) > 1:
    from assay.sandbox.cell.outside import main
else:
    from assay.sandbox.cell import seeding

    seeding.import_random()

    from assay.sandbox.cell.start import main

main()
