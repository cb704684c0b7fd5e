"""The Linux calls that Python does not wrap, through ctypes. x86-64 and aarch64."""

from __future__ import annotations

import ctypes
import errno
import os
from _signal import SIGCHLD  # type: ignore[import-not-found]

NEWTIME = 0x00000080
NEWNS = 0x00020000
NEWCGROUP = 0x02000000
NEWUTS = 0x04000000
NEWIPC = 0x08000000
NEWUSER = 0x10000000
NEWPID = 0x20000000
NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_NOATIME, MS_BIND, MS_REC, MS_PRIVATE = 1024, 4096, 16384, 1 << 18
MNT_DETACH = 2

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2

# Masks of capabilities.
CAP_FOWNER = 1 << 3
CAP_SYS_ADMIN = 1 << 21
CAP_CHECKPOINT_RESTORE = 1 << 40

MACHINE = os.uname().machine
_X86 = MACHINE == "x86_64"
_PIVOT_ROOT = 155 if _X86 else 41
_MOUNT_SETATTR = 442
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_MOUNT_ATTR = {MS_RDONLY: 1, MS_NOSUID: 2, MS_NODEV: 4, MS_NOEXEC: 8}

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> int:
    """Raise OSError naming `what` when a call returned a negative number."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    check(libc.unshare(flags), f"unshare({flags:#x})")


# Calls that hold the interpreter's lock, as fork has to.
_locked = ctypes.PyDLL(None, use_errno=True)
_CLONE = 56 if _X86 else 220


def fork_into(namespaces: int) -> int:
    """os.fork() into new `namespaces`. The C library does not know of it, so the child must not run what depends on its
    thread's number (abort and the like); its own children by os.fork() are as any."""
    python = ctypes.pythonapi
    python.PyOS_BeforeFork()
    flags = ctypes.c_ulong(namespaces | SIGCHLD)
    zero = ctypes.c_ulong(0)
    pid = int(_locked.syscall(_CLONE, flags, zero, zero, zero, zero))
    number = ctypes.get_errno()
    if pid == 0:
        python.PyOS_AfterFork_Child()
    else:
        python.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(number, f"clone({namespaces:#x}): {os.strerror(number)}")
    return pid


def mount(source: str | None, target: str, kind: str | None, flags: int = 0, data: str = "") -> None:
    check(
        libc.mount(
            source.encode() if source else None,
            target.encode(),
            kind.encode() if kind else None,
            ctypes.c_ulong(flags),
            data.encode() if data else None,
        ),
        f"mount {source or kind} on {target}",
    )


def restrict_mount(target: str, flags: int, *, below: bool = True) -> None:
    """Add `flags` to the mount at `target`, and to all `below` it, keeping those it has."""
    attributes = sum(bit for flag, bit in _MOUNT_ATTR.items() if flags & flag)
    argument = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
    result = libc.syscall(
        _MOUNT_SETATTR,
        _AT_FDCWD,
        target.encode(),
        _AT_RECURSIVE if below else 0,
        ctypes.byref(argument),
        ctypes.c_size_t(ctypes.sizeof(argument)),
    )
    if result == 0:
        return
    if ctypes.get_errno() != errno.ENOSYS:
        check(result, f"mount_setattr {target}")
    # Before Linux 5.12: remount, repeating the flags that a user namespace is not allowed to take off.
    kept = os.statvfs(target).f_flag & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount(None, target, None, MS_BIND | MS_REMOUNT | flags | kept)


def unmount(target: str, flags: int = 0) -> None:
    check(libc.umount2(target.encode(), flags), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    check(libc.syscall(_PIVOT_ROOT, new.encode(), old.encode()), f"pivot_root {new}")


def sethostname(name: bytes) -> None:
    check(libc.sethostname(name, len(name)), "sethostname")


def prctl(option: int, value: int = 0) -> None:
    zero = ctypes.c_ulong(0)
    check(libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero), f"prctl({option}, {value})")


def drop_bounding_set() -> None:
    """Take every capability out of the bounding set; needs CAP_SETPCAP in the user namespace."""
    for capability in range(64):
        if libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) < 0:
            if ctypes.get_errno() == errno.EINVAL and capability > 30:
                return
            check(-1, f"prctl(PR_CAPBSET_DROP, {capability})")


_ALL_CAPABILITIES = (1 << 41) - 1


def _capability_sets(kept: int, inheritable: int) -> ctypes.Array[ctypes.c_uint32]:
    parts = (
        kept & 0xFFFFFFFF,
        kept & 0xFFFFFFFF,
        inheritable & 0xFFFFFFFF,
        kept >> 32,
        kept >> 32,
        inheritable >> 32,
    )
    return (ctypes.c_uint32 * 6)(*parts)  # effective, permitted, inheritable


# Made once: giving up capabilities is done in each sample, and the system call filter lets these arguments through.
_CAPABILITY_HEADER = (ctypes.c_uint32 * 2)(0x20080522, 0)
_NO_CAPABILITIES = _capability_sets(0, 0)
GIVE_UP_ARGUMENTS = ctypes.addressof(_CAPABILITY_HEADER), ctypes.addressof(_NO_CAPABILITIES)


# Found once, too: each sample would look it up in the libraries again.
_capset = libc.capset
_capset.argtypes = (ctypes.c_void_p, ctypes.c_void_p)


def give_up_capabilities() -> None:
    if _capset(*GIVE_UP_ARGUMENTS) < 0:
        check(-1, "capset")


def let_inherit(kept: int) -> None:
    """Make capabilities inheritable, which they cannot become once out of the bounding set. Needs all of them."""
    check(_capset(_CAPABILITY_HEADER, _capability_sets(_ALL_CAPABILITIES, kept)), "capset")


def keep_capabilities_over_exec(kept: int) -> None:
    """Have the capabilities of the mask `kept` that the kernel knows, and no others, and have them still after
    execve."""
    check(_capset(_CAPABILITY_HEADER, _capability_sets(kept, kept)), "capset")
    zero = ctypes.c_ulong(0)
    for number in range(kept.bit_length()):
        if kept >> number & 1:
            libc.prctl(
                _PR_CAP_AMBIENT, ctypes.c_ulong(_PR_CAP_AMBIENT_RAISE), ctypes.c_ulong(number), zero, zero
            )
