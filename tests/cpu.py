"""What the CPU under the tests computes in hardware, as torch reports it.

Where bf16 is emulated (AVX2 only), a matrix product in it takes 10 to 100 times as long as in fp32: a case that trains
in bf16 takes minutes instead of seconds. A test that needs bf16 itself is marked `bf16` and is skipped there with
`NO_BF16`; a test that needs only some type takes `fast_dtype()`.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

NO_BF16 = "this CPU has no bf16 arithmetic (AVX-512 BF16, AMX or Arm BF16): emulated, the case takes minutes"


@cache
def bf16_is_fast() -> bool:
    """Return whether this CPU multiplies bf16 matrices in hardware; False without torch."""
    try:
        from torch.cpu import get_capabilities
    except ImportError:
        return False
    capabilities = get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def fast_dtype() -> Literal["bf16", "fp32"]:
    """Return the narrowest floating-point type that this CPU computes in hardware."""
    return "bf16" if bf16_is_fast() else "fp32"
