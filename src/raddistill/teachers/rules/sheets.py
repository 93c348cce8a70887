"""Labels of reports as lines of a file: a row a report in CheXpert's codes, a row a label, or JSON with the evidence.

A form turns one report into its lines and knows nothing of the reports before it, so files can be made piece by piece.
"""

import bisect
import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from raddistill.errors import InputError
from raddistill.statuses import PRESENT, UNCERTAIN, to_chexpert
from raddistill.teachers.rules.reading import Span

FORMATS = ("wide", "long", "jsonl")
DELIMITERS = {".csv": ",", ".tsv": "\t", ".parquet": ","}  # Parquet is made of a finished CSV, so that it can be resumed, too
NO_FINDING = "No Finding"
DEVICES = "Support Devices"  # a report with nothing else has no finding (chexpert-labeler, stages/aggregate.py)
LONG = ["report_id", "task", "teacher", "label", "status", "probability", "code"]
Summary = list[tuple[str, str, str | None]]  # label, status, code


class Labelled(NamedTuple):
    """What was found in a report. `sections` and `origins` as in tables.piles.Report, for the quotes and for the offsets."""

    report_id: str
    spans: list[Span]
    summary: Summary
    sections: dict[str, list[tuple[int, str]]]
    origins: dict[str, tuple[list[int], list[int]]]


class Sheet(NamedTuple):
    """A form: the line before all others, and the lines of reports."""

    header: bytes
    lines: Callable[[list[Labelled]], bytes]


def choose(form: str, suffix: str, task: str, teacher: str, names: list[str], quotes: bool) -> Sheet:
    """The sheet for an output with this suffix. `names`: of the labels, in their order.

    Raises:
        InputError: a form and a suffix or task that do not go together.
    """
    suffixes = (".jsonl", ".ndjson") if form == "jsonl" else tuple(DELIMITERS)
    if suffix not in suffixes:
        other = "for JSON lines say --format jsonl" if form != "jsonl" else "for a table leave out --format jsonl"
        raise InputError(f"--format {form} is written to {', '.join(suffixes)}, not to '{suffix or 'no suffix'}'; {other}")
    if quotes and form != "jsonl":
        raise InputError("--quotes writes the words of the report; only --format jsonl has a place for them")
    if form == "jsonl":
        return Sheet(b"", lambda reports: _json_lines(reports, with_codes=task == "open_ended", with_quotes=quotes))
    if form == "long":
        write = _writer(DELIMITERS[suffix])
        return Sheet(write([LONG]), lambda reports: write(_long_rows(reports, task, teacher)))
    if task == "open_ended":
        raise InputError("--task open_ended has no wide form, since its phrases have no fixed columns: --format long, or jsonl")
    header = wide_columns(names)
    if len(set(header)) < len(header):
        raise InputError("--format wide: a label has the name of another column (report_id); --format long has no such limit")
    write = _writer(DELIMITERS[suffix])
    return Sheet(write([header]), lambda reports: write(_wide_rows(reports, add=len(header) > len(names) + 1)))


def wide_columns(names: list[str]) -> list[str]:
    """The columns: No Finding is added unless the label set itself has it."""
    return ["report_id", *names, *([] if NO_FINDING in names else [NO_FINDING])]


def no_finding(summary: Summary) -> bool:
    """Nothing present and nothing uncertain, devices left out: CheXpert's convention."""
    return not any(status in (PRESENT, UNCERTAIN) for label, status, _ in summary if label != DEVICES)


def _wide_rows(reports: list[Labelled], add: bool) -> list[list[Any]]:
    """1, 0, -1 or blank."""
    rows = []
    for report in reports:
        codes = [to_chexpert(status) for _, status, _ in report.summary]
        cells: list[Any] = ["" if code is None else int(code) for code in codes]
        rows.append([report.report_id, *cells, *([1 if no_finding(report.summary) else ""] if add else [])])
    return rows


def _long_rows(reports: list[Labelled], task: str, teacher: str) -> list[list[Any]]:
    return [
        [report.report_id, task, teacher, label, status, "", code or ""]
        for report in reports
        for label, status, code in report.summary
    ]


def _json_lines(reports: list[Labelled], with_codes: bool, with_quotes: bool) -> bytes:
    lines = []
    for report in reports:
        labels: list[dict[str, Any]] = [{"label": label, "status": status} for label, status, _ in report.summary]
        if with_codes:
            labels = [label | {"code": code} for label, (_, _, code) in zip(labels, report.summary, strict=True)]
        evidence = [
            {"label": s.label, "status": s.says, "section": s.section, "start": start, "end": end, "cue": s.cue}
            | ({"quote": quote(report.sections, s)} if with_quotes else {})
            for s in report.spans
            for start, end in [_written_at(report.origins, s)]
        ]
        lines.append(json.dumps({"report_id": report.report_id, "labels": labels, "evidence": evidence}, ensure_ascii=False))
    return "".join(f"{line}\n" for line in lines).encode()


def _written_at(origins: dict[str, tuple[list[int], list[int]]], span: Span) -> tuple[int, int]:
    """Start and end of a span in its cell, markup counted."""
    if span.section not in origins:
        return span.start, span.end
    starts, ends = origins[span.section]
    return starts[span.start], ends[span.end - 1]


def quote(sections: dict[str, list[tuple[int, str]]], span: Span) -> str:
    """The words of a span."""
    at, words = sections[span.section][bisect.bisect_right(sections[span.section], span.start, key=lambda piece: piece[0]) - 1]
    return words[span.start - at : span.end - at]


def _writer(delimiter: str) -> Callable[[list[list[Any]]], bytes]:
    def write(rows: list[list[Any]]) -> bytes:
        out = io.StringIO(newline="")
        csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(rows)
        return out.getvalue().encode()

    return write


def to_parquet(table: Path, form: str, target: Path) -> None:
    """A finished CSV as Parquet, with little of it in memory: codes as 8-bit integers, everything else as text."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv
    from pyarrow import parquet as pq

    with table.open(encoding="utf-8", newline="") as file:
        columns = next(csv.reader(file))
    kinds = (
        dict.fromkeys(columns, pa.int8()) | {"report_id": pa.string()} if form == "wide" else dict.fromkeys(columns, pa.string())
    )
    if form == "long":
        kinds["probability"] = pa.float64()
    reader = arrow_csv.open_csv(
        table,
        parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(column_types=kinds, null_values=[""], strings_can_be_null=True),
    )
    with pq.ParquetWriter(target, pa.schema(kinds.items()), compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)
