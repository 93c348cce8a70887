"""The command `label`: labels a report file in several processes, and writes the labels in the order of the reports."""

import contextlib
import csv
import glob
import itertools
import multiprocessing
import os
import secrets
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from pathlib import Path
from typing import Any, NamedTuple

import typer
from rich import progress
from rich.console import Console

from raddistill.apps.label import options
from raddistill.apps.label.formats import Format, ReportLabels, choose_format
from raddistill.apps.label.report_file import Batch, Reject, ReportFile
from raddistill.apps.label.rules import load_reader, print_chosen, read_report
from raddistill.errors import InputError, RaddistillError
from raddistill.files import part_of, write_whole
from raddistill.teachers.rules.reader import Reader

SMALL = 4  # batches; a shorter file is not worth a second process
AHEAD = 3  # batches per process that wait to be labelled or written


def label(
    source: options.Source,
    output: options.Output,
    form: options.OutputFormat = "wide",
    task: options.Task = "multiple_choice",
    lexicon: options.Lexicon = None,
    label_set: options.LabelSet = None,
    sections: options.Sections = "findings_and_impression",
    quotes: options.Quotes = False,
    id_column: options.IdColumn = None,
    text_column: options.TextColumn = None,
    findings_column: options.FindingsColumn = None,
    impression_column: options.ImpressionColumn = None,
    input_format: options.InputFormat = None,
    encoding: options.Encoding = "utf-8",
    jobs: options.Jobs = None,
    overwrite: options.Overwrite = False,
    strict: options.Strict = False,
) -> None:
    """Labels the reports in `source` by rules and writes the labels to `output`; prints how many."""
    check_output(source, output, overwrite)
    reader, teacher, names = load_reader(task, lexicon, label_set, sections)
    form_of_output = choose_format(form, output.suffix.lower(), task, teacher, names, quotes)
    columns = options.Columns(id_column, text_column, findings_column, impression_column)
    with ReportFile(source, columns, input_format, encoding) as reports:
        labelled_batches = _label(reader, form_of_output, reports.batches(), jobs or _cores())
        labelled, rejected = write_labels(labelled_batches, form_of_output, output, reports.total)
    print_chosen(lexicon, label_set)
    print_counts(labelled, rejected, output)
    if rejected and strict:
        raise typer.Exit(1)


def print_counts(labelled: int, rejected: Counter[str], output: Path) -> None:
    """Prints on standard error how many reports were labelled, and why others were not."""
    print(f"{labelled:,} of {labelled + rejected.total():,} reports labelled: {output}", file=sys.stderr)
    if rejected:
        reasons = "; ".join(f"{reason}: {n:,}" for reason, n in sorted(rejected.items()))
        print(f"{rejected.total():,} unusable, listed in {quarantine_of(output)} ({reasons})", file=sys.stderr)


def quarantine_of(output: Path) -> Path:
    """Returns the file for rows that cannot be used: `labels.csv.quarantine.csv`."""
    return output.with_name(f"{output.name}.quarantine.csv")


def check_output(source: str, output: Path, overwrite: bool) -> None:
    """Checks the name of the output file before any work is done.

    Raises:
        InputError: `output` cannot be written, exists, or is the input.
    """
    if str(output) == "-":
        raise InputError("--output must name a file, not standard output, since it appears only at the end")
    if not output.parent.is_dir():
        raise InputError(f"the folder {output.parent} does not exist")
    if output.is_dir():
        raise InputError(f"--output {output} is a folder; name another file")
    written = [each for name in (output, quarantine_of(output)) for each in (name, part_of(name))]
    if any(each.exists() and Path(source).exists() and each.samefile(source) for each in written):
        raise InputError(f"--output {output} is the input itself, or would replace it; name another file")
    if output.exists() and not overwrite:
        raise InputError(f"{output} exists; --overwrite replaces it")


