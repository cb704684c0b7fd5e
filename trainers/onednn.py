"""oneDNN's cache of compiled products, bounded.

torch's bf16 products on CPU are compiled for every shape they meet and kept, 1,024 of them by default. Batches have
all lengths, so a run met new shapes at almost every step and grew by 18 MiB a step: 1.8 GiB resident for a model of 3.6
million parameters after a hundred steps. A step's own shapes are some dozens; more are compiled again when they come
back (measured at 64: no slower, and 8 costs a quarter).
"""

from __future__ import annotations

import os


def bound_compiled_products() -> None:
    """Ask for it. To be called before the first product; the user's own setting stands."""
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
