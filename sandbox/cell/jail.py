"""The file system a sample sees: a read-only root of bound folders, four devices and one scratch folder; no /proc."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from sandbox.cell import kernel
from sandbox.cell.kernel import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_PRIVATE, MS_RDONLY, MS_REC

SCRATCH = "/tmp"
PACKAGES = "/packages"
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_SCRATCH_INODES = 4096
# A folder to build the new root on; it is covered in this mount namespace only, and nothing is written to it.
PLACES = ("/mnt", "/srv", "/media", "/opt", "/sys", "/proc")


def _place(sources: Sequence[str]) -> str:
    for place in PLACES:
        if os.path.isdir(place) and not any(s == place or s.startswith(place + "/") for s in sources):
            return place
    raise OSError(
        f"no folder to build the new root on: none of {', '.join(PLACES)} exists and is free of {sources}"
    )


def _bind(root: str, source: str, target: str) -> None:
    destination = root + target
    if os.path.isdir(source):
        os.makedirs(destination, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(destination), exist_ok=True)
        os.close(os.open(destination, os.O_CREAT | os.O_WRONLY, 0o444))
    kernel.mount(source, destination, None, MS_BIND | MS_REC)
    # A device node stays usable on a read-only mount, but not on a nodev one.
    is_device = target in DEVICES
    kernel.restrict_mount(destination, MS_RDONLY | MS_NOSUID | (MS_NOEXEC if is_device else MS_NODEV))


def enter(
    binds: Mapping[str, str], links: Mapping[str, str], hidden: Sequence[str], scratch_bytes: int
) -> None:
    """Make the new root in this mount namespace and move into it; nothing of the old one stays reachable.

    `binds` maps a path in the new root to its source on the host, `links` a path to what it points to, and
    `hidden` are bound folders to cover with emptiness.
    """
    kernel.mount("none", "/", None, MS_REC | MS_PRIVATE)
    root = _place(list(binds.values()))
    kernel.mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")
    for folder in ("/dev", "/old", SCRATCH):
        os.mkdir(root + folder)
    for target, source in sorted(binds.items()):
        _bind(root, source, target)
    for target, points_to in links.items():
        os.symlink(points_to, root + target)
    for folder in hidden:
        kernel.mount("tmpfs", root + folder, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV, "size=0,mode=755")
    for device in DEVICES:
        if os.path.exists(device):
            _bind(root, device, device)
    mount_scratch(root + SCRATCH, scratch_bytes)
    kernel.pivot_root(root, root + "/old")
    os.chdir("/")
    kernel.unmount("/old")
    os.rmdir("/old")
    kernel.restrict_mount("/", MS_RDONLY | MS_NOSUID | MS_NODEV, below=False)
    os.chdir(SCRATCH)


def mount_scratch(target: str, size: int) -> None:
    kernel.mount(
        "tmpfs",
        target,
        "tmpfs",
        MS_NOSUID | MS_NODEV | MS_NOEXEC,
        f"size={size},nr_inodes={_SCRATCH_INODES},mode=1777",
    )
