"""Anyone's own reports: CSV, TSV, Parquet, JSON lines, or a folder of text files, with the columns that params.yaml names.

People's labels stand in annotators' files below `extract.gold`: `multiple_choice/<annotator>.csv` (report_id and a column a
label, CheXpert's codes), `open_ended/<annotator>.csv` (report_id, concept, status); or with the reports (`extract.files.labels`).
A report that a file does not name was not annotated by that person.
"""

import difflib
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

import polars as pl

from raddistill.concepts import Concept
from raddistill.errors import InputError, ParamsError
from raddistill.labelsets import Label
from raddistill.params import Section
from raddistill.sources import columns, readers, sectioning
from raddistill.sources.documents import Document, Failure
from raddistill.sources.sections import single_spaced
from raddistill.statuses import ABSENT, EXCLUDED, GOLD_STATUSES, PRESENT, from_chexpert

WITH_REPORTS = "with_reports"  # the annotator whose labels stand beside the reports
NO_FINDING = "No Finding"
NOTHING = {"normal", "none", "no finding", "no findings"}  # in a list of labels: read, and nothing found
SHOWN = 3  # ids
# As pandas writes them, too. What a person who read the report does not mention is absent.
_CODES = {written: from_chexpert(float(written)) for written in ("1", "1.0", "0", "0.0", "-1", "-1.0")}
_CODES |= {"": ABSENT, "NaN": ABSENT}
GOLD = dict.fromkeys(["report_id", "task", "annotator", "label", "status"], pl.String)


LONGEST_ID, MOST_WORDS = 100, 8  # characters and words of an id; names of files are ids, too


class FilesParams(Section):
    """What the columns are called; '' where there is none."""

    sensitivity: Literal["", "public", "credentialed", "phi"]
    format: Literal["", "csv", "tsv", "jsonl", "parquet", "folder"]
    encoding: str
    id: str
    patient: str
    text: str
    findings: str
    impression: str
    indication: str
    comparison: str
    date: str
    split: str
    labels: str


