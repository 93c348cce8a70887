"""Many small files, in a zip or in folders, through one function: by two processes where there are many, in a fixed order.

A zip's members are read by their places in its directory: zipfile itself takes more than twice as long for a member (24 against
10 microseconds), and each process would hold a directory of its own. Nothing is unpacked to disk, so a name can point nowhere.
"""

import multiprocessing
import os
import struct
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

from raddistill.errors import InputError

T = TypeVar("T")

LARGEST_FILE = 1 << 20  # bytes; a report has some thousand
CHUNK = 2000  # files handed to a process at once
MANY = 20_000  # from here on two processes are worth their start of half a second
PROCESSES = 2
AHEAD = 6  # chunks that are read before they are asked for: bounds the memory
_LOCAL = struct.Struct("<4s22xHH")  # of a member's local header: signature, lengths of its name and extra field


class Place(NamedTuple):
    """A file: its name, and where it is in the zip (in folders: sizes and offset are 0)."""

    name: str
    offset: int
    packed: int
    size: int
    crc: int
    method: int
    encrypted: bool


class Content(NamedTuple):
    """What a file holds, or in a few fixed words why it cannot be read."""

    name: str
    content: bytes
    reason: str | None


def in_zip(archive: Path, wanted: Callable[[str], bool]) -> list[Place]:
    """The members with a wanted name, sorted by name.

    Raises:
        InputError: the archive is no zip, or truncated.
    """
    try:
        with zipfile.ZipFile(archive) as directory:
            infos = [info for info in directory.infolist() if wanted(info.filename)]
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, struct.error):
        raise InputError(
            f"{archive} is truncated or no zip; bring it again and compare its sha256 with the publisher's"
        ) from None
    return sorted(
        Place(i.filename, i.header_offset, i.compress_size, i.file_size, i.CRC, i.compress_type, bool(i.flag_bits & 1))
        for i in infos
    )


def in_folder(folder: Path, names: Iterator[str]) -> list[Place]:
    """The named files (relative to `folder`), sorted by name."""
    assert folder.is_dir()
    return [Place(name, 0, 0, 0, 0, 0, False) for name in sorted(names)]


def each(root: Path, places: list[Place], parse: Callable[[Content], T], many: int = MANY) -> Iterator[T]:
    """`parse` of every file of `root` (the zip or the folder), in the order of `places`.

    `parse` is a function of a module's first level and must not fail: with `many` files or more it runs in other processes.
    """
    chunks = [places[start : start + CHUNK] for start in range(0, len(places), CHUNK)]
    if len(places) < many or (os.cpu_count() or 1) < PROCESSES:
        for chunk in chunks:
            yield from _parse_all(root, chunk, parse)
        return
    # Spawned, not forked: polars has threads, and a fork of theirs hangs.
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting: deque[Future[list[T]]] = deque()
        try:
            for chunk in chunks:
                waiting.append(pool.submit(_parse_all, root, chunk, parse))
                if len(waiting) > AHEAD:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _parse_all(root: Path, places: list[Place], parse: Callable[[Content], T]) -> list[T]:
    if root.is_dir():
        return [parse(_read(root, place)) for place in places]
    with root.open("rb") as archive:
        return [parse(_unpack(archive, place)) for place in places]


def _read(folder: Path, place: Place) -> Content:
    try:
        with (folder / place.name).open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError:
        return Content(place.name, b"", "cannot be read")
    return _checked(place.name, content)


def _unpack(archive: BinaryIO, place: Place) -> Content:
    """A member; it may claim any size, so it is unpacked up to one byte more than a report may have."""
    if place.encrypted:
        return Content(place.name, b"", "encrypted")
    if place.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return Content(place.name, b"", "packed by an unknown method")
    if max(place.size, place.packed) > LARGEST_FILE:
        return Content(place.name, b"", "file too large")
    header = b""
    if 0 <= place.offset < os.fstat(archive.fileno()).st_size:  # a damaged directory names places that no file has
        archive.seek(place.offset)
        header = archive.read(_LOCAL.size)
    if len(header) < _LOCAL.size or header[:4] != b"PK\x03\x04":
        return Content(place.name, b"", "damaged in the archive")
    _, of_name, of_extra = _LOCAL.unpack(header)
    archive.seek(of_name + of_extra, os.SEEK_CUR)
    content = archive.read(place.packed)
    if place.method == zipfile.ZIP_DEFLATED:
        try:
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, LARGEST_FILE + 1)
        except zlib.error:
            content = b""
    if zlib.crc32(content) != place.crc or len(content) != place.size:
        return Content(place.name, b"", "damaged in the archive")
    return _checked(place.name, content)


def _checked(name: str, content: bytes) -> Content:
    if len(content) > LARGEST_FILE:
        return Content(name, b"", "file too large")
    return Content(name, content, None if content.strip() else "empty file")
