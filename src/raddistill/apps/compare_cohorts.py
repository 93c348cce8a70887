"""Compares two cohorts: length, sections, redaction marks, words, label rates. Numbers only, never report text."""

import math
from typing import Any, NamedTuple

import polars as pl
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from raddistill.apps.cohorts import Cohort
from raddistill.sources.documents import SECTIONS
from raddistill.statuses import ABSENT, PRESENT, UNCERTAIN
from raddistill.tables.reports import SPLITS

WORDS_AT_ONCE = 20_000  # reports whose words are listed at a time, which takes 100 MB
BODY = pl.concat_str("findings", "impression", separator=" ", ignore_nulls=True)  # without headers
MARKS = {
    "XXXX": "X{4,}",  # Open-i
    "___": "_{3,}",  # MIMIC-CXR
    "[** **]": r"\[\*\*.*?\*\*\]",  # MIMIC-II and -III
    "[NAME]": r"[\[<][A-Z][A-Z _-]{2,}[0-9]*[\]>]",
}
UNMARKED = BODY.str.replace_all("|".join(MARKS.values()), " ")  # capitals and numbers of redaction marks do not count
RATES = (PRESENT, UNCERTAIN, ABSENT)
HIDDEN = {"labels uncertain", "labels absent"}  # in the JSON only; the page would be three times as long


def _count(pattern: str, text: pl.Expr) -> pl.Expr:
    return text.str.count_matches(pattern).cast(pl.Int64)


_EXISTS = {name: pl.col(name).is_not_null() for name in SECTIONS}
_WORDS, _LETTERS = _count(r"\S+", BODY), _count(r"\p{L}", UNMARKED)
_MARKS = {name: _count(pattern, BODY) for name, pattern in MARKS.items()}
_PATIENTS = pl.col("patient_id").drop_nulls().n_unique().replace(0, None)
FIGURES = {  # section -> name -> a number, or what holds of a report or not: the share of reports of which it does
    "reports": {
        "reports": pl.len(),
        "patients": _PATIENTS,
        "reports a patient, mean": pl.count("patient_id") / _PATIENTS,
        "patient unknown": pl.col("patient_id").is_null(),
        **{f"in {split}": pl.col("split").cast(str) == split for split in SPLITS},
        "of public text": pl.col("sensitivity").cast(str) == "public",
        "distinct texts": pl.n_unique("text_group"),
    },
    "words": {
        "a report, 5th percentile": _WORDS.quantile(0.05, "nearest"),
        "a report, median": _WORDS.quantile(0.5, "nearest"),
        "a report, 95th percentile": _WORDS.quantile(0.95, "nearest"),
        "a report, mean": _WORDS.mean(),
        **{f"{name}, median": _count(r"\S+", pl.col(name)).quantile(0.5, "nearest") for name in SECTIONS[:2]},
    },
    "sections": {
        **_EXISTS,
        "findings without impression": _EXISTS["findings"] & ~_EXISTS["impression"],
        "impression without findings": _EXISTS["impression"] & ~_EXISTS["findings"],
    },
    "redaction marks": {
        "reports with any": pl.any_horizontal(count > 0 for count in _MARKS.values()),
        "of 1,000 words": 1000 * pl.sum_horizontal(_MARKS.values()).sum() / _WORDS.sum(),
        **{f"reports with {name}": count > 0 for name, count in _MARKS.items()},
    },
    "style": {
        "capitals among letters": _count(r"\p{Lu}", UNMARKED).sum() / _LETTERS.sum(),
        "letters beyond a to z, of 1,000": 1000 * _count(r"[\p{L}--[a-zA-Z]]", UNMARKED).sum() / _LETTERS.sum(),
        "numbers, of 1,000 words": 1000 * _count("[0-9]+", UNMARKED).sum() / _WORDS.sum(),
    },
}
PERCENTS = {"capitals among letters", "words that the other never uses"}  # beside the shares of reports and labelled cells


class Figure(NamedTuple):
    """One figure of one cohort; its value is None if unknown.

    A share of reports, or of a label's annotations, is `part` divided by `of`. Other figures leave both at 0.
    """

    value: float | None
    part: int = 0
    of: int = 0


class Difference(NamedTuple):
    """One figure of both cohorts, and second minus first. Only that of two shares has a 95 % interval, `low` to `high`."""

    values: list[float | None]
    is_percent: bool
    difference: float | None = None
    low: float | None = None
    high: float | None = None


def as_json(first: Cohort, second: Cohort) -> dict[str, Any]:
    """Returns both cohorts and the figures by section, each with values, difference, low and high. Shares are from 0 to 1."""
    about = [
        {"name": c.name, "reports": c.reports.height, "labellers": c.labellers, "labels_of_unknown_reports": c.unknown_ids}
        for c in (first, second)
    ]
    keys = ("values", "difference", "low", "high")
    return {"cohorts": about} | {
        section: {name: {key: getattr(row, key) for key in keys} for name, row in rows.items()}
        for section, rows in compare(first, second).items()
    }


def compare(first: Cohort, second: Cohort) -> dict[str, dict[str, Difference]]:
    """Returns every figure of both cohorts with its difference, by section (such as "words") and name (such as "a report, mean").

    A difference is the second cohort's figure minus the first's. Shares of reports have 95 % intervals (Newcombe 1998, Stat Med
    17:873, method 10), means and medians none. The intervals are too narrow if patients have several reports. None: unknown.
    """
    words = _words(first.reports), _words(second.reports)
    one, other = _profile(first, second, *words), _profile(second, first, *reversed(words))
    none, rows = Figure(None), dict[str, dict[str, Difference]]()
    for section in {**one, **other}:
        a, b = one.get(section, {}), other.get(section, {})
        rows[section] = {name: _compare(name, a.get(name, none), b.get(name, none)) for name in {**a, **b}}
    return rows


