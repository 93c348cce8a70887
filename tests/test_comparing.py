"""Two cohorts side by side: every figure worked by hand on written reports, and nothing but figures comes out."""

import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console
from typer.testing import CliRunner

from raddistill import cli
from raddistill.apps import cohorts, compare_cohorts
from raddistill.errors import InputError, TableError
from raddistill.sections import report_text
from raddistill.sources.splits import splitting
from raddistill.tables import base as tables
from raddistill.tables.gold import Gold
from raddistill.tables.labels import Labels
from raddistill.tables.reports import Reports

HERE = [  # id, patient, findings, impression, indication
    ("h1", "p1", "The heart is large.", "Cardiomegaly.", "Cough."),
    ("h2", "p1", "Clear lungs since XXXX.", "No acute disease.", None),
    ("h3", "p2", None, "No acute disease.", "Fall of XXXX."),
    ("h4", None, "A 4 mm nodule, seen by XXXX and XXXX.", None, None),
]
THERE = [
    ("t1", "p1", "CLEAR LUNGS SINCE ___.", "NO ACUTE DISEASE.", None),
    ("t2", "p9", "No acute disease.", None, None),
]
STATUSES = {
    "h1": ("present", "absent"), "h2": ("unmentioned", "absent"), "h3": ("uncertain", "absent"),
    "t1": ("unmentioned", "present"), "t2": ("absent", "present"),
}  # fmt: skip
LABELS = ["Cardiomegaly", "Edema"]


def reports(rows: list[tuple[str, str | None, str | None, str | None, str | None]], source: str) -> pl.DataFrame:
    made = [
        {
            "report_id": report_id, "patient_id": patient, "source": source, "sensitivity": "public",
            "findings": findings, "impression": impression, "indication": indication, "comparison": None,
            "text": report_text.compose(findings, impression), "split": "test" if report_id == "h1" else "train",
            "text_group": splitting.text_group(findings, impression),
        }
        for report_id, patient, findings, impression, indication in rows
    ]  # fmt: skip
    return pl.DataFrame(made, schema=dict.fromkeys(Reports.columns(), pl.String))


