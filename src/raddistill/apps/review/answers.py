"""Reads what people answered, from any of the three forms, and checks every row of it.

A file has one reader, named like the file; a file of the page names its reader itself. An export of Label Studio has one reader
for each account that answered, named like the file and numbered if there are several.

A reader who agrees with all labels takes them as they were; one who agrees `mostly` corrects at least one. One who says `no` and
corrects labels has labelled the report; one who says `no` alone has rejected it, and others must decide (adjudication).
"""

import contextlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raddistill.apps.review.forms import AGREE, AGREES, ID, control
from raddistill.apps.review.queue import VALUES, Queue
from raddistill.errors import InputError
from raddistill.privacy import such_as
from raddistill.reading import columns
from raddistill.reading.rows import open_rows

ALL, MOSTLY, NO = AGREE
FORMS = [".json", ".xlsx", ".csv", ".tsv"]
SHOWN = 20  # problems in one message
MOST_WORDS = 4  # in the name of a reader
Answers = dict[str, dict[str, str]]  # of a reader: report -> label -> present, uncertain or absent; no labels: rejected
_NAME = re.compile(r"\w[\w .-]{0,39}")  # of a reader: it becomes the name of a file


def read(queue: Queue, files: list[Path]) -> tuple[dict[str, Answers], list[str]]:
    """Returns the answers by reader, and a line for each reader who left reports unanswered.

    Raises:
        InputError: a file is missing or none of the forms; or rows have an unknown or repeated id, an unknown value, or
            contradict themselves. The message has a line for each, with ids, columns and numbers of rows, but no cells.
    """
    problems: list[str] = []
    unanswered: list[str] = []
    found: dict[str, Answers] = {}
    for path in files:
        for reader, rows in _readers(path, queue):
            if not _NAME.fullmatch(reader) or len(reader.split()) > MOST_WORDS:  # else it may be a sentence
                allowed = f"1 to 40 letters, digits, spaces, '_', '.' or '-', and {MOST_WORDS} words at most"
                raise InputError(f"{path}: the reader's name must be {allowed}")
            if reader in found:
                raise InputError(f"{path}: {reader} has answered in another file, too; rename one of the two")
            found[reader], wrong, missing = _check(queue, rows)
            problems += [f"{path.name}, {line}" for line in wrong]
            if missing:
                more = ", ..." if len(missing) > SHOWN else ""
                line = f"{path.name}: {reader} left {len(missing)} of {len(queue.rows)} reports open: "
                unanswered.append(line + ", ".join(missing[:SHOWN]) + more)
    refuse(problems)
    return found, unanswered


def refuse(problems: list[str]) -> None:
    """Raises an InputError with the first problems, one a line, if there are any."""
    if problems:
        more = f"\nand {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise InputError(f"{len(problems)} rows cannot be used; mend them and read again\n" + "\n".join(problems[:SHOWN]) + more)


def _check(queue: Queue, rows: list[dict[str, Any]]) -> tuple[Answers, list[str], list[str]]:
    """Returns a reader's answers, what is wrong (with the row), and which reports are not answered (row, or id without a row)."""
    answers: Answers = {}
    known, seen = {row["report_id"]: row for row in queue.rows}, dict[str, int]()
    wrong: list[str] = []
    missing: list[str] = []
    for number, row in enumerate(rows, start=2):  # as a spreadsheet counts; its first row has the names of the columns
        cells = {name: str("" if cell is None else cell).strip() for name, cell in row.items()}
        report, agree = cells[ID], cells[AGREES].lower()
        labels = {label: cells[label].lower() for label in queue.labels}
        changed = [label for label in queue.labels if report in known and labels[label] != known[report]["labels"][label]]
        unknown = [f"'{label}' is none of {', '.join(VALUES)}" for label, value in labels.items() if value not in VALUES]
        if report not in known:
            if any(cells.values()):  # a spreadsheet may end in blank rows
                wrong.append(f"row {number}: {ID} is none of the queue{such_as(report)}")
        elif report in seen:
            wrong.append(f"row {number}: {ID} is that of row {seen[report]}{such_as(report)}")
        elif agree not in {"", *AGREE}:
            wrong.append(f"row {number}: '{AGREES}' is none of {', '.join(AGREE)}")
        elif unknown and (agree or changed):
            wrong.append(f"row {number}: {'; '.join(unknown)}")
        elif changed and agree in ("", ALL):
            said = "agrees with all labels, but changes" if agree else f"has no '{AGREES}', but changes"
            wrong.append(f"row {number}: {said} {', '.join(changed)}; {MOSTLY} or {NO}?")
        elif agree == MOSTLY and not changed:
            wrong.append(f"row {number}: agrees mostly, but corrects no label")
        elif not agree:
            missing.append(f"row {number}")
        else:
            answers[report] = labels if changed or agree != NO else {}
        seen.setdefault(report, number)
    missing += [report for report in known if report not in seen]
    return answers, wrong, missing


