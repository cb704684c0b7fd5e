"""The cell's entry: `python -S -s -P boot.py SPEC`. Makes this folder importable and nothing else of the package."""

import os
import sys
import types

from assay.sandbox.cell import seeding
from assay.sandbox.cell.start import main

# `assay/__init__.py` and `sandbox/__init__.py` are the host's side; the names are given paths without running them.
_sandbox = types.ModuleType("assay.sandbox")
_sandbox.__path__ = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
_assay = types.ModuleType("assay")
_assay.__path__ = []
sys.modules["assay"] = _assay
sys.modules["assay.sandbox"] = _sandbox


seeding.import_random()


main()
