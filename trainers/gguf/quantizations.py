"""The types a GGUF file can be made of, by the names their users know."""

from __future__ import annotations

from trainers.gguf.native import llama_cpp
from trainers.gguf.write import PLAIN_TYPES

# K-quants and their kin, by llama.cpp's own quantizer: LLAMA_FTYPE_MOSTLY_* in small letters. Types that it makes only
# with an importance matrix (q2_k_s, iq…) are left out.
NATIVE_TYPES = (
    *("q6_k", "q5_k_m", "q5_k_s", "q5_0", "q5_1", "q4_k_m", "q4_k_s", "q4_0", "q4_1"),
    *("q3_k_l", "q3_k_m", "q3_k_s", "q2_k"),
)
QUANTIZATIONS = (*PLAIN_TYPES, *NATIVE_TYPES)


def native_type(name: str) -> int:
    """llama.cpp's number for a type of NATIVE_TYPES."""
    return int(getattr(llama_cpp(), f"LLAMA_FTYPE_MOSTLY_{name.upper()}"))
