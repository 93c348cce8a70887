"""Imports the files of version 0.1 into SQLite, once: answers.jsonl, and batches/NAME.jsonl with NAME.json."""

import fcntl
import json
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from raddistill.errors import InputError

IMPORTED = ".imported"  # suffix of an imported file
DEAD = ""  # owner of an imported batch: no process works on it
_BODY = len(b'{"crc32": "01234567", ')


def bring_in(folder: Path, transaction: Callable[[], AbstractContextManager[sqlite3.Connection]]) -> None:
    """Writes the old answers and batches in `folder` into the tables, then renames their files.

    Existing rows stay unchanged. Without such files it does nothing.

    Raises:
        InputError: a file is damaged, or a process of an older version is using it (file named, with what to do).
    """
    answers, states = folder / "answers.jsonl", sorted((folder / "batches").glob("*.json"))
    if not answers.exists() and not states:
        return
    with transaction() as writer:
        rows = ((fields["key"], json.dumps(fields)) for fields in _answers(answers))
        writer.executemany("INSERT OR IGNORE INTO answers (key, answer) VALUES (?, ?)", rows)
        for path in states:
            _bring_in_batch(path, writer)
    for path in [answers, *states, *(folder / "batches").glob("*.jsonl")]:
        with suppress(FileNotFoundError):  # another process that was started at the same time has renamed it
            path.replace(path.with_name(path.name + IMPORTED))


def _answers(path: Path) -> Iterator[dict[str, object]]:
    """Complete lines: {"crc32": "<8 hex>", "key": ...}; the checksum covers the rest of the line. A torn last line is skipped."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            if line[:_BODY] != b'{"crc32": "%08x", ' % zlib.crc32(line[_BODY:-1]):
                raise InputError(
                    f"{path}: line {number} is damaged. Delete that line, as with sed -i {number}d, while no stage runs; "
                    "its question is then asked and paid again."
                )
            fields = json.loads(line)
            del fields["crc32"]
            yield fields


def _bring_in_batch(path: Path, writer: sqlite3.Connection) -> None:
    lines = path.with_suffix(".jsonl")
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        row = [path.stem, DEAD, *(state[name] for name in ("server", "model", "requests", "file", "batch"))]
        with lines.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            requests = [
                (each["custom_id"], state["server"], path.stem, json.dumps(each["body"])) for each in map(json.loads, file)
            ]
    except BlockingIOError:
        raise InputError(f"{lines}: in use by an older version of raddistill. Wait until it has ended, or stop it.") from None
    except (ValueError, TypeError, KeyError, FileNotFoundError):
        raise InputError(f"{path}: damaged. Delete it and {lines.name}; their questions are then asked and paid again") from None
    writer.execute("INSERT OR IGNORE INTO batches VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    writer.executemany("INSERT OR IGNORE INTO requests VALUES (?, ?, ?, ?)", requests)
