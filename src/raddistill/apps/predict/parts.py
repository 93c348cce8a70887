"""Labels a report file in parts: a file for each shard, in a folder that names the job which they belong to."""

import contextlib
import json
import os
import secrets
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import track

from raddistill.apps.label.report_file import WHOLE_FILE, Shard
from raddistill.apps.label.run import check_output
from raddistill.apps.predict.job import Job
from raddistill.errors import InputError
from raddistill.files import write_whole
from raddistill.reading.lines import STDIN

RUN = "run.json"  # in a folder of parts: the job that they belong to


def label_whole_or_parts(
    job: Job, output: Path, shards: int | None, shard: str | None, ray: int | None, gpus: float, overwrite: bool
) -> tuple[int, Counter[str]]:
    """Writes the file or the folder `output`. Returns the number of labelled reports, and reason to number of unusable rows.

    Arguments are the options of `raddistill predict`.

    Raises:
        InputError: options exclude each other, or as in `Job.run`.
    """
    if wanted := choose_shards(shards, shard):
        if overwrite:
            raise InputError("--overwrite is for one file; to make parts anew, name another folder, or remove this one")
        return label_parts(job, output, wanted, ray, gpus)
    if ray:
        raise InputError("--ray hands out parts: say into how many by --shards")
    check_output(job.source, output, overwrite)
    job.check(output)
    return job.run(job.student(), output, WHOLE_FILE)


def choose_shards(shards: int | None, shard: str | None) -> list[Shard]:
    """Returns the parts that the user asks for; none for one file."""
    if shard is None:
        return [] if shards is None else [Shard(number, shards) for number in range(1, shards + 1)]
    number, _, of = shard.partition("/")
    if shards is not None:
        raise InputError("--shards N writes all parts, --shard K/N one: name one of them")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise InputError(f"--shard {shard}: say which part of how many, from 1/{of or 'N'} on, such as 3/64")
    return [Shard(int(number), int(of))]


def label_parts(job: Job, folder: Path, wanted: list[Shard], ray: int | None, gpus: float) -> tuple[int, Counter[str]]:
    """Writes those of the wanted parts that are not there. Returns the counts of these."""
    if job.source == STDIN and len(wanted) > 1:
        raise InputError("standard input can be read only once: write it to a file, or ask for one part by --shard")
    job.check(part_path(folder, wanted[0], job.form))
    open_folder(folder, job, wanted[0].of)
    todo = [shard for shard in wanted if not _is_there(part_path(folder, shard, job.form))]
    if len(todo) < len(wanted):
        print(f"{len(wanted) - len(todo):,} of {len(wanted):,} parts are there already", file=sys.stderr)
    labelled, rejected = 0, Counter[str]()
    for of_part, reasons in _each_part(job, folder, todo, ray, gpus) if todo else []:
        labelled, rejected = labelled + of_part, rejected + reasons
    return labelled, rejected


def _is_there(part: Path) -> bool:
    """Returns whether a part exists.

    Raises:
        InputError: it does, but not as a whole, as after a copy that was cut or a machine that lost power.
    """
    if not part.exists():
        return False
    if part.suffix == ".parquet":
        import pyarrow as pa
        from pyarrow import parquet

        with contextlib.suppress(pa.ArrowException):
            parquet.read_metadata(part)
            return True
    else:
        with part.open("rb") as lines:
            size = lines.seek(0, os.SEEK_END)
            lines.seek(max(size - 1, 0))
            if lines.read() in (b"", b"\n"):
                return True
    raise InputError(f"{part} is damaged or not whole; remove it, and run this again")


def _each_part(job: Job, folder: Path, todo: list[Shard], ray: int | None, gpus: float) -> Iterator[tuple[int, Counter[str]]]:
    if ray:
        from raddistill.apps.predict.on_ray import label_shards

        console = Console(stderr=True)
        made = label_shards(job, folder, todo, ray, gpus)
        yield from track(made, "labelling parts", len(todo), console=console, disable=not console.is_terminal)
        return
    student = job.student()
    for shard in todo:
        yield job.run(student, part_path(folder, shard, job.form), shard)


def part_path(folder: Path, shard: Shard, form: str) -> Path:
    """Returns the file of a shard, such as part-00002-of-00008.parquet; .jsonl with that form."""
    suffix = "jsonl" if form == "jsonl" else "parquet"
    return folder / f"part-{shard.number:05}-of-{shard.of:05}.{suffix}"


def open_folder(folder: Path, job: Job, shards: int) -> None:
    """Makes the folder of the parts, and writes down the job that they belong to.

    Raises:
        InputError: the folder holds parts of another job. The message names what differs.
    """
    identity = {"shards": shards} | job.identity()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--output {folder} is a file; parts go to a folder")
    record = folder / RUN
    if not record.exists():
        if folder.exists() and any(folder.glob("part-*")):
            raise InputError(f"{folder} holds parts but no {RUN}, so nobody knows of what; name another folder")
        # Several shards may start at once, so each writes it under a name of its own.
        with write_whole(folder / f"{RUN}.{secrets.token_hex(4)}") as part:
            part.write_text(json.dumps(identity, indent=2) + "\n", encoding="utf-8")
        os.replace(part.with_suffix(""), record)
    try:
        earlier = json.loads(record.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(f"{record} is not JSON; name another folder, or remove this one") from None
    if differ := sorted(key for key in identity.keys() | earlier.keys() if identity.get(key) != earlier.get(key)):
        raise InputError(f"{folder} holds parts of another run ({', '.join(differ)} differ); name another folder")
