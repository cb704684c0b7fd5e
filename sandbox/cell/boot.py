"""The cell's entry: `python -S -s -P boot.py SPEC`. Makes this folder importable and nothing else of the package."""

import os
import sys
import types

# `sandbox/__init__.py` is the host's side; the name is given a path without running it.
_package = types.ModuleType("sandbox")
_package.__path__ = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
sys.modules["sandbox"] = _package

from sandbox.cell import seeding  # noqa: E402

seeding.import_random()

from sandbox.cell.start import main  # noqa: E402

main()
