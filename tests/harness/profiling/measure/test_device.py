"""What NVML is asked, with a device of known answers in its place; and what is told where there is none."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from assay.harness.hardware import visible_devices
from assay.harness.profiling.measure import Job
from assay.harness.profiling.measure import process_memory as memory
from assay.harness.profiling.measure.process_memory import Device, digest, open_device, snapshot
from assay.harness.profiling.measure.watch import environment

MIB = 1 << 20
OURS, BEFORE, LATER, OUTSIDE = 70_001, 70_002, 70_003, 70_004


class NVMLError(Exception):
    pass


@dataclass
class FakeNvml:
    """Devices by number, each a dictionary of its processes; `deaf` are the questions that it refuses."""

    devices: list[dict[int, int | None]]
    deaf: set[str] = field(default_factory=set)
    open: int = 0

    NVMLError = NVMLError

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetUUID(self, handle: int) -> str:  # noqa: N802
        return f"GPU-8f6d-{handle}"

    def nvmlDeviceGetHandleByUUID(self, name: str) -> str:  # noqa: N802
        if name != "MIG-5":
            raise NVMLError("no such device")
        return name

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(used=500 * MIB)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[Any]:  # noqa: N802
        return [SimpleNamespace(pid=p, usedGpuMemory=n) for p, n in self.devices[handle].items()]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:  # noqa: N802
        if "energy" in self.deaf:
            raise NVMLError("not supported")
        return 123_000


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml([{}])

    def opened() -> FakeNvml:
        fake.open += 1
        return fake

    monkeypatch.setattr(memory, "open_nvml", opened)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return fake


def opened(pid: int = OURS) -> Device:
    device = open_device(pid)
    assert device is not None
    return device


def test_our_process_is_told_from_foreign_ones(nvml: FakeNvml) -> None:
    nvml.devices[0] = {BEFORE: 10 * MIB}
    device = opened()
    nvml.devices[0] |= {OURS: 300 * MIB, LATER: 5 * MIB}
    assert device.sample() == {
        "device_bytes": 500 * MIB,
        "process_bytes": 300 * MIB,
        "energy_mj": 123_000,
        "foreign_pids": [BEFORE, LATER],
    }
    device.close()
    assert nvml.open == 0


def test_in_a_container_the_first_newcomer_is_taken_for_ours(nvml: FakeNvml) -> None:
    """NVML tells ids of the host there, and ours is not among them."""
    nvml.devices[0] = {BEFORE: 10 * MIB}
    device = opened()
    assert device.sample()["process_bytes"] is None
    nvml.devices[0] |= {OUTSIDE: 300 * MIB}
    assert (device.sample()["process_bytes"], device.sample()["foreign_pids"]) == (300 * MIB, [BEFORE])
    nvml.devices[0] |= {LATER: 5 * MIB}
    assert device.sample()["foreign_pids"] == [BEFORE, LATER]


def test_a_device_that_does_not_tell_is_none_and_no_zero(nvml: FakeNvml) -> None:
    device = opened()
    nvml.devices[0] = {OURS: None}
    nvml.deaf.add("energy")
    found = device.sample()
    assert (found["energy_mj"], found["process_bytes"], found["foreign_pids"]) == (None, None, [])


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        (None, [0, 1]),
        ("1,0", [1, 0]),
        ("1", [1]),
        ("GPU-8f6d-1", [1]),
        ("GPU-8f6d", []),  # of both
        ("MIG-5", ["MIG-5"]),
        ("MIG-6", []),
        ("1,7,0", [1]),
        ("", []),
        ("-1", []),
        ("GPU-9", []),
    ],
)
def test_the_devices_that_cuda_sees(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, visible: str | None, seen: list[Any]
) -> None:
    nvml.devices.append({})
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert visible_devices(nvml) == seen


def test_the_device_that_cuda_takes_first_is_watched(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml.devices.append({})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    assert opened().handle == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert open_device(OURS) is None
    assert nvml.open == 1  # the one that is still watched


@pytest.mark.parametrize(
    ("device", "ours", "child"),
    [
        ("auto", {}, "0"),
        ("cuda", {"CUDA_VISIBLE_DEVICES": "3,1"}, "3"),
        ("cpu", {}, ""),
        ("auto", {"A": "b"}, "0"),
    ],
)
def test_a_measured_process_sees_the_one_gpu_that_is_watched(
    device: Any, ours: dict[str, str], child: str
) -> None:
    """transformers' Trainer spreads a batch over all GPUs that it sees."""
    given = environment(Job(name="x", random_config={}, device=device), ours)
    assert given["CUDA_VISIBLE_DEVICES"] == child
    assert given.keys() == ours.keys() | {"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"}
    exact = environment(Job(name="x", random_config={}, exact_memory=True), {})
    assert "MALLOC_MMAP_THRESHOLD_" in exact


def test_without_a_device_there_is_nothing_to_watch(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml.devices.clear()
    assert open_device(OURS) is None
    assert nvml.open == 0
    monkeypatch.setattr(memory, "open_nvml", lambda: None)
    assert open_device(OURS) is None


def test_a_snapshot_says_what_filled_the_allocator() -> None:
    def block(size: int, state: str) -> dict[str, Any]:
        return {"size": size, "state": state}

    segments = [
        {
            "total_size": 20 * MIB,
            "blocks": [block(8 * MIB, "active_allocated"), block(8 * MIB, "active_allocated")],
        },
        {
            "total_size": 30 * MIB,
            "blocks": [block(12 * MIB, "active_allocated"), block(18 * MIB, "inactive")],
        },
    ]
    found = digest(segments)
    assert (found["reserved_bytes"], found["allocated_bytes"]) == (50 * MIB, 28 * MIB)
    assert found["largest_free_block_bytes"] == 18 * MIB
    assert found["largest_holders"] == [
        {"block_bytes": 8 * MIB, "blocks": 2, "bytes": 16 * MIB},
        {"block_bytes": 12 * MIB, "blocks": 1, "bytes": 12 * MIB},
    ]


def test_a_snapshot_without_a_gpu_is_of_the_host() -> None:
    found = snapshot()
    assert found["host"]["rss_bytes"] > MIB
    assert found["host_available_bytes"] > MIB
    assert "device_free_bytes" not in found
