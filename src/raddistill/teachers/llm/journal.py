"""The journal: every answer that was paid for, in one append-only file of JSON lines that several processes share.

A group of answers is one write under an exclusive lock of the file, then synced. The lock, rather than O_APPEND alone, because
kill -9 may cut a large write short, and the next process must find and cut off the torn line before it appends, or the two would
merge; and because under it "the first answer of a key" has the same meaning for every process. A line whose answer came too late
stays in the file: it was paid as well.

A line is {"crc32": "<8 hex>", "key": "<64 hex>", ...the other fields of Answer}; the checksum is of the line's bytes after its
own field, so that opening a journal of gigabytes checks every line without parsing it. In memory are only keys and places: 47 MB
and 0.8 s for 250,000 answers of 1.8 kB.
"""

import fcntl
import json
import os
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from raddistill.errors import InputError
from raddistill.teachers.llm.exchange import Answer

FILE = "answers.jsonl"
_BODY = len(b'{"crc32": "01234567", ')
_KEY = slice(_BODY + len(b'"key": "'), _BODY + len(b'"key": "') + 64)
_LENGTH_BITS = 32  # a place is offset << 32 | length: one int of 36 bytes instead of a tuple of 120
_CHUNK = 1 << 20
_GROUP = 1000  # lines; bounds the memory of a long `add`


def to_line(answer: Answer) -> bytes:
    """An answer as a line, its line feed included. All ASCII, so that no lone surrogate of a server breaks the file."""
    body = json.dumps(answer._asdict())[1:].encode("ascii")
    assert len(bytes.fromhex(answer.key)) == 32, "a key is a sha256 in hex"
    return _checksum(body) + body + b"\n"


def is_sound(line: bytes) -> bool:
    """Whether a line, without its line feed, is as it was written."""
    return line[:_BODY] == _checksum(line[_BODY:]) and len(line) > _KEY.stop


def _checksum(body: bytes) -> bytes:
    """The first field of a line, up to the next one."""
    return b'{"crc32": "%08x", ' % zlib.crc32(body)


