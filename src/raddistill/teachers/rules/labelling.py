"""Labels a stream of batches, in some processes, and hands the lines back in the order of the reports."""

import bisect
import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from pathlib import Path
from typing import NamedTuple

from rich import progress
from rich.console import Console

from raddistill.errors import RaddistillError
from raddistill.passages import SECTIONS, WHOLE
from raddistill.tables.piles import Batch, Reject, Report
from raddistill.tables.unfinished import Unfinished
from raddistill.teachers.rules.reading import Reader, Span
from raddistill.teachers.rules.sheets import Labelled, Sheet, choose, to_parquet

SMALL = 4  # batches; a pile that ends within them is not worth a second process
AHEAD = 3  # batches a process that wait for it or for their turn to be written
BETWEEN = "\n\n"  # ends a sentence, so nothing is read across two pieces of a section


class Form(NamedTuple):
    """What `sheets.choose` needs; other than a sheet it can be sent to another process."""

    form: str
    suffix: str
    task: str
    teacher: str
    names: list[str]
    quotes: bool


class Labeller:
    """Reads reports and writes their lines."""

    def __init__(self, reader: Reader, form: Form) -> None:
        """
        Raises:
            InputError: a form that does not go with the suffix or task.
        """
        self._reader, self._form = reader, form
        self._read = read if form.form == "jsonl" else _read  # the others have no place for offsets
        self._sheet: Sheet = choose(*form)

    @property
    def header(self) -> bytes:
        return self._sheet.header

    @property
    def convert(self) -> Callable[[Path, Path], None] | None:
        """Makes the output of the finished lines, where these are not yet of its form."""
        form, suffix = self._form[:2]
        return (lambda lines, target: to_parquet(lines, form, target)) if suffix == ".parquet" else None

    def __reduce__(self) -> tuple:
        return type(self), (self._reader, self._form)

    def label(self, reports: list[Report]) -> tuple[bytes, list[Reject]]:
        """The lines of the reports, and those that cannot be labelled because they lack the sections that are read."""
        labelled: list[Labelled] = []
        rejects: list[Reject] = []
        for report in reports:
            spans, reason = self._read(self._reader, report)
            if reason:
                rejects.append(Reject(report.row, report.report_id, reason))
            else:
                summary = self._reader.summarize(spans)
                labelled.append(Labelled(report.report_id, spans, summary, report.sections, report.origins))
        return self._sheet.lines(labelled), rejects


def read(reader: Reader, report: Report) -> tuple[list[Span], str | None]:
    """As `Reader.read`; offsets count in the cell or file that the words come from."""
    spans, reason = _read(reader, report)
    begins = {"impression": len(_joined(report.sections, "findings") or "") + len(BETWEEN)}
    moves = {section: _moves(begins.get(section, 0), pieces) for section, pieces in report.sections.items()}
    return [_moved(span, *moves[span.section]) for span in spans], reason


def _read(reader: Reader, report: Report) -> tuple[list[Span], str | None]:
    """Offsets count in the text that is put together here."""
    if WHOLE in report.sections:
        return reader.read_text(report.sections[WHOLE][0][1])
    findings, impression = (_joined(report.sections, section) for section in SECTIONS)
    return reader.read({"findings": findings, "impression": impression, "text": f"{findings or ''}{BETWEEN}{impression or ''}"})


def _joined(sections: dict[str, list[tuple[int, str]]], section: str) -> str | None:
    return BETWEEN.join(words for _, words in sections[section]) if section in sections else None


def _moves(begin: int, pieces: list[tuple[int, str]]) -> tuple[list[int], list[int]]:
    """Where each piece of a section begins in the text that was read, and how far it stands from there in its cell."""
    begins, moves = [], []
    for start, words in pieces:
        begins.append(begin)
        moves.append(start - begin)
        begin += len(words) + len(BETWEEN)
    return begins, moves


def _moved(span: Span, begins: list[int], moves: list[int]) -> Span:
    by = moves[bisect.bisect_right(begins, span.start) - 1]
    return span._replace(start=span.start + by, end=span.end + by)


class Done(NamedTuple):
    """A batch, labelled: lines for the output, all rejects in the order of their rows, and what the batch said of itself."""

    content: bytes
    rejects: list[Reject]
    rows: int
    digest: str
    done: int


def run(labeller: Labeller, batches: Iterator[Batch], total: int | None, unfinished: Unfinished, jobs: int) -> None:
    """Labels all batches into `unfinished`, with a progress bar where there is a terminal; the bytes do not depend on `jobs`.

    Raises:
        RaddistillError: a process was ended from outside.
    """
    with _progress() as bar, contextlib.closing(label(labeller, batches, jobs)) as labelled:
        task = bar.add_task("labelling", total=total, reports=unfinished.rows)
        for each in labelled:
            unfinished.add(each.content, each.rejects, each.rows, each.digest)
            bar.update(task, completed=each.done if total else None, reports=unfinished.rows)


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _progress() -> progress.Progress:
    console = Console(stderr=True)
    return progress.Progress(
        progress.TextColumn("{task.description}"), progress.BarColumn(), progress.TaskProgressColumn(),
        progress.TextColumn("{task.fields[reports]:,} reports"), progress.TimeRemainingColumn(),
        console=console, disable=not console.is_terminal, transient=True,
    )  # fmt: skip


def label(labeller: Labeller, batches: Iterator[Batch], jobs: int) -> Generator[Done, None, None]:
    """Labels batches and hands them back in their order."""
    first = list(itertools.islice(batches, SMALL))
    if jobs == 1 or len(first) < SMALL:
        for batch in itertools.chain(first, batches):
            yield _done(batch, *labeller.label(batch.reports))
        return
    # `spawn`: neither threads nor open files of this process are carried over.
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(labeller,))
    waiting: deque[tuple[Batch, Future]] = deque()
    try:
        for batch in itertools.chain(first, batches):
            waiting.append((batch._replace(reports=[]), pool.submit(_label, batch.reports)))
            if len(waiting) > AHEAD * jobs:
                yield _next(waiting)
        while waiting:
            yield _next(waiting)
    except BrokenProcessPool:
        raise RaddistillError("a process that labels was ended from outside, perhaps for want of memory; fewer --jobs?") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _next(waiting: deque[tuple[Batch, Future]]) -> Done:
    batch, future = waiting.popleft()
    return _done(batch, *future.result())


def _done(batch: Batch, content: bytes, rejects: list[Reject]) -> Done:
    return Done(content, sorted([*batch.rejects, *rejects]) if rejects else batch.rejects, batch.rows, batch.digest, batch.done)


_worker: list[Labeller] = []  # of this process


def _begin(labeller: Labeller) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker.append(labeller)


def _label(reports: list[Report]) -> tuple[bytes, list[Reject]]:
    return _worker[0].label(reports)


def _end_with_parent() -> None:
    """After a `kill -9` of the parent nobody would tell its processes to end."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
