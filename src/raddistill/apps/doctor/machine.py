"""Checks what is installed on this machine. They need no pipeline folder."""

import ctypes.util
import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Literal, NamedTuple

from raddistill import paths
from raddistill.apps.label.options import label_sets, lexicons
from raddistill.labelsets import load_labels
from raddistill.student.models import compute_dtype
from raddistill.tasks.names import TASKS
from raddistill.teachers.rules.reader import Reader

SHOWN = 5  # packages in one line
_PIN = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)


class Verdict(NamedTuple):
    """What a check says, and, unless that is ok, what to do: a command to type or a key to edit."""

    check: str
    state: Literal["ok", "warning", "error"]
    message: str
    fix: str = ""


def check_python() -> Iterator[Verdict]:
    """Which Python and which raddistill run? pip refuses a Python that is too old."""
    version = metadata.version("raddistill")
    yield Verdict("python", "ok", f"{platform.python_version()} in {sys.prefix}; raddistill {version} in {paths.package()}")


def check_packages() -> Iterator[Verdict]:
    """Is every required package there, in a version that fits, and is it the one that the results were made with?"""
    from packaging.requirements import Requirement

    pins = paths.shipped() / paths.CONSTRAINTS
    pinned = {name.lower(): version for name, version in _PIN.findall(pins.read_text(encoding="utf-8"))}
    lines = map(Requirement, metadata.requires("raddistill") or [])
    needed = [each for each in lines if each.marker is None or each.marker.evaluate({"extra": ""})]
    found = {each.name: version_of(each.name) for each in needed}
    for each in needed:
        if not each.specifier.contains(found[each.name] or "0", prereleases=True):
            message = f"{each.name}{each.specifier} is needed, {found[each.name] or 'none'} is installed"
            yield Verdict("packages", "error", message, f"pip install '{each.name}{each.specifier}' -c {pins}")
    pairs = {name: (version, pinned.get(name.lower(), version)) for name, version in found.items() if version}
    if other := [f"{name} {version} ({pin})" for name, (version, pin) in pairs.items() if version != pin]:
        message = f"{len(other)} are not the versions of constraints.txt, so results may differ: {', '.join(other[:SHOWN])}"
        yield Verdict("packages", "warning", message, f"pip install raddistill -c {pins}; in a clone `make env`")
    elif len(pairs) == len(needed):
        yield Verdict("packages", "ok", f"{len(needed)} required, all in the versions of constraints.txt")


def version_of(name: str) -> str | None:
    """Returns the installed version without its local tag (torch 2.13.0+cpu is 2.13.0); None if there is none."""
    try:
        return metadata.version(name).partition("+")[0]
    except metadata.PackageNotFoundError:
        return None


def check_torch() -> Iterator[Verdict]:
    """Does torch load, and does it see the GPU? `label`, `show` and the like need neither."""
    try:
        import torch
    except (ImportError, OSError) as error:  # missing, or one of its libraries is
        yield Verdict(
            "torch", "error", f"torch cannot be imported ({type(error).__name__})", "pip install --force-reinstall torch"
        )
        return
    if not torch.cuda.is_available():
        dtype = str(compute_dtype()).removeprefix("torch.")
        if shutil.which("nvidia-smi"):
            message = f"torch {torch.__version__} sees no GPU, though nvidia-smi is there (its CUDA: {torch.version.cuda})"
            yield Verdict("torch", "warning", message, "install the build for your CUDA: PyTorch's install page has the command")
        else:
            yield Verdict("torch", "ok", f"{torch.__version__}, no GPU; {os.cpu_count()} cores, computes in {dtype}")
        return
    for number in range(torch.cuda.device_count()):
        free, total = (size / 2**30 for size in torch.cuda.mem_get_info(number))
        capability = torch.cuda.get_device_capability(number)
        can = ", ".join(f"{'' if capability >= least else 'no '}{what}" for what, least in (("bf16", (8, 0)), ("fp8", (8, 9))))
        name = torch.cuda.get_device_name(number)
        yield Verdict("torch", "ok", f"{torch.__version__}, GPU {number}: {name}, {free:.0f} of {total:.0f} GiB free, {can}")
    if importlib.util.find_spec("liger_kernel") is None:
        yield Verdict(
            "liger", "warning", "Liger's kernels are not installed; training is slower", "pip install 'raddistill[gpu]'"
        )
    else:
        yield Verdict("liger", "ok", f"liger-kernel {version_of('liger-kernel')}")


def check_tcmalloc() -> Iterator[Verdict]:
    """Is tcmalloc there? On Linux `train` starts with it (student/cpu_setup.py)."""
    library = ctypes.util.find_library("tcmalloc_minimal") or ctypes.util.find_library("tcmalloc")
    if library or not sys.platform.startswith("linux"):
        yield Verdict("tcmalloc", "ok", library or "not used on this system")
    else:
        message = "not found; training on CPU is slower and takes more memory"
        yield Verdict(
            "tcmalloc", "warning", message, "sudo apt-get install libtcmalloc-minimal4; elsewhere the package gperftools"
        )


def check_rules() -> Iterator[Verdict]:
    """Do the lexicon and the label set load that `label` and `show` take by default?"""
    labels = load_labels(label_sets()["chest_13"])
    for task in TASKS:
        Reader(task, lexicons()["tuned"], labels, "findings_and_impression")
    whose = "this folder's" if paths.in_pipeline() else "the installed package's"
    yield Verdict("rules", "ok", f"{whose}: {', '.join(lexicons())}; label sets {', '.join(label_sets())}")
