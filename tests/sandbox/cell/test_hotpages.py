"""Pinning the pages that samples write to: it works where io_uring does, and samples cannot tell."""

from __future__ import annotations

import ctypes

import pytest

from assay.sandbox.cell.kernel import libc
from assay.sandbox.host.cells import CellOptions
from assay.sandbox.host.embedded import start_cells
from assay.sandbox.host.layout import host_layout


def has_io_uring() -> bool:
    ring = libc.syscall(425, 1, ctypes.create_string_buffer(120))
    if ring < 0:
        return False
    import os

    os.close(ring)
    return True


@pytest.mark.isolated
def test_pages_are_pinned_where_the_kernel_allows_it() -> None:
    (cell,), _ = start_cells(CellOptions(host_layout(())), "shared", allow_weak=False)
    cell.close()
    pinned = cell.report["pinned_pages"]
    if not has_io_uring():
        assert pinned == 0
        pytest.skip("this kernel has no io_uring for us: samples are forked without pinned pages")
    assert 50 < pinned < 2000
