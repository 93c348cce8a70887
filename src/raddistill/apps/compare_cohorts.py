"""Compares two cohorts: length, sections, redaction marks, words, label rates. Numbers only, never report text."""

import itertools
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from raddistill.errors import InputError
from raddistill.sources.documents import SECTIONS
from raddistill.statuses import ABSENT, AMBIGUOUS, EXCLUDED, PRESENT, UNCERTAIN
from raddistill.tables import base as tables
from raddistill.tables.gold import Gold
from raddistill.tables.labels import Labels
from raddistill.tables.reports import SPLITS, Reports
from raddistill.tasks.names import MULTIPLE_CHOICE

TASK = MULTIPLE_CHOICE  # open-ended labels are report text
MARKS = {
    "XXXX": "X{4,}",  # Open-i
    "___": "_{3,}",  # MIMIC-CXR
    "[** **]": r"\[\*\*.*?\*\*\]",  # MIMIC-II and -III
    "[NAME]": r"[\[<][A-Z][A-Z _-]{2,}[0-9]*[\]>]",
}
WORDS_AT_ONCE = 20_000  # reports whose words are listed at a time, which takes 100 MB
WORD = r"\S+"
IN_JSON = ("values", "difference", "low", "high")
STYLE = {"letters": r"\p{L}", "capitals": r"\p{Lu}", "accented": r"[\p{L}--[a-zA-Z]]", "numbers": "[0-9]+"}
BODY = pl.concat_str("findings", "impression", separator=" ", ignore_nulls=True).alias("body")  # without headers
UNMARKED = BODY.str.replace_all("|".join(MARKS.values()), " ")  # capitals and numbers of redaction marks do not count


@dataclass(frozen=True)
class Cohort:
    """The reports of one source, and the labels that one or several labellers gave them."""

    name: str
    reports: pl.DataFrame  # Reports
    labels: pl.DataFrame | None  # report_id, label, status, labeller (teacher or annotator); multiple choice only
    unknown_ids: int = 0  # labelled reports that are not in the table of reports; counted for its first cohort only

    @property
    def labellers(self) -> list[str]:
        return [] if self.labels is None else self.labels["labeller"].unique().sort().to_list()


@dataclass(frozen=True)
class Figure:
    """A count, or a count divided by `of`. A share of reports or labelled cells has a confidence interval."""

    count: float | None
    of: int | None = None
    is_percent: bool = False
    is_share: bool = False

    @property
    def value(self) -> float | None:
        if self.of is None or self.count is None:
            return self.count
        return self.count / self.of if self.of else None


class Difference(NamedTuple):
    """One figure of both cohorts. `difference` is second minus first; its 95 % interval is given for shares only."""

    values: list[float | None]
    is_percent: bool
    difference: float | None = None
    low: float | None = None
    high: float | None = None


class Comparison(NamedTuple):
    """All figures of two cohorts. `rows`: section to name to figures."""

    cohorts: tuple[Cohort, Cohort]
    rows: dict[str, dict[str, Difference]]

    def as_json(self) -> dict[str, Any]:
        """Returns the cohorts, then the figures by section. Shares are fractions in [0, 1]."""
        about = [
            {"name": c.name, "reports": c.reports.height, "labellers": c.labellers, "labels_of_unknown_reports": c.unknown_ids}
            for c in self.cohorts
        ]
        figures: dict[str, Any] = {"cohorts": about}
        for section, rows in self.rows.items():
            figures[section] = {name: {key: getattr(row, key) for key in IN_JSON} for name, row in rows.items()}
        return figures