class Journal:
    """Answers by the key of their question; the first one of a key counts. Safe for several threads and processes."""

    def __init__(self, folder: Path) -> None:
        """Reads what the folder holds; an absent folder is an empty journal and is made with the first answer.

        Raises:
            InputError: the file is damaged before its last line.
        """
        self._folder = folder
        self._path = folder / FILE
        self._places: dict[bytes, int] = {}
        self._read_to = 0  # bytes of whole lines that were read
        self._lines = 0
        self._reader: int | None = None
        self._writer: int | None = None
        self._lock = threading.Lock()
        self.refresh()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __contains__(self, key: str) -> bool:
        return bytes.fromhex(key) in self._places

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: str) -> Answer | None:
        """The first answer of the key, as far as the journal was read.

        Raises:
            InputError: the line changed after it was read, or is of another version of the journal.
        """
        place = self._places.get(bytes.fromhex(key))
        if place is None:
            return None
        assert self._reader is not None
        line = os.pread(self._reader, place & ((1 << _LENGTH_BITS) - 1), place >> _LENGTH_BITS)
        if not is_sound(line) or line[_KEY] != key.encode():
            raise InputError(f"{self._path}: changed while it was read, at the answer of {key}. Run the stage again.")
        fields = json.loads(line)
        del fields["crc32"]
        if set(fields) != set(Answer._fields):
            raise InputError(f"{self._path}: the answer of {key} is of another version. Set RADDISTILL_JOURNAL to a new folder.")
        return Answer(**fields)

    def add(self, answers: Iterable[Answer]) -> None:
        """Appends answers and syncs them, up to 1,000 as one group; after the return they survive kill -9 and a power cut.

        Raises:
            OSError: no space, no permission; the file is then as it was before the group.
            InputError: the file was deleted, or damaged by another program, or cannot be locked.
        """
        remaining = iter(answers)
        while lines := [to_line(answer) for answer in islice(remaining, _GROUP)]:
            with self._lock:
                writer = self._writer if self._writer is not None else self._open_writer()
                with self._locked(writer):
                    self._read_on()  # what others wrote comes first; `_read_to` is now the end of the last whole line
                    self._check_in_place(writer)
                    self._append(writer, b"".join(lines))
                self._index(lines)

    def refresh(self) -> None:
        """Reads what other processes wrote since.

        Raises:
            InputError: a line is damaged.
        """
        with self._lock:
            self._read_on()

    def close(self) -> None:
        with self._lock:
            for descriptor in (self._reader, self._writer):
                if descriptor is not None:
                    os.close(descriptor)
            self._reader = self._writer = None
            self._places.clear()
            self._read_to = self._lines = 0

    def _open_writer(self) -> int:
        """Answers may quote reports, so nobody but the user reads them: folder 0700, file 0600."""
        if not self._folder.is_dir():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        ignored = self._folder / ".gitignore"  # wherever RADDISTILL_JOURNAL puts it, `git add -A` must not take it
        if not ignored.exists():
            ignored.write_text("*\n", encoding="utf-8")
        self._writer = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        folder = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)  # else a power cut may lose the name of a file whose bytes were synced
        finally:
            os.close(folder)
        return self._writer

    @contextmanager
    def _locked(self, writer: int) -> Iterator[None]:
        try:
            fcntl.flock(writer, fcntl.LOCK_EX)
        except OSError:  # ENOLCK, ENOSYS, EOPNOTSUPP: some network file systems
            raise InputError(f"{self._path}: its file system locks no files. Set RADDISTILL_JOURNAL to a local folder.") from None
        try:
            yield
        finally:
            fcntl.flock(writer, fcntl.LOCK_UN)

    def _check_in_place(self, writer: int) -> None:
        """A file that was deleted or replaced takes no more answers: nobody would find them again."""
        assert self._reader is not None
        read, written = os.fstat(self._reader), os.fstat(writer)
        if not (written.st_nlink and os.path.samestat(read, written)):
            raise InputError(f"{self._path}: deleted or replaced while it was in use. Run the stage again.")

    def _append(self, writer: int, group: bytes) -> None:
        """One group after the last whole line; on any failure the file ends there again."""
        if os.fstat(writer).st_size > self._read_to:  # under the lock nobody is writing: a torn line of a process that was killed
            os.ftruncate(writer, self._read_to)
        try:
            rest = memoryview(group)
            while rest:  # a full disk takes a part first, and says so at the next attempt
                rest = rest[os.write(writer, rest) :]
            os.fsync(writer)
        except OSError as error:
            os.ftruncate(writer, self._read_to)
            raise OSError(error.errno, error.strerror, str(self._path)) from None

    def _read_on(self) -> None:
        """Indexes the whole lines from `_read_to` on; a last line without its line feed is left alone."""
        if self._reader is None:
            try:
                self._reader = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return
        if os.fstat(self._reader).st_size < self._read_to:
            raise InputError(f"{self._path}: shorter than it was when it was read. Run the stage again.")
        rest = b""
        while chunk := os.pread(self._reader, _CHUNK, self._read_to + len(rest)):
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            self._index_checked(lines)

    def _index_checked(self, lines: list[bytes]) -> None:
        for line in lines:
            if not is_sound(line):
                self._complain()
            self._index([line + b"\n"])

    def _index(self, lines: list[bytes]) -> None:
        for line in lines:
            key = bytes.fromhex(line[_KEY].decode())
            self._places.setdefault(key, self._read_to << _LENGTH_BITS | len(line) - 1)
            self._read_to += len(line)
            self._lines += 1

    def _complain(self) -> NoReturn:
        line = self._lines + 1
        raise InputError(
            f"{self._path}: line {line} is damaged. Delete that line, as with sed -i {line}d, while no stage runs; "
            "its question is then asked and paid again."
        )
