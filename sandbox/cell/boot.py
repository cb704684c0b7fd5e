"""The cell's entry: `python -S -s -P boot.py SPEC`. Makes this folder importable and nothing else of the package."""

import os
import sys
import types

# `assay/__init__.py` and `sandbox/__init__.py` are the host's side; the names are given paths without running them.
_assay, _sandbox = types.ModuleType("assay"), types.ModuleType("assay.sandbox")
_assay.__path__ = []
_sandbox.__path__ = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
sys.modules |= {"assay": _assay, "assay.sandbox": _sandbox}

from assay.sandbox.cell import seeding  # noqa: E402

seeding.import_random()

from assay.sandbox.cell.start import main  # noqa: E402

main()