def _profile(cohort: Cohort, other: Cohort, words: pl.DataFrame, other_words: pl.DataFrame) -> dict[str, dict[str, Figure]]:
    """Returns the figures of a cohort: section to name to figure."""
    reports = cohort.reports
    columns = {section: reports.lazy().select(**named).collect() for section, named in FIGURES.items()}
    figures = {section: {column.name: _figure(column) for column in found} for section, found in columns.items()}
    shared = reports.join(other.reports, on="text_group", how="semi")
    figures["reports"]["text also in the other"] = _share(shared.height, reports.height)
    used, unknown = (int(w["n"].sum()) for w in (words, words.join(other_words, on="word", how="anti")))
    # The smaller the other cohort, the more of the words are unknown there.
    figures["vocabulary"] = {
        "distinct words": Figure(words.height),
        "words that the other never uses": Figure(unknown / used if used else None),
    }
    return figures | ({} if cohort.labels is None else _labels(cohort.labels, reports.height))


def _figure(column: pl.Series) -> Figure:
    if column.dtype == pl.Boolean:
        return _share(int(column.sum()), len(column))
    return Figure(None if column.is_nan().any() else column[0])  # nan: 0 divided by 0


def _words(reports: pl.DataFrame) -> pl.DataFrame:
    """Returns word (letters only, lower case) and n, its count. Redaction marks are no words."""
    words = UNMARKED.str.to_lowercase().str.extract_all(r"\p{L}+").explode().alias("word")
    parts = reports.select("findings", "impression").iter_slices(WORDS_AT_ONCE)
    counts = [part.select(words).drop_nulls().group_by("word").agg(n=pl.len()) for part in parts]
    return pl.concat(counts).group_by("word").agg(pl.col("n").sum())


def _labels(labels: pl.DataFrame, n_reports: int) -> dict[str, dict[str, Figure]]:
    """Returns shares of the labelled reports. Each cell of each labeller counts."""
    labelled = labels["report_id"].n_unique()
    present = labels.filter(pl.col("status") == PRESENT).select("report_id", "label").unique()
    of_reports = {
        "reports with labels": _share(labelled, n_reports),
        "with any label present": _share(present["report_id"].n_unique(), labelled),
        "labels present, mean": Figure(present.height / labelled if labelled else None),
    }
    by_label = labels.group_by("label").agg(pl.len(), *((pl.col("status") == status).sum().alias(status) for status in RATES))
    rates = by_label.sort("label").rows(named=True)
    return {"labelled": of_reports} | {
        f"labels {status}": {row["label"]: _share(row[status], row["len"]) for row in rates} for status in RATES
    }


def _share(part: int, of: int) -> Figure:
    return Figure(part / of if of else None, part, of)


def _compare(name: str, first: Figure, second: Figure) -> Difference:
    a, b = first.value, second.value
    values, is_percent = [a, b], name in PERCENTS or bool(first.of or second.of)
    if a is None or b is None:
        return Difference(values, is_percent)
    if not (first.of and second.of):
        return Difference(values, is_percent, b - a)
    from scipy.stats import binomtest  # type: ignore[import-untyped]  # its import takes half a second

    # Newcombe's interval of the difference, from the Wilson intervals of both shares
    (low_a, high_a), (low_b, high_b) = (binomtest(each.part, each.of).proportion_ci(method="wilson") for each in (first, second))
    below, above = math.hypot(b - low_b, high_a - a), math.hypot(high_b - b, a - low_a)
    return Difference(values, is_percent, b - a, b - a - below, b - a + above)


def page(first: Cohort, second: Cohort) -> RenderableType:
    """Returns the comparison as one table, section by section, with notes on how to read it."""
    table = Table(title=escape(f"{first.name} and {second.name}"), title_justify="left")
    for column in ("", escape(first.name), escape(second.name), "difference"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for section, rows in compare(first, second).items():
        if section not in HIDDEN:
            table.add_section()
            table.add_row(f"[bold]{section}[/bold]")
            for name, row in rows.items():
                table.add_row(f"  {escape(name)}", *_cells(row))
    notes = ["Differences: second minus first, shares in percentage points with the 95 % interval of independent reports."]
    if first.labels is not None and second.labels is not None:
        notes.append(f"Labelled by {', '.join(first.labellers)} and by {', '.join(second.labellers)}.")
        if first.labellers != second.labellers:
            notes.append("Other labellers: rates differ for that reason, too. For a fair comparison let one teacher label both.")
    for c in (first, second):
        if c.unknown_ids:
            notes.append(f"{c.unknown_ids} ids with labels are not in the table of reports of {c.name}; they were left out.")
    return Group(table, *map(escape, notes))


def _cells(row: Difference) -> list[str]:
    """Returns both values and their difference as text; an interval without zero is bold."""
    factor, unit = (100, " %") if row.is_percent else (1, "")
    decimals = [1 if row.is_percent else _decimals(value) for value in row.values if value is not None]
    cells = [
        "-" if value is None else f"{factor * value:,.{1 if row.is_percent else _decimals(value)}f}{unit}" for value in row.values
    ]
    if row.difference is None:
        return [*cells, "-"]
    shown = f"{factor * row.difference:+,.{max(decimals)}f}"
    if row.low is None or row.high is None:
        return [*cells, shown]
    shown += f" ({100 * row.low:+.1f} to {100 * row.high:+.1f})"
    return [*cells, f"[bold]{shown}[/bold]" if row.low > 0 or row.high < 0 else shown]


def _decimals(value: float) -> int:
    return 0 if float(value).is_integer() else 1 if value >= 10 else 2
