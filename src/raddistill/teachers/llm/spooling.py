"""Batches as they lie on disk until their answers are journalled: `NAME.jsonl` is uploaded, `NAME.json` says where it stands.

Whoever works on a batch, or is still writing it, holds a lock on its `NAME.jsonl`; the kernel drops the lock when the process
dies, and then the next run takes the batch over. The state is written last and deleted first, so a `NAME.jsonl` without it was
never submitted. `lock` is held while questions are collected, so that no two processes submit the same one. Files are 0600 and
the folder 0700: they hold reports.
"""

import fcntl
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from raddistill.errors import InputError

LOCK = "lock"


class State(NamedTuple):
    """Where a batch stands."""

    server: str  # sha256 of the base URL, which may hold what is nobody's business
    model: str
    requests: int
    file: str | None = None  # the server's id of the uploaded file; None: not uploaded, as far as is known
    batch: str | None = None  # the server's id of the batch; None: not created, as far as is known


class Spool:
    """A batch on disk. `lines`: key -> USD reserved for its question; None where nothing is reserved (any more)."""

    def __init__(self, folder: Path, name: str, file: BinaryIO, state: State, *, ours: bool) -> None:
        self.folder, self.name, self.state, self.ours = folder, name, state, ours
        self.lines: dict[str, float | None] = {}
        self.size = 0  # bytes
        self.sent_before = False  # an upload or a creation may have been done without our knowing
        self._file = file

    @classmethod
    def start(cls, folder: Path, server: str, model: str) -> "Spool":
        """A new, empty one, ours. To be finished before it counts."""
        name = uuid.uuid4().hex
        descriptor = os.open(folder / f"{name}.jsonl", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        file = os.fdopen(descriptor, "r+b")
        fcntl.flock(file, fcntl.LOCK_EX)
        return cls(folder, name, file, State(server, model, 0), ours=True)

    @property
    def path(self) -> Path:
        return self.folder / f"{self.name}.jsonl"

    def append(self, key: str, line: bytes, reserved: float) -> None:
        """A request, its line feed included."""
        self._file.write(line)
        self.size += len(line)
        self.lines[key] = reserved

    def finish(self) -> None:
        """Syncs all requests; from now on a later run picks them up."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self.note(requests=len(self.lines))

    def note(self, **changes: Any) -> None:
        """Changes the state, on disk first: all of it or nothing."""
        state = self.state._replace(**changes)
        path = self.folder / f"{self.name}.json"
        new = path.with_suffix(".new")
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w", encoding="utf-8") as file:
            json.dump(state._asdict(), file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        _sync(self.folder)
        self.state = state

    def requests(self) -> Iterator[dict[str, Any]]:
        """The lines, parsed one by one."""
        with open(self.path, "rb") as file:
            for line in file:
                yield json.loads(line)

    def take(self) -> bool:
        """Makes a batch of a process that died ours. False: it lives, or the batch is done with (see `gone`)."""
        if not try_lock(self._file) or self.gone:
            return False
        self.state = _read_state(self.folder / f"{self.name}.json")
        self.ours = True
        return True

    @property
    def gone(self) -> bool:
        """Done with: deleted by the process that had it."""
        return os.fstat(self._file.fileno()).st_nlink == 0 or not (self.folder / f"{self.name}.json").exists()

    def remove(self) -> None:
        """Done with."""
        (self.folder / f"{self.name}.json").unlink(missing_ok=True)
        self.path.unlink()
        self.close()

    def close(self) -> None:
        """Leaves it to a later run."""
        self._file.close()


@contextmanager
def prepared(folder: Path) -> Iterator[BinaryIO]:
    """The folder, made where it is missing; yields its lock, for `try_lock`."""
    for each in (folder.parent, folder):  # the journal's, which may be new as well; `parents` would open it to everyone
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b") as file:
        yield file


def try_lock(file: BinaryIO) -> bool:
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


def unlock(file: BinaryIO) -> None:
    fcntl.flock(file, fcntl.LOCK_UN)


def find(folder: Path, server: str, model: str, known: set[str]) -> tuple[list[Spool], int]:
    """Batches for this server and model beside those named `known`, none of them ours yet; and the number of those for others.

    What was never finished is deleted. Hold the folder's lock.

    Raises:
        InputError: a state is damaged.
    """
    found, others = [], 0
    for path in folder.glob("*.new"):  # of a process that died while it noted something
        if not path.with_suffix(".jsonl").exists():
            path.unlink(missing_ok=True)
    for path in sorted(folder.glob("*.jsonl")):
        if path.stem in known:
            continue
        try:
            state = _read_state(path.with_suffix(".json"))
            if (state.server, state.model) != (server, model):
                others += 1
                continue
            spool = Spool(folder, path.stem, open(path, "r+b"), state, ours=False)  # noqa: SIM115 - open while it is locked
        except FileNotFoundError:
            _clear(path)
            continue
        spool.lines = dict.fromkeys((request["custom_id"] for request in spool.requests()), None)
        found.append(spool)
    return found, others


def _clear(path: Path) -> None:
    """Deletes requests without a state, unless their process lives: it is deleting them right now."""
    try:
        with open(path, "r+b") as file:
            if try_lock(file):
                path.unlink(missing_ok=True)
    except FileNotFoundError:
        return


def _read_state(path: Path) -> State:
    try:
        return State(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise InputError(
            f"{path}: damaged. Delete it and {path.with_suffix('.jsonl').name}; their questions are then asked and paid again"
        ) from None


def _sync(folder: Path) -> None:
    """Makes names of files survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