class Files:
    """A file of reports, a row each, or a folder of text files."""

    name = "files"

    def __init__(self, p: FilesParams, label_set: list[str]) -> None:
        """
        Raises:
            ParamsError: no sensitivity is declared; both whole texts and sections are named, or neither.
        """
        if not p.sensitivity:
            raise ParamsError("extract.files.sensitivity: say whether these reports are public, credentialed or phi")
        if bool(p.text) == bool(p.findings or p.impression):
            raise ParamsError(
                "extract.files: name the column `text` of whole reports, or `findings` and `impression`; set the others to ''"
            )
        self.sensitivity: str = p.sensitivity
        self._p, self._label_set = p, label_set
        self._ids: set[str] = set()  # of what was read

    def read(self, raw: Path) -> Iterator[Document | Failure]:
        """Every row, or every text file.

        Raises:
            InputError: no such file, or several; not of its form; a column that is missing or doubled.
        """
        path = _file(raw, self._p.format)
        rows = self._open(path)
        try:
            there = rows.columns
            of = {"id": "report_id", "text": "text"} if isinstance(rows, readers.Folder) else self._columns(path, there)
            labels = [name for name in (*self._label_set, NO_FINDING) if self._p.labels == "*" and name in there]
            wanted = [*of.values(), *labels]
            count = 0
            for count, row in enumerate(self._told(rows.rows(wanted)), start=1):
                cells = dict(zip([*of, *(f"={name}" for name in labels)], row.cells, strict=True))
                made = self._made(f"{path.name}, row {count}", cells, row.reason)
                self._ids.add(made.report_id)
                yield made
            if not count:
                raise InputError(f"{path} holds no report")
        finally:
            rows.close()

    def gold(
        self, annotations: dict[str, tuple[str, ...]], mapping: Path, label_set: list[Label], concepts: list[Concept]
    ) -> pl.DataFrame:
        """The rows of each annotator, of the reports that he or she annotated.

        Raises:
            InputError: as `load_wide` and `load_long`; the folder holds CSV files, but none of an annotator.
        """
        labels, names = [label.name for label in label_set], [c.concept for c in concepts]
        frames = [load_wide(path, labels) for path in sorted(mapping.glob("multiple_choice/*.csv"))]
        frames += [load_long(path, names) for path in sorted(mapping.glob("open_ended/*.csv"))]
        if not frames and any(mapping.glob("*.csv")):
            raise InputError(
                f"{mapping} holds no multiple_choice/<annotator>.csv and no open_ended/<annotator>.csv; "
                "if nobody annotated these reports, set extract.gold to gold/none"
            )
        _refuse_other_ids(frames, self._ids, mapping)
        return pl.concat([pl.DataFrame(schema=GOLD), *frames, _with_reports(annotations, labels)])

    def _open(self, path: Path) -> readers.Rows:
        try:
            return readers.open_rows(str(path), self._p.format or None, self._p.encoding)
        except InputError as error:
            raise _in_our_words(error) from None

    def _told(self, rows: Iterable[Any]) -> Iterator[Any]:
        try:
            yield from rows
        except InputError as error:
            raise _in_our_words(error) from None

    def _columns(self, path: Path, there: list[str]) -> dict[str, str]:
        """What is read: our word to the file's column.

        Raises:
            InputError: a column that is missing or doubled.
        """
        keys = [key for key in FilesParams.model_fields if key not in ("sensitivity", "format", "encoding")]
        of = {key: name for key in keys if (name := getattr(self._p, key)) and name != "*"}
        labels = [*self._label_set, *([NO_FINDING] if NO_FINDING in there else [])] if self._p.labels == "*" else []
        columns.require(str(path), there, [*of.values(), *labels])
        return of

    def _made(self, place: str, cells: dict[str, Any], reason: str | None) -> Document | Failure:
        report_id = identity(cells["id"])
        known = report_id if report_id and _encodable(report_id) and not reason else place
        if report_id and _is_text(report_id):
            return Failure(place, "the report id is no id but text")
        if reason := reason or _reason(report_id, cells):
            return Failure(known, reason)
        assert report_id is not None
        try:
            when = _date(cells.get("date"))
            annotations = tuple(self._annotations(cells))
        except ValueError as error:
            return Failure(report_id, str(error))
        words = sectioning.words(cells.get("text") or "")
        return Document(
            report_id=report_id,
            patient_id=identity(cells.get("patient")),
            findings=single_spaced(cells.get("findings")) or words.findings,
            impression=single_spaced(cells.get("impression")) or words.impression,
            indication=single_spaced(cells.get("indication")) or words.indication,
            comparison=single_spaced(cells.get("comparison")) or words.comparison,
            annotations=annotations,
            split=identity(cells.get("split")),
            date=when,
            without_headers=words.without_headers and words.findings is not None,
        )

    def _annotations(self, cells: dict[str, Any]) -> Iterator[str]:
        """`<status> <label>` for what is said; " " where a person read the report and found nothing.

        Raises:
            ValueError: a code that is none of CheXpert's, a label that is not of the set (said without the cell).
        """
        if listed := identity(cells.get("labels")):
            yield " "
            for said in filter(None, (part.strip() for part in listed.split(";"))):
                if said in self._label_set:
                    yield f"{PRESENT} {said}"
                elif said.lower() not in NOTHING:
                    raise ValueError("a label outside of the set")
        codes = {key[1:]: identity(cell) or "" for key, cell in cells.items() if key.startswith("=")}
        if not any(codes.values()):
            return
        yield " "
        for name, code in codes.items():
            if code not in _CODES:
                raise ValueError("a code other than 1, 0, -1 and blank")
            if name in self._label_set:
                yield f"{_CODES[code]} {name}"


