"""Writes files and folders that appear whole or not at all, and computes checksums of files."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


def part_of(path: Path) -> Path:
    """Returns the name under which `path` is written until it is complete, such as `labels.csv.part`."""
    return path.with_name(f"{path.name}.part")


@contextlib.contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Yields a path to write a file or a folder to. At the end of the `with` it replaces `path`.

    After an error, `path` is as it was before, and the unfinished part is removed. After a kill, `path`.part is left behind; the
    next writer replaces it.

    Raises:
        OSError: an error within the `with`. If it names no file, as when the disk is full, `path` is added to it.
    """
    part = part_of(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove(part)
    try:
        yield part
        if part.is_dir() and path.is_dir():
            shutil.rmtree(path)  # `os.replace` cannot replace a folder that holds files
        os.replace(part, path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        _remove(part)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Returns the SHA-256 of the file's content in hex."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
