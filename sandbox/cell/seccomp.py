"""The seccomp filter: an allow-list of system calls for x86-64 and aarch64, the rest answered with EPERM.

A classic BPF program over `struct seccomp_data` (Linux Documentation/userspace-api/seccomp_filter.rst). Calls that
depend on an argument come first; the plain ones follow, which the kernel answers from a bitmap since 5.11, so the
length of the list costs nothing. What is absent on purpose: namespaces, mounts, ptrace and friends, foreign
prlimit, keys, SysV and POSIX IPC, bpf, io_uring, memfd_create (it fills memory past rlimits), device nodes,
extended attributes, every socket but UNIX ones, what tells of the machine (statfs, sysinfo, times), and what tells or
changes which pages of a file are in memory (mincore, fadvise, readahead, cachestat and some arguments of others).
"""

from __future__ import annotations

import ctypes
import errno
import struct
from typing import Any

from assay.sandbox.cell.kernel import MACHINE, NEWPID, NEWTIME, NEWUSER, check, libc

_ALLOW = {
    "x86_64": """
accept=43 accept4=288 access=21 alarm=37 arch_prctl=158 bind=49 brk=12 chdir=80 chmod=90 close=3
close_range=436 connect=42 copy_file_range=326 creat=85 dup=32 dup2=33 dup3=292 epoll_create=213
epoll_create1=291 epoll_ctl=233 epoll_pwait=281 epoll_pwait2=441 epoll_wait=232 eventfd=284 eventfd2=290
execve=59 exit=60 exit_group=231 faccessat=269 faccessat2=439 fallocate=285 fchdir=81 fchmod=91 fchmodat=268
fchmodat2=452 fdatasync=75 fstat=5 fsync=74 ftruncate=77 futex=202 get_robust_list=274 getcpu=309 getcwd=79
getdents=78 getdents64=217 getegid=108 geteuid=107 getgid=104 getgroups=115 getitimer=36 getpeername=52
getpgid=121 getpgrp=111 getpid=39 getppid=110 getpriority=140 getrandom=318 getresgid=120 getresuid=118
getrlimit=97 getrusage=98 getsid=124 getsockname=51 gettid=186 gettimeofday=96 getuid=102 kill=62 link=86
linkat=265 listen=50 lseek=8 lstat=6 membarrier=324 mkdir=83 mkdirat=258 mmap=9 mprotect=10 mremap=25
msync=26 munmap=11 nanosleep=35 newfstatat=262 pause=34 pipe=22 pipe2=293 poll=7 ppoll=271 pread64=17
preadv=295 pselect6=270 pwrite64=18 pwritev=296 read=0 readlink=89 readlinkat=267 readv=19 recvfrom=45
recvmmsg=299 recvmsg=47 rename=82 renameat=264 renameat2=316 restart_syscall=219 rmdir=84 rseq=334
rt_sigpending=127 rt_sigprocmask=14 rt_sigreturn=15 rt_sigsuspend=130 rt_sigtimedwait=128
sched_get_priority_max=146 sched_get_priority_min=147 sched_getaffinity=204 sched_getparam=143
sched_getscheduler=145 sched_rr_get_interval=148 sched_yield=24 select=23 sendfile=40 sendmmsg=307
sendmsg=46 sendto=44 set_robust_list=273 set_tid_address=218 setitimer=38 setpgid=109 setrlimit=160
setsid=112 shutdown=48 sigaltstack=131 signalfd=282 signalfd4=289 stat=4 statx=332 symlink=88 symlinkat=266
tgkill=234 time=201 timer_delete=226 timer_getoverrun=225 timer_gettime=224 timer_settime=223
timerfd_create=283 timerfd_gettime=287 timerfd_settime=286 tkill=200 truncate=76 umask=95 uname=63 unlink=87
unlinkat=263 utime=132 utimensat=280 utimes=235 wait4=61 waitid=247 write=1 writev=20
""",
    "aarch64": """
accept=202 accept4=242 bind=200 brk=214 chdir=49 close=57 close_range=436 connect=203 copy_file_range=285
dup=23 dup3=24 epoll_create1=20 epoll_ctl=21 epoll_pwait=22 epoll_pwait2=441 eventfd2=19 execve=221 exit=93
exit_group=94 faccessat=48 faccessat2=439 fallocate=47 fchdir=50 fchmod=52 fchmodat=53 fchmodat2=452
fdatasync=83 fstat=80 fsync=82 ftruncate=46 futex=98 get_robust_list=100 getcpu=168 getcwd=17 getdents64=61
getegid=177 geteuid=175 getgid=176 getgroups=158 getitimer=102 getpeername=205 getpgid=155 getpid=172
getppid=173 getpriority=141 getrandom=278 getresgid=150 getresuid=148 getrlimit=163 getrusage=165 getsid=156
getsockname=204 gettid=178 gettimeofday=169 getuid=174 kill=129 linkat=37 listen=201 lseek=62 membarrier=283
mkdirat=34 mmap=222 mprotect=226 mremap=216 msync=227 munmap=215 nanosleep=101 newfstatat=79 pipe2=59
ppoll=73 pread64=67 preadv=69 pselect6=72 pwrite64=68 pwritev=70 read=63 readlinkat=78 readv=65 recvfrom=207
recvmmsg=243 recvmsg=212 renameat=38 renameat2=276 restart_syscall=128 rseq=293
rt_sigpending=136 rt_sigprocmask=135 rt_sigreturn=139 rt_sigsuspend=133 rt_sigtimedwait=137
sched_get_priority_max=125 sched_get_priority_min=126 sched_getaffinity=123 sched_getparam=121
sched_getscheduler=120 sched_rr_get_interval=127 sched_yield=124 sendfile=71 sendmmsg=269 sendmsg=211
sendto=206 set_robust_list=99 set_tid_address=96 setitimer=103 setpgid=154 setrlimit=164 setsid=157
shutdown=210 sigaltstack=132 signalfd4=74 statx=291 symlinkat=36 tgkill=131 timer_delete=111
timer_getoverrun=109 timer_gettime=108 timer_settime=110 timerfd_create=85 timerfd_gettime=87
timerfd_settime=86 tkill=130 truncate=45 umask=166 uname=160 unlinkat=35 utimensat=88 wait4=260 waitid=95
write=64 writev=66
""",
}
_SPECIAL = {
    "x86_64": {
        "clone": 56, "fork": 57, "vfork": 58, "clone3": 435, "socket": 41, "socketpair": 53, "prlimit64": 302,
        "ioctl": 16, "prctl": 157, "fcntl": 72, "open": 2, "openat": 257, "madvise": 28, "clock_gettime": 228,
        "clock_getres": 229, "clock_nanosleep": 230, "timer_create": 222, "flock": 73,
        "preadv2": 327, "pwritev2": 328, "getsockopt": 55, "setsockopt": 54, "capset": 126, "rt_sigaction": 13,
    },
    "aarch64": {
        "clone": 220, "clone3": 435, "socket": 198, "socketpair": 199, "prlimit64": 261, "ioctl": 29,
        "prctl": 167, "fcntl": 25, "openat": 56, "madvise": 233, "clock_gettime": 113, "clock_getres": 114,
        "clock_nanosleep": 115, "timer_create": 107, "flock": 32, "preadv2": 286,
        "pwritev2": 287, "getsockopt": 209, "setsockopt": 208, "capset": 91, "rt_sigaction": 134,
    },
}  # fmt: skip
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SECCOMP = {"x86_64": 317, "aarch64": 277}