def load_wide(path: Path, labels: list[str]) -> pl.DataFrame:
    """Gold rows of `multiple_choice/<annotator>.csv`: `report_id` and a column a label; blank is absent. Others are not read.

    Raises:
        InputError: not a CSV; a column missing or doubled; an id that is blank or stands twice; a cell that is no code.
    """
    frame = _table(path, ["report_id", *labels])
    _refuse_doubled(path, frame, ["report_id"])
    for name in labels:
        _refuse(path, frame.filter(~pl.col(name).is_in(list(_CODES))), f"column '{name}' is not 1, 0, -1 or blank")
    long = frame.select("report_id", *labels).unpivot(index="report_id", variable_name="label", value_name="code")
    status = pl.col("code").replace_strict(_CODES, return_dtype=pl.String)
    return _rows(long.with_columns(status=status), "multiple_choice", path.stem)


def load_long(path: Path, concepts: list[str]) -> pl.DataFrame:
    """Gold rows of `open_ended/<annotator>.csv`: report_id, concept, status (blank: present).

    A report's other concepts are absent; a row without a concept says that nothing was found.

    Raises:
        InputError: as `load_wide`; a concept that is not in gold/concepts.csv, another status.
    """
    frame = _table(path, ["report_id", "concept", "status"])
    _refuse_doubled(path, frame, ["report_id", "concept"])
    frame = frame.with_columns(status=pl.when(pl.col("status") == "").then(pl.lit(PRESENT)).otherwise("status"))
    strange = frame.filter(~pl.col("concept").is_in(["", *concepts]))
    near = difflib.get_close_matches(strange["concept"][0], concepts, n=1) if strange.height else []
    _refuse(path, strange, f"column 'concept' is none of gold/concepts.csv{f' (nearest: {near[0]})' if near else ''}")
    words = [status for status in GOLD_STATUSES if status != EXCLUDED]
    _refuse(path, frame.filter(~pl.col("status").is_in(words)), f"column 'status' is none of {', '.join(words)}")
    cells = frame.select("report_id").unique(maintain_order=True).join(pl.DataFrame({"label": concepts}), how="cross")
    said = cells.join(frame, left_on=["report_id", "label"], right_on=["report_id", "concept"], how="left", maintain_order="left")
    return _rows(said.with_columns(pl.col("status").fill_null(ABSENT)), "open_ended", path.stem)


def identity(cell: Any) -> str | None:
    """An id as text: trimmed; of a whole number its digits, also of a float (numbers with gaps). None where there is none."""
    if isinstance(cell, float) and cell % 1 == 0:
        cell = int(cell)
    if cell is None or cell != cell:  # noqa: PLR0124 - NaN
        return None
    return str(cell).strip() or None


def _file(raw: Path, form: str) -> Path:
    """`raw` itself, or the one file of it that holds rows, or `raw` as a folder of text files.

    Raises:
        InputError: several files that could be meant.
    """
    if not raw.is_dir() or form == "folder":
        return raw
    files = [f for f in sorted(raw.iterdir()) if f.is_file()]
    known = [f for f in files if Path(f.name.removesuffix(".gz")).suffix.lower() in readers.FORMATS]
    if len(known) > 1:
        raise InputError(f"{raw} holds {', '.join(f.name for f in known[:SHOWN])}: name one of {len(known)} files as extract.raw")
    return known[0] if known else raw


def _reason(report_id: str | None, cells: dict[str, Any]) -> str | None:
    """Why a row is no report."""
    if report_id is None:
        return "blank report id"
    if isinstance(cells["id"], bool | list | dict):
        return "the report id is neither text nor a number"
    if isinstance(cells.get("patient"), bool | list | dict):
        return "the patient id is neither text nor a number"
    for key, cell in cells.items():
        if key in ("text", "findings", "impression", "indication", "comparison") and not isinstance(cell, str | None):
            return "the report is not text"
        if isinstance(cell, str) and not _encodable(cell):
            return readers.NOT_UTF8
    return None