def write_labels(
    batches: Generator["LabelledBatch", None, None], form: Format, output: Path, total: int | None
) -> tuple[int, Counter[str]]:
    """Writes the labels to `output` and unusable rows to its quarantine file. Both files appear at the end.

    Returns the number of labelled reports, and reason to number of unusable rows. Shows a progress bar on a terminal.

    `total`: how far the file will be read, in the unit of the batches' `done`; None if unknown.

    Raises:
        InputError: the report file is damaged, or another process has written `output` meanwhile.
        OSError: a file cannot be written.
        RaddistillError: a process was killed.
    """
    labelled, rejected = 0, Counter[str]()
    quarantine = quarantine_of(output)
    with (
        # OUTPUT appears last, so an output never exists without its quarantine.
        _write_own(output) as part, _write_own(quarantine) as quarantine_part,
        form.create(part) as write, quarantine_part.open("w", encoding="utf-8", newline="") as quarantine_file,
        _progress() as bar, contextlib.closing(batches),
    ):  # fmt: skip
        task = bar.add_task("labelling", total=total, rows=0)
        rejects = csv.writer(quarantine_file, lineterminator="\n")
        rejects.writerow(Reject._fields)
        for batch in batches:
            write(batch.encoded)
            rejects.writerows(batch.rejects)
            labelled += batch.labelled
            rejected.update(reject.reason for reject in batch.rejects)
            bar.update(task, completed=batch.done if total else None, rows=labelled + rejected.total())
    if not rejected:
        quarantine.unlink(missing_ok=True)
    return labelled, rejected


@contextlib.contextmanager
def _write_own(path: Path) -> Iterator[Path]:
    """As `write_whole`, but the unfinished file has a name that no other process uses: `path`.<8 letters>.part.

    So two that write one file at once, such as two tasks for one shard, never rename each other's unfinished file: the first that
    finishes wins. It removes the unfinished files of others, also those that a kill left behind.

    Raises:
        InputError: another process has finished first.
    """
    own = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        with write_whole(own) as part:
            yield part
            if not part.exists():
                raise InputError(f"another process has written {path} meanwhile; what this one made was dropped")
        os.replace(own, path)
    except OSError as error:
        error.filename = str(path) if error.filename == str(own) else error.filename
        raise
    for left in path.parent.glob(f"{glob.escape(path.name)}.{'[0-9a-f]' * 8}.part"):
        left.unlink(missing_ok=True)


def _progress() -> progress.Progress:
    console = Console(stderr=True)
    return progress.Progress(
        progress.TextColumn("{task.description}"), progress.BarColumn(), progress.TaskProgressColumn(),
        progress.TextColumn("{task.fields[rows]:,} reports"), progress.TimeRemainingColumn(),
        console=console, disable=not console.is_terminal, transient=True,
    )  # fmt: skip


def _cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LabelledBatch(NamedTuple):
    """One batch after labelling: its labels as `Format.encode` returns them, and its rejects in the order of their rows."""

    encoded: Any
    labelled: int
    rejects: list[Reject]
    done: int


def _label(reader: Reader, form: Format, batches: Iterator[Batch], jobs: int) -> Generator[LabelledBatch, None, None]:
    """Yields the labelled batches in order. `jobs`: number of processes."""
    first = list(itertools.islice(batches, SMALL))
    if jobs == 1 or len(first) < SMALL:
        for batch in itertools.chain(first, batches):
            yield _label_batch(reader, form, batch)
        return
    # `spawn`: the workers inherit neither threads nor open files.
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(reader, form))
    waiting: deque[Future[LabelledBatch]] = deque()
    try:
        for batch in itertools.chain(first, batches):
            waiting.append(pool.submit(_label_in_worker, batch))
            if len(waiting) > AHEAD * jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise RaddistillError("a labelling process was killed, perhaps for lack of memory; fewer --jobs?") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _label_batch(reader: Reader, form: Format, batch: Batch) -> LabelledBatch:
    labelled: list[ReportLabels] = []
    rejects = list(batch.rejects)
    for report in batch.reports:
        spans, reason = read_report(reader, report)
        if reason:
            rejects.append(Reject(report.row, report.report_id, reason))
        else:
            labelled.append(ReportLabels(report, spans, reader.summarize(spans)))
    return LabelledBatch(form.encode(labelled), len(labelled), sorted(rejects, key=lambda reject: reject.row), batch.done)


_worker: list[tuple[Reader, Format]] = []  # of a process of the pool; set once


def _start_worker(reader: Reader, form: Format) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker.append((reader, form))


def _label_in_worker(batch: Batch) -> LabelledBatch:
    return _label_batch(*_worker[0], batch)


def _end_with_parent() -> None:
    """Ends this process when its parent has ended, also by `kill -9`."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
