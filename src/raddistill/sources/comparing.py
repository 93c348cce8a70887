"""How two cohorts differ: length, sections, redaction marks, words, label rates. Numbers only, never a word of a report."""

import itertools
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from raddistill.errors import InputError
from raddistill.statuses import ABSENT, AMBIGUOUS, EXCLUDED, PRESENT, UNCERTAIN
from raddistill.tables import base as tables
from raddistill.tables.gold import Gold
from raddistill.tables.labels import Labels
from raddistill.tables.reports import SPLITS, Reports

TASK = "multiple_choice"  # open-ended labels are words of the reports
MARKS = {
    "XXXX": "X{4,}",  # Open-i
    "___": "_{3,}",  # MIMIC-CXR
    "[** **]": r"\[\*\*.*?\*\*\]",  # MIMIC-II and -III
    "[NAME]": r"[\[<][A-Z][A-Z _-]{2,}[0-9]*[\]>]",
}
SECTIONS = ["findings", "impression", "indication", "comparison"]
HIDDEN = {"labels uncertain", "labels absent"}  # not on the page, which would be three times as long; in the JSON
WORDS_AT_ONCE = 20_000  # reports; their words one by one take 100 MB
WORD = r"\S+"
Z = 1.959964  # of a 95 % interval


@dataclass(frozen=True)
class Cohort:
    """The reports of one source, and what one or several labellers say of them."""

    name: str
    reports: pl.DataFrame  # Reports
    labels: pl.DataFrame | None  # report_id, label, status, who (teacher or annotator); of multiple choice only
    strangers: int = 0  # ids with labels that the table of reports has not; told with the first cohort of the table

    @property
    def labellers(self) -> list[str]:
        return [] if self.labels is None else self.labels["who"].unique().sort().to_list()


class Measure(NamedTuple):
    """One figure of one cohort."""

    section: str
    name: str
    value: float | None
    of: int | None = None  # of how many reports (or labelled cells) it is a share
    percent: bool = False


class Row(NamedTuple):
    """One figure of both cohorts. Difference is second less first, its 95 % interval given for shares of reports only."""

    section: str
    name: str
    values: tuple[float | None, float | None]
    percent: bool
    difference: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Comparison:
    cohorts: tuple[Cohort, Cohort]
    rows: list[Row]

    def as_json(self) -> dict[str, Any]:
        """Cohorts, then section by section each figure of both; shares are fractions in [0, 1]."""
        about = [
            {"name": c.name, "reports": c.reports.height, "labellers": c.labellers, "labels_of_unknown_reports": c.strangers}
            for c in self.cohorts
        ]
        sections: dict[str, dict[str, Any]] = {}
        for row in self.rows:
            figures = {"values": list(row.values), "difference": row.difference, "low": row.low, "high": row.high}
            sections.setdefault(row.section, {})[row.name] = figures
        return {"cohorts": about, **sections}


def read(files: list[Path], labels: list[Path]) -> tuple[Cohort, Cohort]:
    """The two cohorts in one `reports` table of two sources, or in two tables; `labels` belong to the files in order.

    Raises:
        InputError: not two cohorts in all (lists what is there), or other than one labels table a file, or one of other reports.
        TableError: a file is no table of reports, labels or gold.
    """
    if labels and len(labels) != len(files):
        raise InputError(f"{len(labels)} tables of labels for {len(files)} of reports: give one for each, in the same order")
    cohorts: list[Cohort] = []
    for n, file in enumerate(files):
        reports, said = tables.read(Reports, file), _read_labels(labels[n]) if labels else None
        strangers = 0 if said is None else said.join(reports, on="report_id", how="anti")["report_id"].n_unique()
        if said is not None and strangers == said["report_id"].n_unique():
            raise InputError(f"{labels[n]} labels none of the reports of {file}; give labels in the order of the reports")
        for (source,), rows in reports.sort("source").group_by("source", maintain_order=True):
            own = None if said is None else said.join(rows, on="report_id", how="semi")
            cohorts.append(Cohort(str(source), rows, own, strangers))
            strangers = 0
    if len(cohorts) != 2:
        there = ", ".join(f"{c.name} ({c.reports.height} reports)" for c in cohorts) or "none"
        raise InputError(f"two cohorts are compared: two tables of one source each, or one table of two; found: {there}")
    if cohorts[0].name == cohorts[1].name:
        cohorts = [replace(c, name=str(file)) for c, file in zip(cohorts, files, strict=True)]
        if cohorts[0].name == cohorts[1].name:
            raise InputError(f"{files[0]} was given twice")
    return cohorts[0], cohorts[1]