def _readers(path: Path, queue: Queue) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yields each reader of a file, and his rows: `report_id`, `agree` and the labels."""
    if path.suffix.lower() not in FORMS:
        raise InputError(f"{path}: answers are read from {', '.join(FORMS)}; the page saves .json by its button")
    if path.suffix.lower() != ".json":
        yield path.stem, read_table(path, [ID, AGREES, *queue.labels])
        return
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        yield from (_page if isinstance(content, dict) else _label_studio)(path, content, queue)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        known = "a file that the page saved nor an export of Label Studio with annotations (as JSON, not JSON-MIN)"
        raise InputError(f"{path} is neither {known}") from None


def _page(path: Path, content: dict[str, Any], queue: Queue) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    if content["queue"] != queue.id:
        raise InputError(f"{path} answers another queue, not {queue.id}; --queue names the folder of its own")
    rows = [{ID: each["report_id"], AGREES: each["agree"], **each["labels"]} for each in content["answers"]]
    if not isinstance(content["reader"], str):
        raise TypeError
    yield content["reader"], [dict.fromkeys(queue.labels) | row for row in rows]


def _label_studio(path: Path, tasks: list[dict[str, Any]], queue: Queue) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A person is known by the number of the account; the address that an export may have beside it is not read."""
    by_person: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for task in tasks:
        for annotation in task["annotations"]:
            if annotation.get("was_cancelled"):  # skipped: the report has no row, so it counts as open
                continue
            person = annotation["completed_by"]
            made = [each for each in annotation["result"] if each["type"] == "choices"]
            chosen = {each["from_name"]: each["value"]["choices"][0] for each in made}
            row = {label: chosen.get(control(n)) for n, label in enumerate(queue.labels, start=1)}
            row |= {ID: task["data"][ID], AGREES: chosen.get(AGREES)}
            by_person[str(person["id"] if isinstance(person, dict) else person)].append(row)
    for person, rows in sorted(by_person.items()):
        yield path.stem if len(by_person) == 1 else f"{path.stem}-{person}", rows


def read_table(path: Path, wanted: list[str]) -> list[dict[str, Any]]:
    """Returns the rows of a spreadsheet (.xlsx) or CSV, with the wanted columns.

    Raises:
        InputError: the file is missing or damaged, or lacks a column.
    """
    if path.suffix.lower() != ".xlsx":
        with contextlib.closing(open_rows(str(path), None, "utf-8")) as rows:
            columns.require(str(path), rows.columns, wanted)
            read_rows = list(rows.rows(wanted))
        refuse([f"{path.name}, row {n}: {row.reason}" for n, row in enumerate(read_rows, start=2) if row.reason])
        return [dict(zip(wanted, row.cells, strict=True)) for row in read_rows]
    import zipfile

    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with contextlib.closing(load_workbook(path, read_only=True, data_only=True)) as book:
            lines = list(book.worksheets[0].values)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError):
        raise InputError(f"{path} is not a readable .xlsx file") from None
    names = [str(name) for name in lines[0]] if lines else []
    columns.require(str(path), names, wanted)
    rows_of_sheet = (dict(zip(names, cells, strict=False)) for cells in lines[1:])  # programs leave out blank cells at the end
    return [{name: row.get(name) for name in wanted} for row in rows_of_sheet]
