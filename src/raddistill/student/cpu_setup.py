"""Memory, threads and processes of a run.

Training frees and allocates the same large blocks in every step. glibc returns each to the kernel and faults it in again;
tcmalloc keeps them, which gives more tokens per second and a quarter less memory. docs/log.md, 2026-11-23, says why glibc's
settings do not help. tcmalloc is optional.
"""

import ctypes.util
import os
import sys

from raddistill.errors import InputError


def preload_tcmalloc() -> None:
    """Restarts this command with tcmalloc preloaded, if the library is found. Linux only.

    Does nothing if LD_PRELOAD is set, so it restarts only once.
    """
    library = find_tcmalloc()
    if library and sys.platform.startswith("linux") and "LD_PRELOAD" not in os.environ:
        os.execve(sys.executable, sys.orig_argv, os.environ | {"LD_PRELOAD": library})  # noqa: S606 (our own command line)


def find_tcmalloc() -> str | None:
    """Returns the name of the library tcmalloc; None if it is not installed."""
    return ctypes.util.find_library("tcmalloc_minimal") or ctypes.util.find_library("tcmalloc")


def train_on_all_gpus() -> None:
    """Restarts this module with one process for each GPU, if there are several; CUDA_VISIBLE_DEVICES limits them."""
    import torch

    gpus = torch.cuda.device_count()
    if gpus > 1 and "LOCAL_RANK" not in os.environ:  # torchrun sets it
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(gpus)]
        os.execv(sys.executable, [sys.executable, *launch, *sys.orig_argv[1:]])  # noqa: S606 (our own command line)


def refuse_sharding(quantization: str) -> None:
    """Refuses a launch by `accelerate launch` that divides the weights of the base among processes.

    Raises:
        InputError: the environment asks for FSDP or DeepSpeed.
    """
    launched = [name for name in ("FSDP", "DEEPSPEED") if os.environ.get(f"ACCELERATE_USE_{name}", "").lower() in ("1", "true")]
    if not launched:
        return
    # Both versions of FSDP, tried on a CPU: losses call layers beneath the wrapper (`forward.hidden_states`), which meet pieces.
    why = f"{launched[0]} divides the base among the GPUs, and the losses here need it whole"
    if launched[0] == "FSDP" and os.environ.get("FSDP_VERSION") == "2" and quantization == "nf4":
        why = (
            "FSDP2 with nf4 loses the weights' quant_state and computes wrong outputs without an error (bitsandbytes issue 1945)"
        )
    raise InputError(f"{why}. Start by `dvc repro train` or torchrun: each GPU holds the whole base (docs/gpu.md)")


def use_threads(threads: int) -> None:
    """Sets torch's threads. 0: all cores that this process may use; torch's default counts all cores of the machine."""
    import torch

    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(threads or available)
