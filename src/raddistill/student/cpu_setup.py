"""Memory and threads of a CPU run.

Training frees and asks for the same large blocks every step; glibc hands each back to the kernel and faults it in again.
tcmalloc keeps them: more tokens per second and a quarter less memory (docs/log.md, 2026-11-23, also on why glibc's own settings
are no way out). It is used where it is found and never required.
"""

import ctypes.util
import os
import sys


def preload_tcmalloc() -> None:
    """Starts this very command again with tcmalloc preloaded, where the library is found; else does nothing.

    Linux only. Does nothing where something is preloaded already (so it happens once).
    """
    library = ctypes.util.find_library("tcmalloc_minimal") or ctypes.util.find_library("tcmalloc")
    if library and sys.platform.startswith("linux") and "LD_PRELOAD" not in os.environ:
        os.execve(sys.executable, sys.orig_argv, os.environ | {"LD_PRELOAD": library})  # noqa: S606 (our own command line)


def use_threads(threads: int) -> None:
    """Sets torch's threads; 0 means all cores this process may use (torch alone would count the whole machine's)."""
    import torch

    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(threads or available)
