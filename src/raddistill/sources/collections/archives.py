"""Reads the many small files of a tar archive, a zip or a folder, in a fixed order, with two processes if there are many.

Nothing is unpacked to disk, so a malicious name in an archive has no effect.
"""

import gzip
import io
import itertools
import multiprocessing
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from raddistill.errors import InputError

T = TypeVar("T")

LARGEST_TAR = 1 << 30  # bytes, unpacked; Open-i has 25 MB
LARGEST_FILE = 1 << 20  # bytes; a report has some thousand
CHUNK = 2000  # files per task of a process
MANY = 20_000  # files from which two processes save more than the half second that they take to start
PROCESSES = 2
AHEAD = 6  # chunks that are read at a time; bounds the memory
DAMAGED = "damaged in the archive"


class Content(NamedTuple):
    """The content of a file."""

    name: str
    content: bytes
    reason: str | None  # why it cannot be read, in a few fixed words


class Zip:
    """Iterates over the members of a zip whose names are `wanted`, by name, without unpacking it to disk.

    A member that is damaged, encrypted, empty or too large is yielded with the reason; it raises nothing.
    """

    def __init__(self, archive: Path, wanted: Callable[[str], bool]) -> None:
        """
        Raises:
            InputError: the archive is not a zip, or is truncated.
        """
        try:
            self._zip = zipfile.ZipFile(archive)  # closed by garbage collection, after the last iteration
        except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, struct.error):
            raise InputError(
                f"{archive} is truncated or no zip; download it again and compare its sha256 with the publisher's"
            ) from None
        self._size = archive.stat().st_size
        wanted_members = (info for info in self._zip.infolist() if wanted(info.filename))
        self.members = sorted(wanted_members, key=lambda info: (info.filename, info.header_offset))

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Content]:
        return map(self._unpack, self.members)

    def _unpack(self, info: zipfile.ZipInfo) -> Content:
        """Returns a member. Its stated size may be wrong, so at most one byte more than LARGEST_FILE is unpacked."""
        if info.flag_bits & 1:
            return Content(info.filename, b"", "encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return Content(info.filename, b"", "packed by an unknown method")
        if max(info.file_size, info.compress_size) > LARGEST_FILE:
            return Content(info.filename, b"", "file too large")
        if not 0 <= info.header_offset < self._size:  # the zip's directory is damaged
            return Content(info.filename, b"", DAMAGED)
        try:
            with self._zip.open(info) as member:
                content = member.read(LARGEST_FILE + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError, struct.error):
            return Content(info.filename, b"", DAMAGED)
        return _checked(info.filename, content)


class Folder:
    """The named files of a folder."""

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        self._folder, self._names = folder, sorted(names)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[Content]:
        return map(self._read, self._names)

    def _read(self, name: str) -> Content:
        try:
            with (self._folder / name).open("rb") as file:
                return _checked(name, file.read(LARGEST_FILE + 1))
        except OSError:
            return Content(name, b"", "cannot be read")


def _checked(name: str, content: bytes) -> Content:
    if len(content) > LARGEST_FILE:
        return Content(name, b"", "file too large")
    return Content(name, content, None if content.strip() else "empty file")


def each(files: Zip | Folder, parse: Callable[[Content], T]) -> Iterator[T]:
    """Yields `parse(file)` for every file, in order.

    `parse` must be a module-level function and must not raise: for MANY files or more it runs in other processes.
    """
    if len(files) < MANY or (os.cpu_count() or 1) < PROCESSES:
        yield from map(parse, files)
        return
    remaining = iter(files)
    # Spawned, not forked: polars has threads, and a forked process would hang.
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as pool:
        while ahead := list(itertools.islice(remaining, AHEAD * CHUNK)):
            yield from pool.map(parse, ahead, chunksize=CHUNK)


def tar_files(archive: Path, suffix: str) -> Iterator[tuple[str, bytes]]:
    """Yields name and content of every file of a .tgz whose name ends in `suffix`, in the archive's order.

    Of a file larger than LARGEST_FILE, it yields one byte more than that. tarfile silently takes a truncated or garbled header
    after the first member for the end of the archive, so this checks that only the two empty blocks of a proper end follow the
    last member.

    Raises:
        InputError: the archive is truncated, damaged or too large, or has names that point outside of it.
    """
    try:
        with gzip.open(archive) as stream:
            unpacked = stream.read(LARGEST_TAR + 1)
        if len(unpacked) > LARGEST_TAR:
            raise InputError(f"{archive} unpacks to more than {LARGEST_TAR} bytes; it is another archive")
        with tarfile.open(fileobj=io.BytesIO(unpacked)) as members:
            for member in members:
                if member.name.startswith("/") or ".." in member.name.split("/"):  # tarfile's own check came with Python 3.11.4
                    raise InputError(f"{archive}: {member.name} points outside of the archive; it is another archive")
                if member.isfile() and member.name.endswith(suffix):
                    content = members.extractfile(member)
                    assert content is not None  # only for members that are no files
                    yield member.name, content.read(LARGEST_FILE + 1)
            rest = memoryview(unpacked)[members.offset :]
        if len(rest) < 2 * tarfile.BLOCKSIZE or any(rest):
            raise tarfile.ReadError
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile):
        raise InputError(f"{archive} is truncated or damaged; `dvc repro -f fetch` brings it again") from None
