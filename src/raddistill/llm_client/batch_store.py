"""Batches in the store until their answers are there: which questions each holds, where it stands, and which process has it.

A question is in one batch of a server at most (primary key), so no two processes submit the same one. Each run holds a lock on a
file of its own; the kernel drops the lock when the process dies, and then another run adopts its batches.
"""

import fcntl
import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from raddistill.errors import InputError
from raddistill.llm_client.store import Store, private_folder

# A question that another process was answered meanwhile is not claimed, nor one that is in a batch.
_CLAIM = "INSERT OR IGNORE INTO requests SELECT ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM answers WHERE key = ?)"


class Batch(NamedTuple):
    """Where a batch stands."""

    name: str
    owner: str  # the run that has it
    server: str  # sha256 of the base URL, which may contain credentials
    model: str
    requests: int | None  # None: its questions are still being collected, and nothing was sent
    file: str | None  # the server's id of the uploaded file; None: not uploaded, as far as is known
    batch: str | None  # the server's id of the batch; None: not created, as far as is known


class BatchStore:
    """The batches of a store for one server and model, as one run sees them."""

    def __init__(self, store: Store, url: str, model: str) -> None:
        """Takes the lock by which other runs see that this one lives.

        Raises:
            InputError: the file system has no locks.
        """
        self._store, self._model = store, model
        self._server = hashlib.sha256(url.encode()).hexdigest()
        self.owner = uuid.uuid4().hex
        private_folder(store.folder)
        self._lock = open(self._lock_of(self.owner), "x+b", opener=_private)  # noqa: SIM115 - open as long as the run lives
        if not _try_lock(self._lock):
            raise AssertionError("nobody else knows the file's name")

    def close(self) -> None:
        """Leaves the batches to a later run."""
        Path(self._lock.name).unlink(missing_ok=True)
        self._lock.close()

    def start(self) -> str:
        """Begins an empty batch of this run; returns its name."""
        name = uuid.uuid4().hex
        with self._store.transaction() as writer:
            writer.execute(
                "INSERT INTO batches VALUES (?, ?, ?, ?, NULL, NULL, NULL)", (name, self.owner, self._server, self._model)
            )
        return name

    def claim(self, name: str, requests: list[tuple[str, str]]) -> list[bool]:
        """Puts requests (key, body as JSON) into a batch.

        Returns:
            For each, whether it is in this batch now; False: it is answered, or in another batch (see `holder`).
        """
        with self._store.transaction() as writer:
            return [bool(writer.execute(_CLAIM, (key, self._server, name, body, key)).rowcount) for key, body in requests]

    def note(self, name: str, *, requests: int | None = None, file: str | None = None, batch: str | None = None) -> None:
        """Writes down how far a batch has got; None leaves a field as it is."""
        with self._store.transaction() as writer:
            writer.execute(
                "UPDATE batches SET requests = coalesce(?, requests), file = coalesce(?, file), batch = coalesce(?, batch) "
                "WHERE name = ?",
                (requests, file, batch, name),
            )

    def adopt(self, batch: Batch) -> bool:
        """Makes the batch of a dead run this run's. False: its run lives, or another run was quicker."""
        path = self._lock_of(batch.owner)
        if batch.owner:  # else of an older version, whose processes were seen to be gone
            try:
                with path.open("r+b") as lock:
                    if not _try_lock(lock):
                        return False
            except FileNotFoundError:
                pass
            path.unlink(missing_ok=True)
        with self._store.transaction() as writer:
            change = "UPDATE batches SET owner = ? WHERE name = ? AND owner = ?"
            return bool(writer.execute(change, (self.owner, batch.name, batch.owner)).rowcount)

    def remove(self, name: str) -> None:
        """The batch is done with."""
        with self._store.transaction() as writer:
            writer.execute("DELETE FROM requests WHERE batch = ?", (name,))
            writer.execute("DELETE FROM batches WHERE name = ?", (name,))

    def all(self) -> list[Batch]:
        """The batches for this server and model, of whatever run, the oldest first."""
        found = self._store.read("SELECT * FROM batches WHERE server = ? AND model = ? ORDER BY rowid", self._server, self._model)
        return [Batch(*row) for row in found]

    def others(self) -> int:
        """The number of batches for other servers and models."""
        return len(self._store.read("SELECT name FROM batches")) - len(self.all())

    def get(self, name: str) -> Batch | None:
        """The batch; None: it is done with."""
        found = self._store.read("SELECT * FROM batches WHERE name = ?", name)
        return Batch(*found[0]) if found else None

    def holder(self, key: str) -> str | None:
        """The name of the batch that a question is in."""
        found = self._store.read("SELECT batch FROM requests WHERE key = ? AND server = ?", key, self._server)
        return found[0][0] if found else None

    def keys(self, name: str) -> list[str]:
        """The keys of a batch's questions."""
        return [key for (key,) in self._store.read("SELECT key FROM requests WHERE batch = ? ORDER BY rowid", name)]

    def bodies(self, name: str) -> Iterator[tuple[str, str]]:
        """Key and body (JSON) of each question of a batch, one by one, as they may be 200 MB."""
        for key in self.keys(name):
            ((body,),) = self._store.read("SELECT body FROM requests WHERE key = ? AND server = ?", key, self._server)
            yield key, body

    def _lock_of(self, owner: str) -> Path:
        return self._store.folder / f"run-{owner}.lock"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _try_lock(file: BinaryIO) -> bool:
    """False: another process, or another opened file of ours, holds it.

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
