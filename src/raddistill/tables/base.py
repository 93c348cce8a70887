"""Reading and writing of the tables that rooms hand to each other: checked both ways, sorted by key, whole or not at all."""

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
    """The table at `path`, checked against its schema.

    Raises:
        InputError: no such file, or not a Parquet file.
        TableError: columns or rows break the schema (rules and counts, no values).
    """
    try:
        frame = pl.read_parquet(path)
    except FileNotFoundError:
        raise InputError(f"{path} is missing; `dvc repro` makes it, or `dvc pull` brings it") from None
    except pl.exceptions.PolarsError:
        raise InputError(f"{path} is not a readable Parquet file; `dvc checkout {path}` restores it") from None
    return check(schema, frame, str(path))


def write(schema: type[T], frame: pl.DataFrame, path: Path) -> None:
    """Writes the table sorted by its key (same rows, same bytes), whole or not at all.

    Raises:
        TableError: columns or rows break the schema.
    """
    checked = check(schema, frame, str(path)).sort(schema.primary_key())
    with write_whole(path) as part:
        checked.write_parquet(part, compression="zstd", statistics=False)


def read_record(record: type[R], files: Mapping[str, Path]) -> R:
    """The tables of a NamedTuple or dataclass, a field each; `files` and the fields' annotations as in `write_record`.

    Raises:
        InputError, TableError: as `read`.
    """
    hints = get_type_hints(record)
    return record(**{name: read(get_args(hints[name])[0], path) for name, path in files.items()})


def read_records(record: type[R], files: Mapping[str, Mapping[str, Path]]) -> dict[str, R]:
    """As `read_record`, one for each key of `files`, such as the tables of every task."""
    return {key: read_record(record, of_key) for key, of_key in files.items()}


def write_record(record: object, files: Mapping[str, Path]) -> None:
    """Writes those tables of a NamedTuple or dataclass that `files` names, field to path.

    The field's annotation says the schema: `dy.DataFrame[Labels]`.

    Raises:
        TableError: as `write`.
    """
    hints = get_type_hints(type(record))
    for name, path in files.items():
        write(get_args(hints[name])[0], getattr(record, name), path)


def check(schema: type[T], frame: pl.DataFrame, name: str) -> dy.DataFrame[T]:
    """`frame` as a table of `schema`, cast where that loses nothing."""
    try:
        return schema.validate(frame, cast=True)
    except (SchemaError, ValidationError) as error:
        raise TableError(f"{name} is no {schema.__name__} table: {error}") from None


def write_json(content: dict[str, Any], path: Path) -> None:
    """Writes a small JSON file whole, with stable layout. Not for report text."""
    with write_whole(path) as part:
        part.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8", newline="\n")


def write_csv(frame: pl.DataFrame, path: Path) -> None:
    """Writes a small CSV for `dvc plots`, whole, with LF ends. Not for report text."""
    with write_whole(path) as part:
        frame.write_csv(part, line_terminator="\n")