_LOAD, _JUMP_EQ, _JUMP_GE, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_RET_ALLOW, _RET_ERRNO, _RET_KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_OFFSET_NUMBER, _OFFSET_ARCH, _OFFSET_ARGUMENTS = 0, 4, 16

_CLONE_THREAD = 0x00010000
_CLONE_NEW_ANY = 0x7E020000
_CLONE_PIDFD = 0x1000
_X32_BIT = 0x40000000
# TCGETS TIOCGPGRP TIOCGWINSZ FIONREAD FIONBIO FIONCLEX FIOCLEX
_IOCTLS = (0x5401, 0x540F, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
# PR_GET_PDEATHSIG PR_GET_DUMPABLE PR_SET_NAME PR_GET_NAME PR_CAPBSET_READ PR_GET_NO_NEW_PRIVS
_PRCTLS = (2, 3, 15, 16, 23, 39)
# F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_GETLK F_DUPFD_CLOEXEC F_GETPIPE_SZ F_GET_SEALS
_FCNTLS = (0, 1, 2, 3, 4, 5, 1030, 1032, 1034)
_F_SETLK, _F_SETLKW = 6, 7
# Of madvise: NORMAL DONTNEED FREE DONTFORK DOFORK HUGEPAGE NOHUGEPAGE DONTDUMP DODUMP WIPEONFORK KEEPONFORK. The others
# fill the page cache, empty it or tell what is in it; RANDOM and SEQUENTIAL would steer what reading fills it with.
_ADVICES, _ADVICES_IGNORED = (0, 4, 8, 10, 11, 14, 15, 16, 17, 18, 19), (1, 2)
# RWF_HIPRI RWF_DSYNC RWF_SYNC RWF_APPEND; RWF_NOWAIT tells whether a page is in memory.
_READ_FLAGS = 0x17
_O_TMPFILE = 0x400000
# SO_COOKIE SO_NETNS_COOKIE SO_PEERPIDFD, and SO_PASSPIDFD: numbers that the kernel counts up over all processes.
_SOCKET_COUNTERS, _SO_PASSPIDFD = (57, 71, 77), 76
# CPU clocks of process 1, which is the server, and of a process's own, as unsigned numbers: see clock_getcpuclockid.
_CLOCKS_OF_INIT, _CLOCKS_OF_OTHERS, _OWN_CLOCKS = 0xFFFFFFF0, 0x80000000, 0xFFFFFFF8
_AF_UNIX = 1
_SIGCHLD = 17

_Instruction = tuple[int, int, int, int]


def supported() -> bool:
    return MACHINE in _ALLOW


def _return(action: int) -> _Instruction:
    return (_RETURN, 0, 0, action)


def _deny(number: int = errno.EPERM) -> _Instruction:
    return _return(_RET_ERRNO | number)


_ALLOWED = _return(_RET_ALLOW)
# Answered with success, and not done.
_IGNORED = _return(_RET_ERRNO)


def _argument(index: int) -> _Instruction:
    return (_LOAD, 0, 0, _OFFSET_ARGUMENTS + 8 * index)


def _argument_in(index: int, values: tuple[int, ...], otherwise: _Instruction) -> list[_Instruction]:
    """Allow when the low half of an argument is one of `values` (the calls so filtered take 32-bit arguments)."""
    return [_argument(index), *_when_in(values, _ALLOWED), otherwise]


def _when_in(values: tuple[int, ...], answer: _Instruction) -> list[_Instruction]:
    return [instruction for value in values for instruction in ((_JUMP_EQ, 0, 1, value), answer)]


def _argument_without(index: int, bits: int, otherwise: int) -> list[_Instruction]:
    """Allow when no bit of `bits` is set in the low half of an argument."""
    return [_argument(index), (_JUMP_SET, 0, 1, bits), _deny(otherwise), _ALLOWED]


def _arguments_are(*values: int) -> list[_Instruction]:
    """Allow when the low halves of the first arguments are `values`."""
    body: list[_Instruction] = []
    for index, value in enumerate(values):
        body += [_argument(index), (_JUMP_EQ, 1, 0, value & 0xFFFFFFFF), _deny()]
    return [*body, _ALLOWED]


def _clock(allow_processes: bool) -> list[_Instruction]:
    """All clocks but CPU clocks of a process that is not a sample's. The server, which is under this filter where
    samples may have processes, reads its samples'; there it is process 1."""
    denied = _deny()
    first = _CLOCKS_OF_INIT if allow_processes else _CLOCKS_OF_OTHERS
    return [_argument(0), (_JUMP_GE, 0, 2, first), (_JUMP_GE, 1, 0, _OWN_CLOCKS), denied, _ALLOWED]


def _keep_default_of(signal_number: int) -> list[_Instruction]:
    """Let `rt_sigaction` change every signal's action but one's, for which it succeeds and changes nothing.

    A parent that ignores SIGCHLD, or has SA_NOCLDWAIT, leaves its children to the kernel, and what they used is then
    charged to nobody. So that never takes effect: all that end stay until someone waits for them, process 1 at last.
    """
    pretend = _deny(0)
    return [
        _argument(0),
        (_JUMP_EQ, 1, 0, signal_number),
        _return(_RET_ALLOW),
        _argument(1),  # the new action's address; none only asks for the present one
        (_JUMP_EQ, 0, 3, 0),
        (_LOAD, 0, 0, _OFFSET_ARGUMENTS + 8 + 4),
        (_JUMP_EQ, 0, 1, 0),
        _return(_RET_ALLOW),
        pretend,
    ]


def _rules(allow_processes: bool, give_up: tuple[int, int]) -> dict[str, list[_Instruction]]:
    """The calls whose answer depends on their arguments, each with a body that always returns.

    Locks on files are a means to signal to a sample that runs at the same time in another cell, for both read the same
    libraries. The filter cannot tell which file a descriptor is of, and programs that lock a file of their own only
    want to be told that they have it: so no lock is ever taken, and each is told that it was.
    """
    fork = _ALLOWED if allow_processes else _deny()
    if allow_processes:
        clone = _argument_without(0, _CLONE_NEW_ANY | _CLONE_PIDFD, errno.EPERM)
    else:
        clone = [_argument(0), (_JUMP_SET, 0, 1, _CLONE_THREAD), _ALLOWED, _deny()]
    clock = _clock(allow_processes)
    read_flags = _argument_without(5, 0xFFFFFFFF & ~_READ_FLAGS, errno.EPERM)
    return {
        # A file without a name in the scratch folder would leave no trace but the next file's number.
        "openat": _argument_without(2, _O_TMPFILE, errno.EOPNOTSUPP),
        "open": _argument_without(1, _O_TMPFILE, errno.EOPNOTSUPP),
        "clock_gettime": clock,
        "fcntl": [_argument(1), *_when_in((_F_SETLK, _F_SETLKW), _IGNORED),
                  *_argument_in(1, _FCNTLS, _deny(errno.EINVAL))],
        "ioctl": _argument_in(1, _IOCTLS, _deny(errno.ENOTTY)),
        "madvise": [_argument(2), *_when_in(_ADVICES_IGNORED, _IGNORED), *_argument_in(2, _ADVICES, _deny())],
        "capset": _arguments_are(*give_up),
        "clone": clone,
        "fork": [fork],
        "vfork": [fork],
        # Its flags lie in memory, out of a filter's sight; libc falls back to clone.
        "clone3": [_deny(errno.ENOSYS)],
        "socket": _argument_in(0, (_AF_UNIX,), _deny(errno.EAFNOSUPPORT)),
        "socketpair": _argument_in(0, (_AF_UNIX,), _deny(errno.EAFNOSUPPORT)),
        "getsockopt": [_argument(2), *_when_in(_SOCKET_COUNTERS, _deny()), _ALLOWED],
        "setsockopt": [_argument(2), *_when_in((_SO_PASSPIDFD,), _deny()), _ALLOWED],
        "prlimit64": _argument_in(0, (0,), _deny()),
        "prctl": _argument_in(0, _PRCTLS, _deny()),
        "rt_sigaction": _keep_default_of(_SIGCHLD),
        "clock_getres": clock,
        "clock_nanosleep": clock,
        "timer_create": clock,
        "flock": [_IGNORED],
        "preadv2": read_flags,
        "pwritev2": read_flags,
    }  # fmt: skip


def build(*, allow_processes: bool = True, give_up: tuple[int, int] = (0, 0)) -> bytes:
    """The filter's instructions; `allow_processes=False` leaves threads but denies new processes.

    `give_up` are the arguments of capset with which a sample gives up the server's capability, for which the filter
    is already there. Others may call it like that, too: there is nothing to gain by it.
    """
    special, plain = _SPECIAL[MACHINE], _ALLOW[MACHINE].split()
    program: list[_Instruction] = [
        (_LOAD, 0, 0, _OFFSET_ARCH),
        (_JUMP_EQ, 1, 0, _AUDIT_ARCH[MACHINE]),
        _return(_RET_KILL_PROCESS),
        (_LOAD, 0, 0, _OFFSET_NUMBER),
    ]
    if MACHINE == "x86_64":
        program += [(_JUMP_GE, 0, 1, _X32_BIT), _return(_RET_KILL_PROCESS)]
    for name, body in _rules(allow_processes, give_up).items():
        if name in special:
            program += [(_JUMP_EQ, 0, len(body), special[name]), *body]
    for pair in plain:
        program += [(_JUMP_EQ, 0, 1, int(pair.partition("=")[2])), _return(_RET_ALLOW)]
    program.append(_deny())
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


# Calls of a cell's start, on top of those that samples may make: some with arguments that the cell's filter denies.
_AT_START = (
    "arch_prctl capget fstatfs io_uring_register io_uring_setup landlock_add_rule landlock_create_ruleset "
    "landlock_restrict_self memfd_create pidfd_open seccomp set_tid_address setgroups setresgid setresuid statfs"
)


def container_profile() -> dict[str, Any]:
    """A container's seccomp profile, in the form of the Docker engine's: what a cell needs from its start on."""
    plain = {pair.partition("=")[0] for table in _ALLOW.values() for pair in table.split()}
    plain |= set(_SPECIAL["x86_64"]) - {"clone", "clone3", "socket", "socketpair"}
    unix = {"index": 0, "value": _AF_UNIX, "op": "SCMP_CMP_EQ"}
    not_new = {"index": 0, "value": _CLONE_NEW_ANY, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    new_pid = {"index": 0, "value": _CLONE_NEW_ANY, "valueTwo": NEWPID, "op": "SCMP_CMP_MASKED_EQ"}
    nested = [{"index": 0, "value": NEWUSER | clocks, "op": "SCMP_CMP_EQ"} for clocks in (0, NEWTIME)]
    allow = "SCMP_ACT_ALLOW"
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "archMap": [{"architecture": f"SCMP_ARCH_{name.upper()}", "subArchitectures": []} for name in _ALLOW],
        "syscalls": [
            {"names": sorted(plain | set(_AT_START.split())), "action": allow},
            {"names": ["clone"], "action": allow, "args": [not_new]},
            # For the server: a user namespace inside the container, and a PID namespace in it for each sample.
            {"names": ["clone"], "action": allow, "args": [new_pid]},
            *({"names": ["unshare"], "action": allow, "args": [flags]} for flags in nested),
            {"names": ["socket", "socketpair"], "action": allow, "args": [unix]},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS},
        ],
    }


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def install(instructions: bytes) -> None:
    """Put this process and all it forks under the filter, for good; needs no_new_privs."""
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    program = _Program(len(instructions) // 8, ctypes.addressof(buffer))
    check(libc.syscall(_SECCOMP[MACHINE], 1, 0, ctypes.byref(program)), "seccomp(SECCOMP_SET_MODE_FILTER)")
