"""One setting of the C library that a process which moves chunks of megabytes wants.

By default glibc gives every block of more than 128 KiB back to the kernel when it is freed (mallopt(3),
M_MMAP_THRESHOLD), so each chunk of 2 MB costs five hundred page faults anew: a third of the time of sealing it.
"""

import ctypes

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
