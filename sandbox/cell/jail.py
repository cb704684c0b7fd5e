"""The file system a sample sees: a read-only root of bound folders, four devices and one scratch folder; no /proc."""

from __future__ import annotations

import ctypes
import os
import struct

from assay.sandbox.cell import kernel
from assay.sandbox.cell.kernel import check, libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Landlock takes rules for what lies above a mount point, and none for the mount point itself, as long as what is
# mounted there may change. So the scratch folder has a folder to itself, and its own name is a link.
SCRATCH = "/tmp"
SCRATCH_MOUNT = "/scratch/tmp"
SCRATCH_PARENT = "/scratch"
PACKAGES = "/packages"
CELL_FOLDER = "/cell"
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_DEVICE_NUMBERS = ((1, 3), (1, 5), (1, 8), (1, 9))
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
    elif not os.path.exists(destination):
        os.makedirs(os.path.dirname(destination), exist_ok=True)
        os.close(os.open(destination, os.O_CREAT | os.O_WRONLY, 0o444))
    kernel.mount(source, destination, None, kernel.MS_BIND | kernel.MS_REC)
    # A device node stays usable on a read-only mount, but not on a nodev one.
    is_device = target in DEVICES
    kernel.restrict_mount(
        destination,
        kernel.MS_RDONLY | kernel.MS_NOSUID | (kernel.MS_NOEXEC if is_device else kernel.MS_NODEV),
    )


def enter(
    binds: Mapping[str, str], links: Mapping[str, str], hidden: Sequence[str], replaced: Mapping[str, bytes]
) -> None:
    """Make the new root in this mount namespace and move into it; nothing of the old one stays reachable.

    `binds` maps a path in the new root to its source on the host, `links` a path to what it points to, `hidden` are
    bound folders to cover with emptiness, and `replaced` maps bound files to what they are to hold instead.
    """
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    root = _place(list(binds.values()))
    kernel.mount("tmpfs", root, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m,mode=755")
    for folder in ("/dev", "/old", SCRATCH_PARENT, SCRATCH_MOUNT):
        os.mkdir(root + folder)
    os.symlink(SCRATCH_MOUNT.lstrip("/"), root + SCRATCH)
    for target, source in sorted(binds.items()):
        _bind(root, source, target)
    for target, points_to in links.items():
        os.symlink(points_to, root + target)
    for folder in hidden:
        cover(root + folder)
    for target, text in replaced.items():
        _replace(root, target, text)
    _make_devices(root)
    kernel.pivot_root(root, root + "/old")
    os.chdir("/")
    kernel.unmount("/old", kernel.MNT_DETACH)
    os.rmdir("/old")
    kernel.restrict_mount("/", kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV, below=False)


def cover(folder: str) -> None:
    flags = kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("tmpfs", folder, "tmpfs", flags, "size=4k,mode=755")


def _replace(root: str, target: str, text: bytes) -> None:
    name = root + "/replaced"
    with open(name, "wb") as file:
        file.write(text)
    os.chmod(name, 0o444)
    kernel.mount(name, root + target, None, kernel.MS_BIND)
    kernel.restrict_mount(root + target, kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV)
    os.unlink(name)


def _make_devices(root: str) -> None:
    """Devices of the cell's own, where they can be made: the host's have the time of the machine's start."""
    flags = kernel.MS_NOSUID | kernel.MS_NOEXEC
    kernel.mount("tmpfs", root + "/dev", "tmpfs", flags, "size=64k,mode=755")
    _fill_devices(root)
    kernel.restrict_mount(root + "/dev", kernel.MS_RDONLY | flags, below=False)


def _fill_devices(root: str) -> None:
    try:
        for device, numbers in zip(DEVICES, _DEVICE_NUMBERS, strict=True):
            os.mknod(root + device, 0o20666, os.makedev(*numbers))
            os.chmod(root + device, 0o666)
            os.close(os.open(root + device, os.O_RDONLY))
    except OSError:
        pass
    else:
        return
    for device in DEVICES:
        if os.path.lexists(root + device):
            os.unlink(root + device)
        if os.path.exists(device):
            _bind(root, device, device)


def mount_scratch(target: str, size: int) -> None:
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC | kernel.MS_NOATIME
    kernel.mount("tmpfs", target, "tmpfs", flags, f"size={size},nr_inodes={_SCRATCH_INODES},mode=1777")
    os.utime(target, (0, 0))


# Landlock: read-only libraries, a writable scratch folder, and nothing outside, by rules on inodes.
#
# Source: Linux Documentation/userspace-api/landlock.rst. ABI 4 adds TCP, ABI 6 the scoping of signals and of
# abstract UNIX sockets; on older kernels the rule set is made of what exists.

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_CREATE_VERSION = 1
_RULE_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_NET_TCP = 3
_SCOPE_ABSTRACT_UNIX_AND_SIGNAL = 3
SIGNAL_SCOPE_ABI = 6
_RIGHTS_SINCE = ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV))


def abi() -> int:
    """The kernel's Landlock version, 0 where it has none."""
    return max(0, int(libc.syscall(_CREATE, None, ctypes.c_size_t(0), _CREATE_VERSION)))


def rule_set(readable: Sequence[str], writable: Sequence[str], version: int) -> int:
    """A rule-set descriptor: read and execute beneath `readable`, all but device nodes beneath `writable`."""
    handled = ((1 << 13) - 1) | sum(right for since, right in _RIGHTS_SINCE if version >= since)
    attribute = struct.pack(
        "=QQQ",
        handled,
        _NET_TCP if version >= 4 else 0,
        _SCOPE_ABSTRACT_UNIX_AND_SIGNAL if version >= SIGNAL_SCOPE_ABI else 0,
    )[: 8 if version < 4 else 16 if version < 6 else 24]
    rules = check(
        libc.syscall(_CREATE, attribute, ctypes.c_size_t(len(attribute)), 0), "landlock_create_ruleset"
    )
    everything = handled & ~(_MAKE_CHAR | _MAKE_BLOCK | _IOCTL_DEV)
    for paths, rights in ((readable, _EXECUTE | _READ_FILE | _READ_DIR), (writable, everything)):
        for path in paths:
            _allow(rules, path, rights if os.path.isdir(path) else rights & _FILE_RIGHTS)
    return rules


def _allow(rules: int, path: str, rights: int) -> None:
    target = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        check(
            libc.syscall(_ADD_RULE, rules, _RULE_PATH_BENEATH, struct.pack("=Qi", rights, target), 0),
            f"landlock_add_rule {path}",
        )
    finally:
        os.close(target)


def restrict(rules: int) -> None:
    """Put this process and all it forks under `rules`, for good; needs no_new_privs."""
    check(libc.syscall(_RESTRICT, rules, 0), "landlock_restrict_self")
