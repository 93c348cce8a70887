"""Applies a function to many small files of a zip or a folder, in a fixed order, with two processes if there are many.

Nothing is unpacked to disk, so a malicious name in an archive has no effect.
"""

import itertools
import multiprocessing
import os
import struct
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from raddistill.errors import InputError

T = TypeVar("T")

LARGEST_FILE = 1 << 20  # bytes; a report has some thousand
CHUNK = 2000  # files per task of a process
MANY = 20_000  # files from which two processes save more than the half second that they take to start
PROCESSES = 2
AHEAD = 6  # chunks that are read ahead of the consumer; bounds the memory
DAMAGED = "damaged in the archive"


class Content(NamedTuple):
    """The content of a file."""

    name: str
    content: bytes
    reason: str | None  # why it cannot be read, in a few fixed words


class Contents(Protocol):
    """Files, sorted by name."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Content]: ...


class Zip:
    """The members of a zip for whose name `wanted` returns True."""

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


def each(files: Contents, parse: Callable[[Content], T]) -> Iterator[T]:
    """Yields `parse(file)` for every file, in order.

    `parse` must be a module-level function and must not raise: for MANY files or more it runs in other processes.
    """
    if len(files) < MANY or (os.cpu_count() or 1) < PROCESSES:
        yield from map(parse, files)
        return
    remaining = iter(files)
    # Spawned, not forked: polars has threads, and a forked process would hang.
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting: deque[Future[list[T]]] = deque()
        try:
            while chunk := list(itertools.islice(remaining, CHUNK)):
                waiting.append(pool.submit(_parse_all, chunk, parse))
                if len(waiting) > AHEAD:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _parse_all(files: list[Content], parse: Callable[[Content], T]) -> list[T]:
    return [parse(file) for file in files]
