"""Landlock: read-only libraries, a writable scratch folder, and nothing outside, by rules on inodes.

Source: Linux Documentation/userspace-api/landlock.rst. ABI 4 adds TCP, ABI 6 the scoping of signals and of
abstract UNIX sockets; on older kernels the rule set is made of what exists.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence

from sandbox.cell.kernel import check, libc

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_CREATE_VERSION = 1
_RULE_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_NET_TCP = 3
_SCOPE_ABSTRACT_UNIX_AND_SIGNAL = 3
SIGNAL_SCOPE_ABI = 6


def abi() -> int:
    """The kernel's Landlock version, 0 where it has none."""
    return max(0, int(libc.syscall(_CREATE, None, ctypes.c_size_t(0), _CREATE_VERSION)))


def _handled(version: int) -> int:
    rights = (1 << 13) - 1
    if version >= 2:
        rights |= _REFER
    if version >= 3:
        rights |= _TRUNCATE
    if version >= 5:
        rights |= _IOCTL_DEV
    return rights


def rule_set(readable: Sequence[str], writable: Sequence[str], version: int) -> int:
    """A rule-set descriptor: read and execute beneath `readable`, all but device nodes beneath `writable`."""
    handled = _handled(version)
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
            _allow(rules, path, rights if os.path.isdir(path) else rights & _file_rights(version))
    return rules


def _file_rights(version: int) -> int:
    return _EXECUTE | _WRITE_FILE | _READ_FILE | (_TRUNCATE if version >= 3 else 0)


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