def labels(ids: list[str], who: str = "rules:cold", column: str = "teacher") -> pl.DataFrame:
    rows = [
        {"report_id": i, "task": "multiple_choice", column: who, "label": label, "status": status}
        for i in ids for label, status in zip(LABELS, STATUSES[i], strict=True)
    ]  # fmt: skip
    none = {"probability": None, "code": None} if column == "teacher" else {}
    schema = {"probability": pl.Float64, "code": pl.String} if none else {}
    return pl.DataFrame([row | none for row in rows], schema_overrides=schema)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two tables, one table of both, labels of all of them."""
    monkeypatch.chdir(tmp_path)
    here, there = reports(HERE, "here"), reports(THERE, "there")
    for name, frame in {"here": here, "there": there, "both": pl.concat([here, there])}.items():
        tables.write(Reports, frame, Path(f"{name}.parquet"))
    for name, ids in {"here": ["h1", "h2", "h3"], "there": ["t1", "t2"], "both": list(STATUSES)}.items():
        tables.write(Labels, labels(ids), Path(f"{name}_labels.parquet"))
    return tmp_path


def compared(*names: str, said: bool = True) -> dict[str, Any]:
    files, said_in = [Path(f"{n}.parquet") for n in names], [Path(f"{n}_labels.parquet") for n in names if said]
    return compare_cohorts.as_json(*cohorts.read(files, said_in))


@pytest.mark.parametrize(
    ("section", "name", "here", "there"),
    [
        ("reports", "reports", 4, 2),
        ("reports", "patients", 2, 2),
        ("reports", "reports a patient, mean", 1.5, 1),
        ("reports", "patient unknown", 0.25, 0),
        ("reports", "in test", 0.25, 0),
        ("reports", "in train", 0.75, 1),
        ("reports", "in validation", 0, 0),
        ("reports", "of public text", 1, 1),
        ("reports", "distinct texts", 4, 2),
        ("reports", "text also in the other", 0.25, 0.5),  # h3 and t2, though in another section
        ("words", "a report, median", 7, 7),
        ("words", "a report, mean", 6, 5),
        ("words", "findings, median", 4, 4),
        ("words", "impression, median", 3, 3),
        ("sections", "findings", 0.75, 1),
        ("sections", "impression", 0.75, 0.5),
        ("sections", "indication", 0.5, 0),
        ("sections", "comparison", 0, 0),
        ("sections", "findings without impression", 0.25, 0.5),
        ("sections", "impression without findings", 0.25, 0),
        ("redaction marks", "reports with any", 0.5, 0.5),  # h3's stands in its indication
        ("redaction marks", "of 1,000 words", 125, 100),
        ("redaction marks", "reports with XXXX", 0.5, 0),
        ("redaction marks", "reports with ___", 0, 0.5),
        ("style", "numbers, of 1,000 words", 1000 / 24, 0),
        ("style", "letters beyond a to z, of 1,000", 0, 0),
        ("style", "capitals among letters", 6 / 88, 30 / 43),
        ("vocabulary", "distinct words", 17, 6),
        ("vocabulary", "words that the other never uses", 11 / 20, 0),
        ("labelled", "reports with labels", 0.75, 1),
        ("labelled", "with any label present", 1 / 3, 1),
        ("labelled", "labels present, mean", 1 / 3, 1),
        ("labels present", "Cardiomegaly", 1 / 3, 0),
        ("labels present", "Edema", 0, 1),
        ("labels uncertain", "Cardiomegaly", 1 / 3, 0),
        ("labels absent", "Edema", 1, 0),
    ],
)
def test_figures_worked_by_hand(section: str, name: str, here: float, there: float, place: Path) -> None:
    row = compared("here", "there")[section][name]
    assert row["values"] == pytest.approx([here, there])
    assert row["difference"] == pytest.approx(there - here)


def test_one_table_of_two_sources_is_the_same_as_two_tables(place: Path) -> None:
    assert compared("both") == compared("here", "there")


def test_the_order_of_rows_changes_nothing(place: Path) -> None:
    before = compared("here", "there")
    pl.read_parquet("here.parquet").reverse().write_parquet("here.parquet")
    assert compared("here", "there") == before


def test_the_other_way_round_differences_change_their_sign(place: Path) -> None:
    forth, back = compared("here", "there"), compared("there", "here")
    for section in forth.keys() - {"cohorts"}:
        for name, row in forth[section].items():
            turned = back[section][name]
            assert turned["values"] == row["values"][::-1]
            for one, other in (("difference", "difference"), ("low", "high"), ("high", "low")):
                assert turned[other] == (None if row[one] is None else pytest.approx(-row[one])), name


@pytest.mark.parametrize(  # Newcombe 1998, table II: method 10, for the first share less the second
    ("first", "second", "low", "high"),
    [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090), ((5, 56), (0, 29), -0.0381, 0.1926),
     ((10, 10), (0, 10), 0.6075, 1.0), ((0, 10), (0, 20), -0.1611, 0.2775), ((10, 10), (0, 20), 0.6791, 1.0)],
)  # fmt: skip
def test_intervals_are_the_published_ones(first: tuple[int, int], second: tuple[int, int], low: float, high: float) -> None:
    row = compare_cohorts._compare("", compare_cohorts._share(*second), compare_cohorts._share(*first))
    assert row.low == pytest.approx(low, abs=6e-5)
    assert row.high == pytest.approx(high, abs=6e-5)


def test_shares_of_words_have_no_interval(place: Path) -> None:
    assert compared("here", "there")["vocabulary"]["words that the other never uses"]["low"] is None


def test_gold_counts_where_somebody_decided(place: Path) -> None:
    said = labels(["h1", "h2", "h3"], "anna", "annotator").with_columns(
        status=pl.when(pl.col("report_id") == "h3").then(pl.lit("excluded"))
        .when((pl.col("report_id") == "h2") & (pl.col("label") == "Cardiomegaly")).then(pl.lit("ambiguous"))
        .otherwise("status")
    )  # fmt: skip
    tables.write(Gold, said, Path("here_labels.parquet"))
    found = compared("here", "there")
    assert found["labels present"]["Cardiomegaly"]["values"] == [1.0, 0.0]  # h1 alone was decided
    assert found["labelled"]["reports with labels"]["values"] == [0.5, 1.0]
    assert [cohort["labellers"] for cohort in found["cohorts"]] == [["anna"], ["rules:cold"]]


def test_of_two_annotators_each_cell_counts(place: Path) -> None:
    other = labels(["h1"], "berta", "annotator").with_columns(status=pl.lit("absent"))
    tables.write(Gold, pl.concat([labels(["h1"], "anna", "annotator"), other]), Path("here_labels.parquet"))
    assert compared("here", "there")["labels present"]["Cardiomegaly"]["values"][0] == 0.5


def test_a_label_that_one_cohort_lacks_has_no_rate_there(place: Path) -> None:
    pl.read_parquet("there_labels.parquet").filter(pl.col("label") == "Edema").write_parquet("there_labels.parquet")
    row = compared("here", "there")["labels present"]["Cardiomegaly"]
    assert (row["values"][1], row["difference"], row["low"]) == (None, None, None)


def test_labels_of_unknown_reports_are_counted_once(place: Path) -> None:
    said = pl.concat([labels(list(STATUSES)), labels(["h1"]).with_columns(report_id=pl.lit("h77"))])
    tables.write(Labels, said, Path("both_labels.parquet"))
    found = compared("both")
    assert [cohort["labels_of_unknown_reports"] for cohort in found["cohorts"]] == [1, 0]
    assert found["labelled"]["reports with labels"]["values"] == [0.75, 1.0]


def test_without_labels_there_are_no_rates(place: Path) -> None:
    assert not [section for section in compared("here", "there", said=False) if section.startswith("label")]


def test_cohorts_of_the_same_source_go_by_their_files(place: Path) -> None:
    tables.write(Reports, reports(THERE, "here"), Path("there.parquet"))
    assert [cohort["name"] for cohort in compared("here", "there", said=False)["cohorts"]] == ["here.parquet", "there.parquet"]


@pytest.mark.parametrize(
    ("files", "said", "error"),
    [
        (["here"], [], r"two cohorts .* found: here \(4 reports\)"),
        (["both", "here"], [], r"found: here \(4 reports\), there \(2 reports\), here \(4 reports\)"),
        (["here", "here"], [], "here.parquet was given twice"),
        (["here", "there"], ["here_labels"], "1 tables of labels for 2 of reports: give one for each"),
        (["here", "there"], ["there_labels", "here_labels"], r"there_labels\.parquet labels none of the reports of here"),
        (["here", "gone"], [], "gone.parquet is missing"),
        (["both"], ["gone"], "gone.parquet is missing"),
        (["both"], ["text"], "text.parquet is not a readable Parquet file"),
        (["both"], ["open"], "open.parquet holds no labels of the task multiple_choice"),
    ],
)
def test_what_cannot_be_compared_is_said(files: list[str], said: list[str], error: str, place: Path) -> None:
    Path("text.parquet").write_text("no Parquet", encoding="utf-8")
    tables.write(Labels, labels(["h1"]).with_columns(task=pl.lit("open_ended")), Path("open.parquet"))
    with pytest.raises(InputError, match=error):
        cohorts.read([Path(f"{name}.parquet") for name in files], [Path(f"{name}.parquet") for name in said])


def test_a_table_of_something_else_is_refused(place: Path) -> None:
    with pytest.raises(TableError, match=r"here_labels.parquet is no Reports table: .*missing columns"):
        cohorts.read([Path("here_labels.parquet")], [])


def test_the_page_has_all_figures_and_no_word_of_a_report(place: Path) -> None:
    done = CliRunner().invoke(
        cli.app, ["compare-cohorts", "both.parquet", "--labels", "both_labels.parquet"], catch_exceptions=False
    )
    assert done.exit_code == 0
    for name in ("text also in the other", "reports with [** **]", "Cardiomegaly", "rules:cold"):
        assert name in done.output
    assert "33.3 %" in done.output
    assert "(-79.2 to +37.8)" in done.output  # 1 of 3 and 0 of 2
    assert not [word for word in ("heart", "nodule", "lungs", "acute", "LUNGS") if word in done.output]
    assert "labels uncertain" not in done.output


def test_the_page_warns_of_other_labellers(place: Path) -> None:
    tables.write(Gold, labels(["h1"], "[anna]", "annotator"), Path("here_labels.parquet"))
    files, said = [Path("here.parquet"), Path("there.parquet")], [Path("here_labels.parquet"), Path("there_labels.parquet")]
    page = io.StringIO()
    Console(width=160, file=page).print(compare_cohorts.page(*cohorts.read(files, said)))
    told = page.getvalue()
    assert "Labelled by [anna] and by rules:cold." in told
    assert "let one teacher label both" in told


def test_json_is_json(place: Path) -> None:
    done = CliRunner().invoke(cli.app, ["compare-cohorts", "here.parquet", "there.parquet", "--json"], catch_exceptions=False)
    assert json.loads(done.output) == compared("here", "there", said=False)


def test_accents_and_capitals_are_counted_outside_redaction_marks(place: Path) -> None:
    tables.write(Reports, reports([("s1", None, "Sin lesión XXXX.", None, None)], "spain"), Path("there.parquet"))
    style = compared("here", "there", said=False)["style"]
    assert style["letters beyond a to z, of 1,000"]["values"] == pytest.approx([0, 1000 / 9])
    assert style["capitals among letters"]["values"][1] == pytest.approx(1 / 9)


def test_figures_of_nothing_are_unknown(place: Path) -> None:
    tables.write(Reports, reports([("s1", None, "42.", None, None)], "spain"), Path("there.parquet"))
    found = compared("here", "there", said=False)
    unknown = [
        found["reports"]["patients"],
        found["reports"]["reports a patient, mean"],
        found["style"]["capitals among letters"],
    ]
    assert [row["values"][1] for row in unknown] == [None, None, None]
