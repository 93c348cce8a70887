"""Reads and writes the tables that packages pass to each other. They are checked both ways, sorted by key and written whole."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import dataframely as dy
import polars as pl
from dataframely.exc import SchemaError, ValidationError

from raddistill.errors import InputError, TableError
from raddistill.files import write_whole

T = TypeVar("T", bound=dy.Schema)
R = TypeVar("R")


def read(schema: type[T], path: Path) -> dy.DataFrame[T]:
    """Returns the table at `path`, checked against its schema.

    Raises:
        InputError: the file is missing, or not Parquet.
        TableError: columns or rows violate the schema. The message has rules and counts, no values.
    """
    try:
        frame = pl.read_parquet(path)
    except FileNotFoundError:
        raise InputError(f"{path} is missing; `dvc repro` makes it, or `dvc pull` brings it") from None
    except pl.exceptions.PolarsError:
        raise InputError(f"{path} is not a readable Parquet file; `dvc checkout {path}` restores it") from None
    return check(schema, frame, str(path))


def write(schema: type[T], frame: pl.DataFrame, path: Path) -> None:
    """Writes the table sorted by its primary key, so that equal rows give equal bytes; whole or not at all.

    Raises:
        TableError: columns or rows violate the schema.
    """
    checked = check(schema, frame, str(path)).sort(schema.primary_key())
    with write_whole(path) as part:
        checked.write_parquet(part, compression="zstd", statistics=False)


def read_record(record: type[R], files: Mapping[str, Path]) -> R:
    """Returns a NamedTuple or dataclass whose fields are tables. `files` is as in `write_record`; errors are as in `read`."""
    hints = get_type_hints(record)
    return record(**{name: read(get_args(hints[name])[0], path) for name, path in files.items()})


def read_records(record: type[R], files: Mapping[str, Mapping[str, Path]]) -> dict[str, R]:
    """Returns key to record, read by `read_record`: such as the tables of every task."""
    return {key: read_record(record, of_key) for key, of_key in files.items()}


def write_record(record: object, files: Mapping[str, Path]) -> None:
    """Writes the tables of a NamedTuple or dataclass that `files` names: field to path.

    The annotation of the field names the schema: `dy.DataFrame[Labels]`. Errors are as in `write`.
    """
    hints = get_type_hints(type(record))
    for name, path in files.items():
        write(get_args(hints[name])[0], getattr(record, name), path)


def check(schema: type[T], frame: pl.DataFrame, name: str) -> dy.DataFrame[T]:
    """Returns `frame` as a table of `schema`, with lossless casts.

    Raises:
        TableError: columns or rows violate the schema. The message starts with `name`.
    """
    try:
        return schema.validate(frame, cast=True)
    except (SchemaError, ValidationError) as error:
        raise TableError(f"{name} is no {schema.__name__} table: {error}") from None


def write_json(content: dict[str, Any], path: Path) -> None:
    """Writes a small JSON file with a stable layout, whole or not at all. Not for report text."""
    with write_whole(path) as part:
        part.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8", newline="\n")


def write_csv(frame: pl.DataFrame, path: Path) -> None:
    """Writes a small CSV for `dvc plots`, with LF line ends, whole or not at all. Not for report text."""
    with write_whole(path) as part:
        frame.write_csv(part, line_terminator="\n")
