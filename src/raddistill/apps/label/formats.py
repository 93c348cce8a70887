"""Output files of labels: one row per report with CheXpert's codes, one row per label, or JSON lines with the evidence."""

import bisect
import contextlib
import csv
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from raddistill.apps.label.report_file import Piece, Report
from raddistill.errors import InputError
from raddistill.statuses import PRESENT, UNCERTAIN, to_chexpert
from raddistill.tasks.names import OPEN_ENDED
from raddistill.teachers.rules.reader import Span

DELIMITERS = {".csv": ",", ".tsv": "\t"}
TABLES = (*DELIMITERS, ".parquet")
JSON_LINES = (".jsonl", ".ndjson")
NO_FINDING = "No Finding"
DEVICES = "Support Devices"  # does not count against No Finding (chexpert-labeler, stages/aggregate.py)
LONG = ("report_id", "task", "teacher", "label", "status", "probability", "code")
ROW_GROUP = 1 << 15  # rows of Parquet that are in memory at a time

Rows = list[list[Any]]
Summary = list[tuple[str, str, str | None]]  # label, status, code


class ReportLabels(NamedTuple):
    """One report with its labels: the spans are the evidence, the summary has one status per label.

    `probabilities`: by label, where the labeller gives them.
    """

    report: Report
    spans: list[Span]
    summary: Summary
    probabilities: dict[str, float] = {}  # noqa: RUF012 (nobody writes to it)


class Format(NamedTuple):
    """How labels are written. `encode` runs in the worker processes, for a batch of reports.

    `create` runs in the parent process: it opens a file, and gives a function that appends what `encode` returned.
    """

    encode: Callable[[list[ReportLabels]], Any]
    create: Callable[[Path], contextlib.AbstractContextManager[Callable[[Any], object]]]


def choose_format(form: str, suffix: str, task: str, teacher: str, names: list[str], quotes: bool) -> Format:
    """Returns the format `form` (wide, long, jsonl) for a file with this suffix. `names`: the labels in order.

    Raises:
        InputError: form, suffix, task, labels and quotes are not compatible.
    """
    suffixes = JSON_LINES if form == "jsonl" else TABLES
    if suffix not in suffixes:
        other = "for JSON lines say --format jsonl" if form != "jsonl" else "for a table leave out --format jsonl"
        raise InputError(f"--format {form} is written to {', '.join(suffixes)}, not to '{suffix or 'no suffix'}'; {other}")
    if quotes and form != "jsonl":
        raise InputError("--quotes writes the words of the report; only --format jsonl has a place for them")
    if form == "jsonl":
        return Format(partial(_json_lines, with_codes=task == OPEN_ENDED, with_quotes=quotes), _create_lines)
    if form == "long":
        return _table(suffix, list(LONG), partial(_long_rows, task, teacher), numbers={"probability": "float64"})
    if task == OPEN_ENDED:
        raise InputError("--task open_ended has no wide form, since its phrases have no fixed columns: --format long, or jsonl")
    codes = [*names, *([] if NO_FINDING in names else [NO_FINDING])]
    columns = ["report_id", *codes]
    if len(set(columns)) < len(columns):
        raise InputError("--format wide: a label has the name of another column (report_id); --format long has no such limit")
    return _table(suffix, columns, partial(_wide_rows, add_no_finding=len(codes) > len(names)), dict.fromkeys(codes, "int8"))


def _table(suffix: str, columns: list[str], rows_of: Callable[[list[ReportLabels]], Rows], numbers: dict[str, str]) -> Format:
    """Returns the format of a table. `numbers`: column to Arrow type, for columns that are not text."""
    if suffix == ".parquet":
        return Format(rows_of, partial(_create_parquet, columns, numbers))
    return Format(rows_of, partial(_create_delimited, columns, DELIMITERS[suffix]))


def _wide_rows(reports: list[ReportLabels], add_no_finding: bool) -> Rows:
    """Returns one row per report: its id, then 1, 0, -1 or None for each label."""
    rows = []
    for labels in reports:
        codes = [None if (code := to_chexpert(status)) is None else int(code) for _, status, _ in labels.summary]
        rows.append([labels.report.report_id, *codes, *([no_finding(labels.summary)] if add_no_finding else [])])
    return rows


def no_finding(summary: Summary) -> int | None:
    """Returns the code of CheXpert's No Finding: 1 if no label but Support Devices is present or uncertain, else None."""
    found = any(status in (PRESENT, UNCERTAIN) for label, status, _ in summary if label != DEVICES)
    return None if found else 1


def _long_rows(task: str, teacher: str, reports: list[ReportLabels]) -> Rows:
    return [
        [labels.report.report_id, task, teacher, label, status, labels.probabilities.get(label), code or None]
        for labels in reports
        for label, status, code in labels.summary
    ]


def _json_lines(reports: list[ReportLabels], with_codes: bool, with_quotes: bool) -> str:
    lines = []
    for report, spans, summary, probabilities in reports:
        labels: list[dict[str, Any]] = [
            {"label": label, "status": status}
            | ({"probability": probabilities[label]} if label in probabilities else {})
            | ({"code": code} if with_codes else {})
            for label, status, code in summary
        ]
        evidence = [_evidence(report, span, with_quotes) for span in spans]
        lines.append(json.dumps({"report_id": report.report_id, "labels": labels, "evidence": evidence}, ensure_ascii=False))
    return "".join(f"{line}\n" for line in lines)


def _evidence(report: Report, span: Span, with_quote: bool) -> dict[str, Any]:
    start, end = span.start, span.end
    if span.section in report.origins:  # offsets in the output count the cell's markup
        starts, ends = report.origins[span.section]
        start, end = starts[start], ends[end - 1]
    place = {"label": span.label, "status": span.status, "section": span.section, "start": start, "end": end, "cue": span.cue}
    return place | ({"quote": _quote(report.sections[span.section], span)} if with_quote else {})


def _quote(pieces: list[Piece], span: Span) -> str:
    """Returns the words of a span."""
    start, words = pieces[bisect.bisect_right(pieces, span.start, key=lambda piece: piece[0]) - 1]
    return words[span.start - start : span.end - start]


@contextlib.contextmanager
def _create_lines(path: Path) -> Iterator[Callable[[str], object]]:
    with path.open("w", encoding="utf-8", newline="") as file:
        yield file.write


@contextlib.contextmanager
def _create_delimited(columns: list[str], delimiter: str, path: Path) -> Iterator[Callable[[Rows], object]]:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow(columns)
        yield writer.writerows


@contextlib.contextmanager
def _create_parquet(columns: list[str], numbers: dict[str, str], path: Path) -> Iterator[Callable[[Rows], object]]:
    """Opens a Parquet file that is written row group by row group."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([(column, numbers.get(column, "string")) for column in columns])
    waiting: Rows = []

    def write(rows: Rows, at_least: int = ROW_GROUP) -> None:
        waiting.extend(rows)
        if len(waiting) >= at_least:
            cells = zip(*waiting, strict=True) if waiting else [()] * len(columns)
            file.write_table(pa.table([pa.array(each, kind) for each, kind in zip(cells, schema.types, strict=True)], schema))
            waiting.clear()

    with parquet.ParquetWriter(path, schema, compression="zstd") as file:
        yield write
        write([], at_least=0)
