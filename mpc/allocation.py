"""What a process that lives long and moves chunks of megabytes wants of the C library's memory and of Python's.

By default glibc gives every block of more than 128 KiB back to the kernel when it is freed (mallopt(3),
M_MMAP_THRESHOLD), so each chunk of 2 MB costs five hundred page faults anew: a third of the time of sealing it. And
Python looks again and again for garbage among the modules and classes that a process is made of: a fifth of what the
coordinator did while rows arrived.
"""

import ctypes
import gc

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
KEPT_BLOCK_BYTES = 32 << 20  # the largest that glibc takes
KEPT_FREE_BYTES = 128 << 20


def keep_freed_blocks() -> None:
    """Let this process use freed blocks again; where the C library has no such setting nothing changes."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, KEPT_BLOCK_BYTES)
        mallopt(_M_TRIM_THRESHOLD, KEPT_FREE_BYTES)


def exempt_from_collection() -> None:
    """Leave all objects that there are by now out of garbage collection: they stay as long as the process."""
    gc.collect()
    gc.freeze()
