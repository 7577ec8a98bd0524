"""What a child gives up before it touches rows: everything but its memory, its threads and its open descriptors.

``enter`` is called once imports are done and inputs are open. After it, the child opens no file and no socket,
starts no program and no process, makes no memory executable, and reaches no other process. The filter is a list
of what is allowed (seccomp(2), libseccomp): a call that nobody thought of is refused with ``EPERM``.

If any part cannot be set up, or does not hold when it is tried, ``enter`` refuses and the child must end.
"""

import ctypes
import errno
import fcntl
import os
import resource
import socket
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from mpc.errors import Misconfigured

_PR_SET_DUMPABLE = 4
_PR_GET_SECCOMP = 21
_PR_SET_NO_NEW_PRIVS = 38
_PR_GET_NO_NEW_PRIVS = 39
_SECCOMP_MODE_FILTER = 2
_CLONE_THREAD = 0x00010000
_PROT_EXEC = 0x4
_MIB = 1 << 20

_ALLOWED = (
    # memory (executable memory is refused below)
    "brk", "munmap", "mremap", "madvise", "mincore", "membarrier", "get_mempolicy", "mbind",
    # threads
    "futex", "set_robust_list", "get_robust_list", "rseq", "sched_yield", "sched_getaffinity", "sched_getparam",
    "sched_getscheduler", "sched_get_priority_max", "sched_get_priority_min", "gettid", "getpid", "getppid", "getcpu",
    "exit", "exit_group", "set_tid_address",
    # descriptors that are open already
    "read", "readv", "pread64", "preadv", "preadv2", "write", "writev", "pwrite64", "pwritev", "lseek", "close",
    "close_range", "fstat", "ftruncate", "fallocate", "dup", "dup2", "dup3", "sendmsg", "recvmsg", "sendto", "recvfrom",
    "shutdown", "getsockopt", "getsockname", "poll", "ppoll", "select", "pselect6", "epoll_create1", "epoll_ctl",
    "epoll_wait", "epoll_pwait", "eventfd2", "pipe2",
    # signals to itself, clocks, facts of the machine
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall", "nanosleep", "clock_nanosleep",
    "clock_gettime", "clock_getres", "gettimeofday", "time", "times", "getrusage", "getrandom", "sysinfo", "uname",
    "getuid", "geteuid", "getgid", "getegid", "getcwd",
)  # fmt: skip


@dataclass(frozen=True)
class Bounds:
    """What a child may use. ``memory_mib`` counts private memory on top of what the warm child already holds."""

    memory_mib: int
    cpu_seconds: int
    file_mib: int
    descriptors: int = 64


def enter(bounds: Bounds) -> None:
    """Give up everything but ``bounds``, or raise ``Misconfigured``; there is no way back."""
    filter_library = _libseccomp()
    try:
        _limit(bounds)
        _no_new_privileges()
        _load_filter(filter_library)
    except OSError as refusal:
        raise _unavailable(f"the kernel refused it ({errno.errorcode.get(refusal.errno or 0, 'unknown')})") from None
    _confirm()


def _libseccomp() -> ModuleType:
    try:
        import pyseccomp  # noqa: PLC0415 - its absence is this function's refusal, not an import error of the child
    except (ImportError, RuntimeError, OSError):
        raise _unavailable("libseccomp is not installed") from None
    return pyseccomp  # type: ignore[no-any-return]


def _limit(bounds: Bounds) -> None:
    # RLIMIT_DATA counts private writable memory since Linux 4.7, and shared read-only maps not: inputs that are
    # handed in by descriptor stay out of it.
    data = _private_bytes() + bounds.memory_mib * _MIB
    for limit, value in (
        (resource.RLIMIT_DATA, data),
        (resource.RLIMIT_CPU, bounds.cpu_seconds),
        (resource.RLIMIT_FSIZE, bounds.file_mib * _MIB),
        (resource.RLIMIT_NOFILE, bounds.descriptors),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))


def _private_bytes() -> int:
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - a file of the kernel
        for line in status:
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    raise _unavailable("the kernel does not tell the size of this process")


def _no_new_privileges() -> None:
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)


def _prctl(option: int, value: int = 0) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    answer = int(libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)))
    if answer < 0:
        raise OSError(ctypes.get_errno(), "prctl")
    return answer


def _load_filter(seccomp: ModuleType) -> None:
    rules: Any = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    # A filter is its thread's own unless it is asked to reach those that run already: they share all memory.
    rules.set_attr(seccomp.Attr.CTL_TSYNC, 1)
    for name in _ALLOWED:
        _allow(rules, seccomp, name)
    # fork and vfork are clone without CLONE_THREAD. clone3 hides its flags from a filter: ENOSYS makes libc use clone.
    _allow(rules, seccomp, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, _CLONE_THREAD, _CLONE_THREAD))
    rules.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
    for name in ("mmap", "mprotect"):
        _allow(rules, seccomp, name, seccomp.Arg(2, seccomp.MASKED_EQ, _PROT_EXEC, 0))
    _allow(rules, seccomp, "prlimit64", seccomp.Arg(0, seccomp.EQ, 0), seccomp.Arg(2, seccomp.EQ, 0))
    _allow(rules, seccomp, "tgkill", seccomp.Arg(0, seccomp.EQ, os.getpid()))
    _allow(rules, seccomp, "fcntl", seccomp.Arg(1, seccomp.LE, fcntl.F_SETFL))
    _allow(rules, seccomp, "fcntl", seccomp.Arg(1, seccomp.EQ, fcntl.F_DUPFD_CLOEXEC))
    for option in (_PR_GET_SECCOMP, _PR_GET_NO_NEW_PRIVS):
        _allow(rules, seccomp, "prctl", seccomp.Arg(0, seccomp.EQ, option))
    rules.load()


def _allow(rules: Any, seccomp: ModuleType, name: str, *arguments: object) -> None:  # noqa: ANN401 - untyped library
    # A name that this architecture does not have needs no rule: what is not allowed is refused.
    if seccomp.resolve_syscall(seccomp.system_arch(), name) >= 0:
        rules.add_rule(seccomp.ALLOW, name, *arguments)


def _confirm() -> None:
    if _prctl(_PR_GET_SECCOMP) != _SECCOMP_MODE_FILTER or _prctl(_PR_GET_NO_NEW_PRIVS) != 1:
        raise _unavailable("the kernel does not confirm it")
    trials: tuple[Callable[[], object], ...] = (socket.socket, lambda: os.open("/", os.O_RDONLY))
    for forbidden in trials:
        try:
            forbidden()
        except PermissionError:
            continue
        raise _unavailable("a forbidden call went through")


def _unavailable(why: str) -> Misconfigured:
    return Misconfigured(
        "sandbox.unavailable", "a child cannot be confined, so nothing runs", why=why,
        remedy="install libseccomp2 on a kernel with seccomp filters",
    )  # fmt: skip
