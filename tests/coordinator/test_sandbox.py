import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = {
    "socket": "import socket; socket.socket()",
    "connect": "left.connect('/nowhere')",
    "bind": "left.bind('/tmp/nowhere')",
    "read a file": "open('/etc/passwd')",
    "write a file": "open('/tmp/x', 'w')",
    "remove a file": "os.unlink('/tmp/none')",
    "make a folder": "os.mkdir('/tmp/none')",
    "fork": "os.fork()",
    "vfork and exec": "subprocess.run(['/bin/true'], check=True)",
    "execve": "os.execv('/bin/true', ['true'])",
    "kill another": "os.kill(os.getppid(), 0)",
    "ptrace": "call(101, 0, 0, 0, 0)",
    "bpf": "call(321, 0, 0, 0)",
    "io_uring_setup": "call(425, 1, 0)",
    "keyctl": "call(250, 0, 0, 0)",
    "mount": "call(165, 0, 0, 0, 0, 0)",
    "unshare": "call(272, 0x10000000)",
    "process_vm_readv": "call(310, os.getppid(), 0, 0, 0, 0, 0)",
    "memory that executes": "mmap.mmap(-1, 4096, prot=mmap.PROT_EXEC | mmap.PROT_READ)",
    "more memory": "bytearray(2 << 30)",
    "raise a limit": "resource.setrlimit(resource.RLIMIT_DATA, (-1, -1))",
}
CHILD = """
import ctypes, mmap, os, resource, socket, subprocess, sys
from mpc.coordinator import sandbox
left, right = socket.socketpair()
libc = ctypes.CDLL(None, use_errno=True)
def call(*numbers):
    if libc.syscall(*map(ctypes.c_long, numbers)) < 0:
        raise OSError(ctypes.get_errno(), "syscall")
sandbox.enter(sandbox.Bounds(memory_mib=64, cpu_seconds=10, file_mib=0))
try:
    exec(sys.argv[1])
except (PermissionError, MemoryError):
    os._exit(7)
except OSError as failure:
    os._exit(7 if failure.errno in (1, 38) else 8)
except ValueError:
    os._exit(7)
os._exit(0)
"""


def _child(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, env={**os.environ, **environment}, check=False,
        capture_output=True,
    )  # fmt: skip


@pytest.mark.parametrize("what", FORBIDDEN)
def test_a_child_fails_at_each_forbidden_thing(what: str) -> None:
    done = _child(CHILD, FORBIDDEN[what])
    assert done.returncode == 7, done.stderr.decode()


def test_a_child_may_compute_in_threads() -> None:
    done = _child(CHILD, "import threading; t = threading.Thread(target=sum, args=([1],)); t.start(); t.join()")
    assert done.returncode == 0, done.stderr.decode()


def test_threads_from_before_are_confined_as_well() -> None:
    program = """
import os, threading
from mpc.coordinator import sandbox
entered, found = threading.Event(), []
def early():
    entered.wait()
    try:
        open("/etc/passwd").close()
    except PermissionError:
        found.append("refused")
thread = threading.Thread(target=early)
thread.start()
sandbox.enter(sandbox.Bounds(memory_mib=64, cpu_seconds=10, file_mib=0))
entered.set()
thread.join()
os._exit(7 if found else 0)
"""
    done = _child(program)
    assert done.returncode == 7, done.stderr.decode()


def test_without_libseccomp_nothing_runs() -> None:
    program = """
import sys
sys.modules["pyseccomp"] = None
from mpc.coordinator import sandbox
from mpc.errors import Misconfigured
try:
    sandbox.enter(sandbox.Bounds(64, 10, 0))
except Misconfigured as refusal:
    sys.exit(7 if refusal.code == "sandbox.unavailable" else 1)
"""
    assert _child(program).returncode == 7


def test_a_filter_that_does_not_hold_refuses() -> None:
    program = """
import sys, types
import pyseccomp
class Idle(pyseccomp.SyscallFilter):
    def load(self): pass
pyseccomp.SyscallFilter = Idle
from mpc.coordinator import sandbox
from mpc.errors import Misconfigured
try:
    sandbox.enter(sandbox.Bounds(64, 10, 0))
except Misconfigured:
    sys.exit(7)
"""
    assert _child(program).returncode == 7


def test_a_socket_pair_from_before_still_works() -> None:
    left, right = socket.socketpair()
    with left, right:
        assert left.fileno() != right.fileno()