def _read_labels(file: Path) -> pl.DataFrame:
    """Labels or Gold, whichever it is, as report_id, label, status, who; cells that nobody decided left out."""
    try:
        is_gold = "annotator" in pl.read_parquet_schema(file)
    except (FileNotFoundError, pl.exceptions.PolarsError):
        is_gold = False  # the reading below says what is wrong
    frame = tables.read(Gold, file) if is_gold else tables.read(Labels, file)
    who = "annotator" if is_gold else "teacher"
    chosen = frame.filter(pl.col("task") == TASK).select("report_id", "label", pl.col("status").cast(str), who=who)
    if chosen.is_empty():
        raise InputError(f"{file} holds no labels of the task {TASK}, whose rates are compared")
    return chosen.filter(~pl.col("status").is_in([EXCLUDED, AMBIGUOUS]))


def compare(first: Cohort, second: Cohort) -> Comparison:
    """Every figure of both, and how they differ.

    Intervals are Newcombe's (1998, Stat Med 17:873, method 10), of independent reports: several reports of a patient make
    them too narrow.
    """
    words = _words_of(first.reports), _words_of(second.reports)
    profiles = [_profile(first, second, *words), _profile(second, first, *reversed(words))]
    keys = dict.fromkeys([*profiles[0], *profiles[1]])
    order = {section: n for n, section in enumerate(dict.fromkeys(section for section, _ in keys))}
    rows = [_row(*(p.get(key, Measure(*key, None)) for p in profiles)) for key in keys]
    return Comparison((first, second), sorted(rows, key=lambda row: order[row.section]))


def _profile(cohort: Cohort, other: Cohort, own: pl.DataFrame, others: pl.DataFrame) -> dict[tuple[str, str], Measure]:
    """All measures of a cohort by section and name; `own` and `others` are the words of both."""
    r = cohort.reports
    measures = [*_size(r, other.reports), *_length(r), *_sections(r), *_marks(r), *_style(r), *_vocabulary(own, others)]
    return {(m.section, m.name): m for m in measures + _labels(cohort)}


def _size(reports: pl.DataFrame, other: pl.DataFrame) -> list[Measure]:
    n, patients = reports.height, reports["patient_id"].drop_nulls()
    return [
        Measure("reports", "reports", n),
        Measure("reports", "patients", patients.n_unique() if len(patients) else None),
        Measure("reports", "reports a patient, mean", len(patients) / patients.n_unique() if len(patients) else None),
        _share("reports", "patient unknown", n - len(patients), n),
        *(_share("reports", f"in {split}", reports.filter(pl.col("split") == split).height, n) for split in SPLITS),
        _share("reports", "of public text", reports.filter(pl.col("sensitivity") == "public").height, n),
        Measure("reports", "distinct texts", reports["text_group"].n_unique()),
        _share("reports", "text also in the other", reports.join(other, on="text_group", how="semi").height, n),
    ]