def _is_text(report_id: str) -> bool:
    """Whether a column of reports was named as that of ids: what stands there is then never told."""
    return len(report_id) > LONGEST_ID or len(report_id.splitlines()) > 1 or len(report_id.split()) > MOST_WORDS


def _date(cell: Any) -> str | None:
    """ISO 8601 in UTC, to the microsecond, so that texts compare as times do; None where there is none.

    Raises:
        ValueError: it is no date.
    """
    if cell is None or cell != cell or (isinstance(cell, str) and not cell.strip()):  # noqa: PLR0124 - NaN
        return None
    if isinstance(cell, str):
        try:
            cell = datetime.fromisoformat(cell.strip())
        except ValueError:
            raise ValueError("the date is not ISO 8601") from None
    if isinstance(cell, datetime):
        return (cell.astimezone(UTC) if cell.tzinfo else cell).replace(tzinfo=None).isoformat(timespec="microseconds")
    if isinstance(cell, date):
        return datetime(cell.year, cell.month, cell.day).isoformat(timespec="microseconds")
    raise ValueError("the date is not ISO 8601")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _in_our_words(error: InputError) -> InputError:
    """The readers speak to the command line."""
    told = str(error).replace("--input-format", "extract.files.format")
    return InputError(told.replace("--encoding", "extract.files.encoding"))


def _table(path: Path, wanted: list[str]) -> pl.DataFrame:
    """The wanted columns of an annotator's CSV, cells trimmed, blank ones empty."""
    rows = readers.open_rows(str(path), "csv", "utf-8")
    try:
        columns.require(str(path), rows.columns, wanted)
        read = list(rows.rows(wanted))
    finally:
        rows.close()
    broken = sorted({row.reason for row in read if row.reason})
    if broken or not all(_encodable(cell) for row in read for cell in row.cells):
        raise InputError(f"{path}: a row cannot be read ({broken[0] if broken else readers.NOT_UTF8})")
    frame = pl.DataFrame([row.cells for row in read], schema=dict.fromkeys(wanted, pl.String), orient="row")
    frame = frame.select(pl.all().str.strip_chars())
    if blank := frame.filter(pl.col("report_id") == "").height:
        raise InputError(f"{path}: column 'report_id' is blank in {blank} rows")
    return frame


def _rows(frame: pl.DataFrame, task: str, annotator: str) -> pl.DataFrame:
    return frame.with_columns(task=pl.lit(task), annotator=pl.lit(annotator)).select(*GOLD)


def _refuse(path: Path, wrong: pl.DataFrame, what: str) -> None:
    if wrong.height:
        ids = ", ".join(wrong["report_id"].unique().sort()[:SHOWN])
        raise InputError(f"{path}: {what} in {wrong.height} rows (report {ids})")


def _refuse_doubled(path: Path, frame: pl.DataFrame, key: list[str]) -> None:
    doubled = frame.filter(pl.struct(key).is_duplicated())
    _refuse(path, doubled, f"{' and '.join(key)} stand more than once")


def _refuse_other_ids(frames: list[pl.DataFrame], known: set[str], mapping: Path) -> None:
    """Annotators' files that name none of the reports are of another collection, or write ids otherwise (0012 and 12)."""
    ids = sorted({report_id for frame in frames for report_id in frame["report_id"].unique()})
    if ids and known.isdisjoint(ids):
        raise InputError(
            f"{mapping}: none of {len(ids)} annotated ids (such as {ids[0]}) is that of a report (such as {min(known)}); "
            "ids are compared as text"
        )


def _with_reports(annotations: dict[str, tuple[str, ...]], labels: list[str]) -> pl.DataFrame:
    rows = []
    for report_id, said in annotations.items():
        statuses = {label: status for status, _, label in (one.partition(" ") for one in said if one != " ")}
        rows += [(report_id, "multiple_choice", WITH_REPORTS, name, statuses.get(name, ABSENT)) for name in labels if said]
    return pl.DataFrame(rows, schema=GOLD, orient="row")
