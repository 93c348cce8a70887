"""Writes files and folders that appear whole or not at all: under another name first, then renamed."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


def part_of(path: Path) -> Path:
    """Returns the name under which `path` is written until it is complete, such as `labels.csv.part`."""
    return path.with_name(f"{path.name}.part")


@contextlib.contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Yields a path to write a file or a folder to. At the end of the `with` it takes the place of `path`.

    After an error `path` is as it was before, and what was written is removed. A kill leaves PATH.part, which the next writer
    replaces.

    Raises:
        OSError: an error within the `with`. If it names no file, as when the disk is full, `path` is added to it.
    """
    part = part_of(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove(part)
    try:
        yield part
        if part.is_dir() and path.is_dir():
            shutil.rmtree(path)  # a folder that holds files cannot be replaced
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