def _length(reports: pl.DataFrame) -> list[Measure]:
    """Words (between white space) of findings and impression together, and of each where it exists."""
    words = {name: pl.col(name).str.count_matches(WORD) for name in ("findings", "impression")}
    counts = reports.select(_count(WORD).alias("both"), **words)
    at = {"5th percentile": 0.05, "median": 0.5, "95th percentile": 0.95}
    spread = [Measure("words", f"a report, {name}", counts["both"].quantile(q, "nearest")) for name, q in at.items()]
    medians = [Measure("words", f"{name}, median", counts[name].quantile(0.5, "nearest")) for name in words]
    return [*spread, Measure("words", "a report, mean", counts.select(pl.col("both").mean()).item()), *medians]


def _sections(reports: pl.DataFrame) -> list[Measure]:
    findings, impression = pl.col("findings").is_not_null(), pl.col("impression").is_not_null()
    there = {name: pl.col(name).is_not_null() for name in SECTIONS} | {
        "findings without impression": findings & ~impression,
        "impression without findings": impression & ~findings,
    }
    return [_share("sections", name, reports.filter(has).height, reports.height) for name, has in there.items()]


def _marks(reports: pl.DataFrame) -> list[Measure]:
    """Of findings and impression; what stands in other sections is not looked at."""
    counts = reports.select(_count(pattern).alias(name) for name, pattern in MARKS.items())
    words = reports.select(_count(WORD).sum()).item()
    with_any = counts.filter(pl.any_horizontal(pl.all() > 0)).height
    marks = sum(counts.sum().row(0))
    return [
        _share("redaction marks", "reports with any", with_any, reports.height),
        Measure("redaction marks", "of 1,000 words", 1000 * marks / words if words else None),
        *(_share("redaction marks", f"reports with {n}", counts.filter(pl.col(n) > 0).height, reports.height) for n in MARKS),
    ]


def _style(reports: pl.DataFrame) -> list[Measure]:
    """Capitals, accents and numbers outside redaction marks."""
    patterns = {"letters": r"\p{L}", "capitals": r"\p{Lu}", "accented": r"[\p{L}--[a-zA-Z]]", "numbers": "[0-9]+"}
    counted = {name: _unmarked().str.count_matches(pattern) for name, pattern in patterns.items()}
    n = reports.select(**counted, words=_count(WORD)).sum().row(0, named=True)
    return [
        Measure("style", "capitals among letters", n["capitals"] / n["letters"] if n["letters"] else None, percent=True),
        Measure("style", "letters beyond a to z, of 1,000", 1000 * n["accented"] / n["letters"] if n["letters"] else None),
        Measure("style", "numbers, of 1,000 words", 1000 * n["numbers"] / n["words"] if n["words"] else None),
    ]


def _vocabulary(own: pl.DataFrame, other: pl.DataFrame) -> list[Measure]:
    """Running words that the other cohort never uses; the smaller the other, the more."""
    unknown, total = int(own.join(other, on="word", how="anti")["n"].sum()), int(own["n"].sum())
    return [
        Measure("vocabulary", "distinct words", own.height),
        Measure("vocabulary", "words that the other never uses", unknown / total if total else None, percent=True),
    ]


def _words_of(reports: pl.DataFrame) -> pl.DataFrame:
    """word (letters only, lower case), n; redaction marks are none."""
    counts = [
        chunk.select(_unmarked().str.to_lowercase().str.extract_all(r"\p{L}+").explode().alias("word"))
        .drop_nulls()
        .group_by("word")
        .agg(n=pl.len())
        for chunk in reports.select("findings", "impression").iter_slices(WORDS_AT_ONCE)
    ]
    return pl.concat(counts).group_by("word").agg(pl.col("n").sum())


def _labels(cohort: Cohort) -> list[Measure]:
    """Shares of the labelled reports; of several labellers each cell counts."""
    if cohort.labels is None:
        return []
    said = cohort.labels
    labelled = said["report_id"].n_unique()
    present = said.filter(pl.col("status") == PRESENT)
    by_report = present.select("report_id", "label").unique()
    measures = [
        _share("labelled", "reports with labels", labelled, cohort.reports.height),
        _share("labelled", "with any label present", by_report["report_id"].n_unique(), labelled),
        Measure("labelled", "labels present, mean", by_report.height / labelled if labelled else None),
    ]
    for status in (PRESENT, UNCERTAIN, ABSENT):
        rates = said.group_by("label").agg((pl.col("status") == status).sum().alias("n"), pl.len().alias("of")).sort("label")
        measures += [_share(f"labels {status}", label, n, of) for label, n, of in rates.iter_rows()]
    return measures