def read(files: list[Path], labels: list[Path]) -> tuple[Cohort, Cohort]:
    """Returns the two cohorts of one table of reports or of two. `labels`: one table for each of `files`, in order, or none.

    Raises:
        InputError: there are not two cohorts, fewer or more label than report tables, or none of the reports has labels.
        TableError: a file is not a table of reports, labels or gold.
    """
    if labels and len(labels) != len(files):
        raise InputError(f"{len(labels)} tables of labels for {len(files)} of reports: give one for each, in the same order")
    cohorts: list[Cohort] = []
    for n, file in enumerate(files):
        reports, rows = tables.read(Reports, file), _read_labels(labels[n]) if labels else None
        unknown = 0 if rows is None else rows.join(reports, on="report_id", how="anti")["report_id"].n_unique()
        if rows is not None and unknown == rows["report_id"].n_unique():
            raise InputError(f"{labels[n]} labels none of the reports of {file}; give labels in the order of the reports")
        for (source,), own in reports.sort("source").group_by("source", maintain_order=True):
            own_labels = rows if rows is None else rows.join(own, on="report_id", how="semi")
            cohorts.append(Cohort(str(source), own, own_labels, unknown))
            unknown = 0
    if len(cohorts) != 2:
        there = ", ".join(f"{c.name} ({c.reports.height} reports)" for c in cohorts) or "none"
        raise InputError(f"two cohorts are compared: two tables of one source each, or one table of two; found: {there}")
    if cohorts[0].name == cohorts[1].name:
        cohorts = [replace(c, name=str(file)) for c, file in zip(cohorts, files, strict=True)]
        if files[0] == files[1]:
            raise InputError(f"{files[0]} was given twice")
    return cohorts[0], cohorts[1]


def _read_labels(file: Path) -> pl.DataFrame:
    """Returns report_id, label, status, labeller from a table of labels or gold, without ambiguous and excluded cells."""
    try:
        is_gold = "annotator" in pl.read_parquet_schema(file)
    except (FileNotFoundError, pl.exceptions.PolarsError):
        is_gold = False  # `tables.read` below raises the error
    frame = tables.read(Gold, file) if is_gold else tables.read(Labels, file)
    labeller = "annotator" if is_gold else "teacher"
    chosen = frame.filter(pl.col("task") == TASK).select("report_id", "label", pl.col("status").cast(str), labeller=labeller)
    if chosen.is_empty():
        raise InputError(f"{file} holds no labels of the task {TASK}, whose rates are compared")
    return chosen.filter(~pl.col("status").is_in([EXCLUDED, AMBIGUOUS]))


def compare(first: Cohort, second: Cohort) -> Comparison:
    """Returns every figure of both cohorts and their differences.

    Intervals are Newcombe's (1998, Stat Med 17:873, method 10). They are too narrow if patients have several reports.
    """
    words = _words_of(first.reports), _words_of(second.reports)
    profiles = _profile(first, second, *words), _profile(second, first, *reversed(words))
    rows: dict[str, dict[str, Difference]] = {}
    for section in dict.fromkeys(itertools.chain(*profiles)):
        one, other = (profile.get(section, {}) for profile in profiles)
        rows[section] = {name: _compare(one.get(name, Figure(None)), other.get(name, Figure(None))) for name in {**one, **other}}
    return Comparison((first, second), rows)


def _profile(cohort: Cohort, other: Cohort, words: pl.DataFrame, other_words: pl.DataFrame) -> dict[str, dict[str, Figure]]:
    """Returns the figures of a cohort: section to name to figure."""
    reports = cohort.reports
    n, patients = reports.height, reports["patient_id"].drop_nulls()
    unknown = int(words.join(other_words, on="word", how="anti")["n"].sum())
    return {
        "reports": {
            "reports": Figure(n),
            "patients": Figure(patients.n_unique() or None),
            "reports a patient, mean": Figure(len(patients), patients.n_unique()),
            "patient unknown": _share(n - len(patients), n),
            **{f"in {split}": _share_where(reports, pl.col("split") == split) for split in SPLITS},
            "of public text": _share_where(reports, pl.col("sensitivity") == "public"),
            "distinct texts": Figure(reports["text_group"].n_unique()),
            "text also in the other": _share(reports.join(other.reports, on="text_group", how="semi").height, n),
        },
        **_text(reports),
        "vocabulary": {  # the smaller the other cohort, the more of its words are unknown there
            "distinct words": Figure(words.height),
            "words that the other never uses": Figure(unknown, int(words["n"].sum()), is_percent=True),
        },
        **({} if cohort.labels is None else _labels(cohort.labels, n)),
    }


