"""A job's `memory_limit_bytes`: the cap of torch's CUDA allocator. Where nothing would keep it, it is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import BadInputError

if TYPE_CHECKING:
    from harness.profile.job import Job


def refusal(limit_bytes: int, why: str) -> str:
    return (
        f"a memory limit of {limit_bytes / 2**30:g} GiB cannot be kept: it caps torch's CUDA allocator, and {why}; "
        "leave --memory-limit out, or limit the whole process from outside, by a control group"
    )


def check_limit(job: Job) -> None:
    """Raise BadInputError where the job has a limit and torch has no CUDA device. No context is made on one."""
    import torch

    if job.memory_limit_bytes is not None and not torch.cuda.is_available():
        raise BadInputError(refusal(job.memory_limit_bytes, "torch sees no CUDA device here"))


def cap_allocator(job: Job) -> int | None:
    """Cap this process's allocator; the bytes that it may take, at most all the device has, or None without a limit.

    Raises BadInputError as `check_limit`.
    """
    check_limit(job)
    if job.memory_limit_bytes is None:
        return None
    import torch

    total = int(torch.cuda.get_device_properties(0).total_memory)
    cap = min(job.memory_limit_bytes, total)
    torch.cuda.set_per_process_memory_fraction(cap / total)
    return cap