def _share(section: str, name: str, count: int, of: int) -> Measure:
    return Measure(section, name, count / of if of else None, of, percent=True)


def _row(first: Measure, second: Measure) -> Row:
    a, b = first.value, second.value
    difference = None if a is None or b is None else b - a
    low, high = _newcombe(a, first.of, b, second.of) if difference is not None else (None, None)
    return Row(first.section, first.name, (a, b), first.percent or second.percent, difference, low, high)


def _newcombe(a: float | None, of_a: int | None, b: float | None, of_b: int | None) -> tuple[float | None, float | None]:
    if a is None or b is None or not of_a or not of_b:
        return None, None
    (low_a, high_a), (low_b, high_b) = _wilson(a, of_a), _wilson(b, of_b)
    return b - a - math.hypot(b - low_b, high_a - a), b - a + math.hypot(high_b - b, a - low_a)


def _wilson(share: float, n: int) -> tuple[float, float]:
    centre, half = share + Z * Z / (2 * n), Z * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return (centre - half) / (1 + Z * Z / n), (centre + half) / (1 + Z * Z / n)


def _body() -> pl.Expr:
    """Findings and impression without their headers."""
    return pl.concat_str("findings", "impression", separator=" ", ignore_nulls=True)


def _unmarked() -> pl.Expr:
    return _body().str.replace_all("|".join(MARKS.values()), " ")


def _count(pattern: str) -> pl.Expr:
    return _body().str.count_matches(pattern)


def page(comparison: Comparison) -> RenderableType:
    """The comparison as one table, section by section, and what is to be known when reading it."""
    first, second = comparison.cohorts
    table = Table(title=escape(f"{first.name} and {second.name}"), title_justify="left")
    for column in ("", escape(first.name), escape(second.name), "difference"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for section, rows in itertools.groupby(comparison.rows, key=lambda row: row.section):
        if section in HIDDEN:
            continue
        table.add_section()
        table.add_row(f"[bold]{section}[/bold]")
        for row in rows:
            cells = [_cell(value, row.percent) for value in row.values]
            table.add_row(f"  {escape(row.name)}", *cells, _difference(row))
    return Group(table, *map(escape, _notes(first, second)))


def _notes(first: Cohort, second: Cohort) -> list[str]:
    notes = ["Differences: second less first, shares in percentage points with the 95 % interval of independent reports."]
    if first.labels is not None and second.labels is not None:
        notes.append(f"Labelled by {', '.join(first.labellers)} and by {', '.join(second.labellers)}.")
        if first.labellers != second.labellers:
            notes.append("Other labellers: rates differ for that reason, too. For a fair comparison let one teacher label both.")
    for cohort in (c for c in (first, second) if c.strangers):
        notes.append(f"{cohort.strangers} ids with labels are not in the table of reports of {cohort.name}; they were left out.")
    return notes


def _cell(value: float | None, percent: bool) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.1f} %" if percent else f"{value:,.{_decimals(value)}f}"


def _difference(row: Row) -> str:
    if row.difference is None:
        return "-"
    if not row.percent:
        return f"{row.difference:+,.{max(_decimals(v) for v in row.values if v is not None)}f}"
    told = f"{100 * row.difference:+.1f}"
    if row.low is None or row.high is None:
        return told
    told += f" ({100 * row.low:+.1f} to {100 * row.high:+.1f})"
    return f"[bold]{told}[/bold]" if row.low > 0 or row.high < 0 else told


def _decimals(value: float) -> int:
    return 0 if float(value).is_integer() else 1 if value >= 10 else 2