def _text(reports: pl.DataFrame) -> dict[str, dict[str, Figure]]:
    """Returns figures of the length and style of findings and impression, and of the existing sections."""
    length = reports.select(BODY.str.count_matches(WORD), pl.col("findings", "impression").str.count_matches(WORD))
    exists = {name: pl.col(name).is_not_null() for name in SECTIONS}
    exists["findings without impression"] = exists["findings"] & ~exists["impression"]
    exists["impression without findings"] = exists["impression"] & ~exists["findings"]
    marks = reports.select(BODY.str.count_matches(pattern).alias(name) for name, pattern in MARKS.items())
    counts = reports.select(UNMARKED.str.count_matches(pattern).alias(name) for name, pattern in STYLE.items())
    n = length.select("body").sum().row(0, named=True) | counts.sum().row(0, named=True)
    at = {"5th percentile": 0.05, "median": 0.5, "95th percentile": 0.95}
    return {
        "words": {
            **{f"a report, {name}": Figure(length["body"].quantile(q, "nearest")) for name, q in at.items()},
            "a report, mean": Figure(n["body"], reports.height),
            **{f"{name}, median": Figure(length[name].quantile(0.5, "nearest")) for name in SECTIONS[:2]},
        },
        "sections": {name: _share_where(reports, condition) for name, condition in exists.items()},
        "redaction marks": {
            "reports with any": _share_where(marks, pl.any_horizontal(pl.all() > 0)),
            "of 1,000 words": Figure(1000 * sum(marks.sum().row(0)), n["body"]),
            **{f"reports with {name}": _share_where(marks, pl.col(name) > 0) for name in MARKS},
        },
        "style": {
            "capitals among letters": Figure(n["capitals"], n["letters"], is_percent=True),
            "letters beyond a to z, of 1,000": Figure(1000 * n["accented"], n["letters"]),
            "numbers, of 1,000 words": Figure(1000 * n["numbers"], n["body"]),
        },
    }


def _words_of(reports: pl.DataFrame) -> pl.DataFrame:
    """Returns word (letters only, lower case) and n, its count. Redaction marks are no words."""
    words = UNMARKED.str.to_lowercase().str.extract_all(r"\p{L}+").explode().alias("word")
    parts = reports.select("findings", "impression").iter_slices(WORDS_AT_ONCE)
    counts = [part.select(words).drop_nulls().group_by("word").agg(n=pl.len()) for part in parts]
    return pl.concat(counts).group_by("word").agg(pl.col("n").sum())


def _labels(labels: pl.DataFrame, n_reports: int) -> dict[str, dict[str, Figure]]:
    """Returns shares of the labelled reports. Each cell of each labeller counts."""
    labelled = labels["report_id"].n_unique()
    present = labels.filter(pl.col("status") == PRESENT).select("report_id", "label").unique()
    sections = {
        "labelled": {
            "reports with labels": _share(labelled, n_reports),
            "with any label present": _share(present["report_id"].n_unique(), labelled),
            "labels present, mean": Figure(present.height, labelled),
        }
    }
    for status in (PRESENT, UNCERTAIN, ABSENT):
        rates = labels.group_by("label").agg((pl.col("status") == status).sum(), pl.len()).sort("label")
        sections[f"labels {status}"] = {label: _share(n, of) for label, n, of in rates.iter_rows()}
    return sections


def _share(count: int, of: int) -> Figure:
    return Figure(count, of, is_percent=True, is_share=True)


def _share_where(rows: pl.DataFrame, condition: pl.Expr) -> Figure:
    return _share(rows.filter(condition).height, rows.height)


def _compare(first: Figure, second: Figure) -> Difference:
    a, b = first.value, second.value
    values, is_percent = [a, b], first.is_percent or second.is_percent
    if a is None or b is None:
        return Difference(values, is_percent)
    if not (first.is_share and second.is_share):
        return Difference(values, is_percent, b - a)
    from scipy.stats import binomtest  # type: ignore[import-untyped]  # its import takes half a second

    # Newcombe's interval of the difference, from the Wilson intervals of both shares
    (low_a, high_a), (low_b, high_b) = (binomtest(each.count, each.of).proportion_ci(method="wilson") for each in (first, second))
    below, above = math.hypot(b - low_b, high_a - a), math.hypot(high_b - b, a - low_a)
    return Difference(values, is_percent, b - a, b - a - below, b - a + above)
