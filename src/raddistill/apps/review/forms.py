"""Writes the forms in which people answer a queue: a spreadsheet, a page for the browser, and tasks for Label Studio.

All hold report text, and the same question: does the reader agree with all pre-filled labels, mostly (the wrong ones are then
corrected), or not? No form shows why a report was chosen.
"""

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from raddistill.apps.label.rules import MARKS
from raddistill.apps.review.queue import VALUES, Queue
from raddistill.files import write_whole

AGREE = ["all", "mostly", "no"]
ID, TEXT, AGREES = "report_id", "report", "agree"
FORMS = ["review.xlsx", "review.html", "label_studio.xml", "label_studio.json"]
_LONGEST_CELL = 32767  # characters; openpyxl would cut the rest without a word
_NOT_IN_CELLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # XML forbids them


def control(number: int) -> str:
    """Returns the name of a label's control in Label Studio, by the label's place in the queue: a name must be one word there."""
    return f"label_{number}"


def write_sheet(path: Path, rows: list[dict[str, str]], choices: dict[str, list[str]], wide: dict[str, int]) -> None:
    """Writes rows (column to cell, all with the same columns) as .xlsx. Each column of `choices` gets a dropdown.

    `wide`: width of columns in characters. Cells are text, never formulas: a report may start with "=". A text too long
    for a cell is cut, and says so.
    """
    from openpyxl import Workbook
    from openpyxl.styles import Alignment, Font
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.datavalidation import DataValidation

    book = Workbook()
    sheet = book.active
    sheet.freeze_panes = "B2"
    for column, name in enumerate(rows[0], start=1):
        letter = get_column_letter(column)
        sheet.column_dimensions[letter].width = wide.get(name, 13)
        sheet.cell(1, column, name).font = Font(bold=True)
        if name in choices:
            validation = DataValidation("list", formula1=f'"{",".join(choices[name])}"', showErrorMessage=True)
            validation.error = f"one of: {', '.join(choices[name])}"
            validation.add(f"{letter}2:{letter}{len(rows) + 1}")
            sheet.add_data_validation(validation)
    for line, row in enumerate(rows, start=2):
        for column, cell in enumerate(row.values(), start=1):
            text = cell if len(cell) < _LONGEST_CELL else f"{cell[: _LONGEST_CELL - 100]} [CUT: the page has the rest]"
            written = sheet.cell(line, column, _NOT_IN_CELLS.sub(" ", text))
            written.data_type, written.number_format = "s", "@"
            written.alignment = Alignment(wrap_text=True, vertical="top")
    with write_whole(path) as part:
        book.save(part)


def write(queue: Queue, folder: Path) -> list[Path]:
    """Writes all forms into `folder`, and returns their paths."""
    return [_write_spreadsheet(queue, folder), _write_page(queue, folder), *_write_label_studio(queue, folder)]


def _write_spreadsheet(queue: Queue, folder: Path) -> Path:
    rows = [
        {ID: row["report_id"], TEXT: row["text"], "evidence": _evidence(row), AGREES: "", **row["labels"]} for row in queue.rows
    ]
    path = folder / FORMS[0]
    write_sheet(path, rows, {AGREES: AGREE, **dict.fromkeys(queue.labels, VALUES)}, {ID: 16, TEXT: 80, "evidence": 30})
    return path


def _evidence(row: dict[str, Any]) -> str:
    return "\n".join(f"{MARKS[status]} {label}: {row['text'][start:end]}" for start, end, label, status in row["evidence"])


def _write_page(queue: Queue, folder: Path) -> Path:
    rows = [{"id": r["report_id"], "text": r["text"], "labels": r["labels"], "marks": _marks(r)} for r in queue.rows]
    content = {"queue": queue.id, "labels": queue.labels, "values": VALUES, "agree": AGREE, "rows": rows}
    # Text with "</script>" or "<!--" in it must not end the script.
    data = json.dumps(content).replace("<", "\\u003c")
    page = resources.files("raddistill.apps.review").joinpath("page.html").read_text(encoding="utf-8")
    path = folder / FORMS[1]
    with write_whole(path) as part:
        part.write_text(page.replace("__DATA__", data), encoding="utf-8")
    return path


def _marks(row: dict[str, Any]) -> list[list[Any]]:
    """Returns the evidence as [start, end, labels, mark] in order, without overlaps: of two, the one that starts first."""
    marks: list[list[Any]] = []
    for start, end, label, status in row["evidence"]:
        if marks and marks[-1][:2] == [start, end] and marks[-1][3] == MARKS[status]:
            marks[-1][2] += f", {label}"
        elif not marks or start >= marks[-1][1]:
            marks.append([start, end, label, MARKS[status]])
    return marks


def _write_label_studio(queue: Queue, folder: Path) -> list[Path]:
    """Writes the labeling interface, and tasks with predictions."""
    choices = ['<View style="display:flex">', "<View>", '<Labels name="evidence" toName="text">']
    choices += [f"<Label value={quoteattr(label)}/>" for label in queue.labels]
    choices += ["</Labels>", '<Text name="text" value="$text"/>', "</View>", "<View>"]
    for name, title, values in [("agree", "Do you agree with the labels?", AGREE), *_controls(queue)]:
        choices += [f"<Header value={quoteattr(title)}/>", f'<Choices name="{name}" toName="text" choice="single-radio" ']
        choices[-1] += 'showInline="true" required="true">' + "".join(f'<Choice value="{v}"/>' for v in values) + "</Choices>"
    config = "\n".join([*choices, "</View>", "</View>", ""])
    tasks = [
        {
            "data": {ID: row["report_id"], "text": row["text"]},
            "predictions": [{"model_version": queue.about["prefilled_by"], "result": list(_results(queue, row))}],
        }
        for row in queue.rows
    ]
    paths = [folder / name for name in FORMS[2:]]
    for path, content in zip(paths, [config, json.dumps(tasks, indent=1)], strict=True):
        with write_whole(path) as part:
            part.write_text(content, encoding="utf-8")
    return paths


def _controls(queue: Queue) -> list[tuple[str, str, list[str]]]:
    return [(control(n), label, VALUES) for n, label in enumerate(queue.labels, start=1)]


def _results(queue: Queue, row: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the pre-filled labels and the evidence. Label Studio counts offsets in UTF-16, as browsers do."""
    results: list[dict[str, Any]] = [
        {"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": [row["labels"][label]]}}
        for name, label, _ in _controls(queue)
    ]
    for start, end, label, _ in row["evidence"]:
        begin, stop = (len(row["text"][:offset].encode("utf-16-le")) // 2 for offset in (start, end))
        value = {"start": begin, "end": stop, "text": row["text"][start:end], "labels": [label]}
        results.append({"from_name": "evidence", "to_name": "text", "type": "labels", "value": value})
    return [{"id": f"r{n}", **result} for n, result in enumerate(results)]
