"""oneDNN's cache of compiled products, bounded.

torch's bf16 products on CPU are compiled for every shape they meet and kept, 1,024 of them by default. Batches have
all lengths, so a run meets new shapes at almost every step: 120 steps of the pocket model, 3.6 million parameters,
peaked at 2.27 GiB resident, at 1.80 GiB with 128 kept; 25 steps at 1.34 GiB, at 1.14 GiB with 64 kept, in the same CPU
time. With 8, fewer than a step's own shapes, a quarter more CPU time went into compiling them again.
"""

from __future__ import annotations

import os


def bound_compiled_products() -> None:
    """Ask for it. To be called before the first product; the user's own setting stands."""
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
