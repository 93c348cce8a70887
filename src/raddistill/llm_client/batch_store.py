"""Keeps batches in the store until their answers arrive: the questions of each, its progress, and the run that owns it.

A question is in at most one batch per server (primary key), so no two processes submit the same one. Each run locks a file of its
own. The kernel drops the lock when the process dies; then another run adopts its batches.
"""

import fcntl
import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from raddistill.errors import InputError
from raddistill.llm_client.store import Store, private_folder
from raddistill.llm_client.store_migration import DEAD

# Does not claim a question that is in a batch, or that another process got an answer to.
_CLAIM = "INSERT OR IGNORE INTO requests SELECT ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM answers WHERE key = ?)"


class StoredBatch(NamedTuple):
    """One row of the table `batches`: how far a batch has got."""

    name: str
    owner: str  # the run that works on it
    server: str  # sha256 of the base URL, which may contain credentials
    model: str
    requests: int | None  # number of questions; None: still being collected, nothing was sent
    file_id: str | None  # the server's id of the uploaded file; None: not uploaded, as far as known
    batch_id: str | None  # the server's id of the batch; None: not created, as far as known


class BatchStore:
    """The batches for one server and model, as one run sees them."""

    def __init__(self, store: Store, url: str, model: str) -> None:
        """Takes the lock that tells other runs that this one is alive.

        Raises:
            InputError: the file system has no locks.
        """
        self._store, self._model = store, model
        self._server = hashlib.sha256(url.encode()).hexdigest()
        self.owner = uuid.uuid4().hex
        private_folder(store.folder)
        self._lock = open(self._lock_of(self.owner), "x+b", opener=_private)  # noqa: SIM115 - open until `close`
        locked = _try_lock(self._lock)
        assert locked, "no other process knows the file's name"

    def close(self) -> None:
        """Drops the lock; unfinished batches are left to a later run."""
        Path(self._lock.name).unlink(missing_ok=True)
        self._lock.close()

    def start(self) -> str:
        """Adds an empty batch of this run and returns its name."""
        name = uuid.uuid4().hex
        with self._store.transaction() as writer:
            writer.execute(
                "INSERT INTO batches VALUES (?, ?, ?, ?, NULL, NULL, NULL)", (name, self.owner, self._server, self._model)
            )
        return name

    def claim(self, name: str, requests: list[tuple[str, str]]) -> list[bool]:
        """Puts requests (key, body as JSON) into a batch.

        Returns:
            For each request, whether it is in this batch now. False: it is answered, or in another batch (see `holder`).
        """
        with self._store.transaction() as writer:
            return [bool(writer.execute(_CLAIM, (key, self._server, name, body, key)).rowcount) for key, body in requests]

    def update(self, name: str, *, requests: int | None = None, file_id: str | None = None, batch_id: str | None = None) -> None:
        """Stores the number of questions, the server's file id or its batch id of the batch `name`.

        None leaves a field unchanged; an unknown name changes nothing.
        """
        with self._store.transaction() as writer:
            writer.execute(
                "UPDATE batches SET requests = coalesce(?, requests), file = coalesce(?, file), batch = coalesce(?, batch) "
                "WHERE name = ?",
                (requests, file_id, batch_id, name),
            )

    def adopt(self, batch: StoredBatch) -> StoredBatch | None:
        """Makes this run the owner of a dead run's batch, and returns it as it is now. None: its run is alive, or it has gone."""
        lock_of_owner = self._lock_of(batch.owner)
        if batch.owner != DEAD:
            with suppress(FileNotFoundError), lock_of_owner.open("r+b") as lock:
                if not _try_lock(lock):
                    return None
            lock_of_owner.unlink(missing_ok=True)
        with self._store.transaction() as writer:
            change = "UPDATE batches SET owner = ? WHERE name = ? AND owner = ?"
            if not writer.execute(change, (self.owner, batch.name, batch.owner)).rowcount:
                return None  # another run was quicker
            return StoredBatch(*writer.execute("SELECT * FROM batches WHERE name = ?", (batch.name,)).fetchone())

    def remove(self, name: str) -> None:
        """Deletes a batch and its requests."""
        with self._store.transaction() as writer:
            writer.execute("DELETE FROM requests WHERE batch = ?", (name,))
            writer.execute("DELETE FROM batches WHERE name = ?", (name,))

    def all(self) -> list[StoredBatch]:
        """Returns the batches of all runs for this server and model, oldest first."""
        found = self._store.read("SELECT * FROM batches WHERE server = ? AND model = ? ORDER BY rowid", self._server, self._model)
        return [StoredBatch(*row) for row in found]

    def others(self) -> int:
        """Returns the number of batches for other servers and models."""
        return len(self._store.read("SELECT name FROM batches")) - len(self.all())

    def holder(self, key: str) -> str | None:
        """Returns the name of the batch that holds a question; None if no batch does."""
        found = self._store.read("SELECT batch FROM requests WHERE key = ? AND server = ?", key, self._server)
        return found[0][0] if found else None

    def bodies(self, name: str) -> Iterator[tuple[str, str]]:
        """Yields key and body (JSON) of each question of a batch, one by one: together they may be 200 MB."""
        for (key,) in self._store.read("SELECT key FROM requests WHERE batch = ? ORDER BY rowid", name):
            ((body,),) = self._store.read("SELECT body FROM requests WHERE key = ? AND server = ?", key, self._server)
            yield key, body

    def _lock_of(self, owner: str) -> Path:
        return self._store.folder / f"run-{owner}.lock"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _try_lock(file: BinaryIO) -> bool:
    """Locks the file. False: another process, or another open file of this one, holds the lock.

    Raises:
        InputError: the file system has no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # ENOLCK, ENOSYS, EOPNOTSUPP: some network file systems
        raise InputError(f"{file.name}: its file system locks no files. Set RADDISTILL_JOURNAL to a local folder.") from None
    return True
