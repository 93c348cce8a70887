"""Stores paid answers in one SQLite file, which several processes may use at the same time.

An answer is committed before it is used, so it survives kill -9 and a power cut (write-ahead log, synced at every commit). The
first answer of a key counts; a later one only increases `times_paid`.
"""

import asyncio
import errno
import json
import os
import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from raddistill.errors import InputError
from raddistill.llm_client import store_migration
from raddistill.llm_client.messages import Answer

FILE = "answers.sqlite"
BUSY_S = 60.0  # how long a writer waits for another process's commit
GROUP = 1000  # answers per transaction; limits the memory of a long `add`
TABLES = """
    CREATE TABLE answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL, times_paid INTEGER NOT NULL DEFAULT 1);
    CREATE TABLE batches (
        name TEXT PRIMARY KEY, owner TEXT NOT NULL, server TEXT NOT NULL, model TEXT NOT NULL,
        requests INTEGER, file TEXT, batch TEXT
    );
    CREATE TABLE requests (
        key TEXT NOT NULL, server TEXT NOT NULL, batch TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (key, server)
    );
    CREATE INDEX requests_of_batch ON requests (batch);
"""
_ADD = "INSERT INTO answers (key, answer) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET times_paid = times_paid + 1"


class Store:
    """Answers by the key of their question. Safe for several threads and processes.

    Reading and writing have a connection each, so reading never waits for a commit.
    """

    def __init__(self, folder: Path) -> None:
        """Opens the store in `folder`. A missing folder is an empty store and is made with the first answer.

        Answers and batches of version 0.1 are imported once (store_migration.py).

        Raises:
            InputError: the file, or one of an older version, is damaged (named, with what to do).
        """
        self.folder = folder
        self.path = folder / FILE
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._inode = 0  # of the file open for writing
        self._lock = threading.Lock()  # of the writer
        store_migration.bring_in(folder, self.transaction)

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __contains__(self, key: str) -> bool:
        return bool(self.read("SELECT 1 FROM answers WHERE key = ?", key))

    def __len__(self) -> int:
        return sum(n for (n,) in self.read("SELECT count(*) FROM answers"))

    def get(self, key: str) -> Answer | None:
        """Returns the first answer of the key, from whatever process; None if there is none.

        Raises:
            InputError: the file is damaged, or the answer was written by another version of raddistill.
        """
        found = self.read("SELECT answer FROM answers WHERE key = ?", key)
        if not found:
            return None
        fields = json.loads(found[0][0])
        if set(fields) != set(Answer._fields):
            raise InputError(f"{self.path}: answer {key} was written by another version. Set RADDISTILL_JOURNAL to a new folder.")
        return Answer(**fields)

    def add(self, answers: Iterable[Answer]) -> None:
        """Commits answers, up to 1,000 as one transaction; after the return they survive kill -9 and a power cut.

        Raises:
            OSError: no space or no permission; none of the transaction is kept.
            InputError: the file was deleted, is damaged or is locked for a minute.
        """
        remaining = iter(answers)
        # JSON in ASCII, so that a server's lone surrogates do no harm
        while rows := [(answer.key, json.dumps(answer._asdict())) for answer in islice(remaining, GROUP)]:
            assert all(len(bytes.fromhex(key)) == 32 for key, _ in rows), "a key is a sha256 in hex"
            with self.transaction() as writer:
                writer.executemany(_ADD, rows)

    def read(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Returns the rows of a query; none if the file does not exist yet."""
        with _explained(self.path):
            if self._reader is None:
                if not self.path.exists():
                    return []
                self._reader = self._connect()
            return self._reader.execute(sql, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Yields the connection for writing. At the end all of it is committed; after an exception none.

        Raises:
            OSError, InputError: as `add`.
        """
        with self._lock, _explained(self.path):
            writer = self._writer or self._open_writer()
            try:
                in_place = self.path.stat().st_ino == self._inode
            except FileNotFoundError:
                in_place = False
            if not in_place:  # the answers would be lost
                raise InputError(f"{self.path}: deleted or replaced while it was in use. Run the stage again.")
            writer.execute("BEGIN IMMEDIATE")
            try:
                yield writer
                writer.execute("COMMIT")
            finally:
                if writer.in_transaction:
                    writer.execute("ROLLBACK")

    def close(self) -> None:
        for connection in filter(None, (self._reader, self._writer)):
            connection.close()
        self._reader = self._writer = None

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)

    def _open_writer(self) -> sqlite3.Connection:
        if not self.path.exists():
            private_folder(self.folder)
            _make_whole(self.path)
        self._writer, self._inode = self._connect(), self.path.stat().st_ino
        self._writer.execute("PRAGMA synchronous = FULL")
        return self._writer


class GroupWriter:
    """Writes answers to a store in groups: those that arrive during a commit go into the next one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[Answer] = []
        self._next: asyncio.Task[None] | None = None  # will write `_waiting`
        self._tasks: set[asyncio.Task[None] | None] = set()
        self._one = asyncio.Lock()

    async def keep(self, answer: Answer) -> None:
        """Returns when the answer is on disk; raises what the store raises."""
        self._waiting.append(answer)
        if self._next is None:
            self._next = asyncio.create_task(self._write())
            self._tasks.add(self._next)
        await asyncio.shield(self._next)  # a cancelled request must not cancel the write of other answers

    async def _write(self) -> None:
        async with self._one:
            answers, self._waiting, self._next = self._waiting, [], None
            await asyncio.to_thread(self._store.add, answers)  # may wait for the disk or for another process's lock
        self._tasks.discard(asyncio.current_task())

    async def finish(self) -> None:
        """Returns when all answers are on disk; raises what the store raises."""
        await asyncio.gather(*filter(None, self._tasks))


def _make_whole(path: Path) -> None:
    """Makes an empty store that only the user can read, unless another process was quicker. It appears with all its tables."""
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with closing(sqlite3.connect(part)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(TABLES)
        with suppress(FileExistsError):
            os.link(part, path)
    finally:
        part.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    os.fsync(folder)  # else a power cut may lose the name of a file whose bytes were synced
    os.close(folder)


def private_folder(folder: Path) -> None:
    """Makes a folder that only the user can read and that git ignores, wherever RADDISTILL_JOURNAL puts it."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ignored = folder / ".gitignore"
    if not ignored.exists():
        ignored.write_text("*\n", encoding="utf-8")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns SQLite's errors into errors that name the file and say what to do.

    Raises:
        OSError: no space, no permission or a failed write.
        InputError: anything else.
    """
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    else:
        return
    numbers = {"SQLITE_FULL": errno.ENOSPC, "SQLITE_READONLY": errno.EACCES, "SQLITE_CANTOPEN": errno.EACCES}
    number = errno.EIO if name.startswith("SQLITE_IOERR") else numbers.get(name)
    if number is not None:
        raise OSError(number, os.strerror(number), str(path))
    if name.startswith("SQLITE_BUSY"):
        raise InputError(f"{path}: locked by another process for a minute. Run the stage again when that process has ended.")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        raise InputError(
            f"{path}: damaged. Save what is whole with `sqlite3 {path.name} .recover`, or move the file away; what is missing is "
            "then asked and paid again."
        )
    raise InputError(f"{path}: cannot be used ({name}). Set RADDISTILL_JOURNAL to a folder on a local disk.")
