"""Memory and threads of a CPU run.

Training frees and asks for the same large blocks every step. glibc hands each back to the kernel and faults it in again:
602,083 page faults and 2 to 10 s of system time in a first step, some hundred thousand a step where shapes vary. Told to keep what was freed,
it faults none, and plain glibc is as fast as tcmalloc (docs/log.md, 2026-11-23). Nothing needs to be installed or preloaded.
"""

import ctypes
import os
import sys

# <malloc.h> of glibc
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Makes glibc keep freed memory in the process; False where the C library is another one (nothing is changed then)."""
    if not sys.platform.startswith("linux") or "LD_PRELOAD" in os.environ:  # a preloaded allocator has its own ways
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return all([mallopt(_M_MMAP_MAX, 0), mallopt(_M_TRIM_THRESHOLD, 2**31 - 1), mallopt(_M_TOP_PAD, 64 * 2**20)])


def use_threads(threads: int) -> None:
    """Sets torch's threads; 0 means all cores this process may use (torch alone would count the whole machine's)."""
    import torch

    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(threads or available)
