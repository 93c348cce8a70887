"""CheXpert Plus' form, with reports written for these tests."""

import csv
import io
from pathlib import Path

import pytest

from raddistill import concepts, labelsets, params
from raddistill.errors import InputError
from raddistill.sources import extracting
from raddistill.sources.collections import image_cohorts
from raddistill.sources.collections.image_cohorts import CheXpertPlus
from raddistill.sources.documents import Document, Failure
from raddistill.tables import base as tables
from raddistill.tables.gold import Gold

ROOT = Path(__file__).parent.parent
COLUMNS = [
    "path_to_image", "path_to_dcm", "frontal_lateral", "ap_pa", "deid_patient_id", "patient_report_date_order", "report",
    "section_narrative", "section_clinical_history", "section_history", "section_comparison", "section_technique",
    "section_procedure_comments", "section_findings", "section_impression", "section_end_of_impression", "section_summary",
    "section_accession_number", "age", "sex", "race", "ethnicity", "interpreter_needed", "insurance_type", "recent_bmi",
    "deceased", "split",
]  # fmt: skip
FIRST = {
    "path_to_image": "train/patient00007/study2/view1_frontal.jpg",
    "deid_patient_id": "patient00007",
    "report": "FINDINGS: \n1. HEART ENLARGED.\nIMPRESSION: \n1. Large heart.",
    "section_findings": "1. HEART ENLARGED.\\n2. CLEAR LUNGS.",
    "section_impression": " 1. Large heart.\n",
    "split": "train",
}


def write(folder: Path, *rows: dict[str, str], names: list[str] = COLUMNS) -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(rows)
    folder.mkdir(exist_ok=True)
    path = folder / "df_chexpert_plus_240401.csv"
    path.write_bytes(text.getvalue().encode("utf-8", "surrogateescape"))
    return path


def row(**changed: str) -> dict[str, str]:
    return FIRST | changed


def of(patient: int, study: int, view: int = 1, split: str = "train") -> dict[str, str]:
    return {
        "path_to_image": f"{split}/patient{patient:05}/study{study}/view{view}_frontal.jpg",
        "deid_patient_id": f"patient{patient:05}",
        "split": split,
    }


def read(raw: Path) -> list[Document | Failure]:
    return list(CheXpertPlus().read(raw))


def one(folder: Path, **changed: str) -> Document:
    write(folder, row(**changed))
    (made,) = read(folder)
    assert isinstance(made, Document)
    return made


def test_rows_of_images_become_reports(tmp_path: Path) -> None:
    write(tmp_path, row(), row(**of(7, 2, view=2)), row(**of(7, 10)), row(**of(8, 1, split="valid")))
    made = read(tmp_path)
    assert [document.report_id for document in made] == ["patient00007/study10", "patient00007/study2", "patient00008/study1"]
    assert [document.patient_id for document in made] == ["patient00007", "patient00007", "patient00008"]
    assert [document.split for document in made] == ["train", "train", "valid"]
    assert read(tmp_path / "df_chexpert_plus_240401.csv") == made


def test_how_far_the_reading_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_cohorts, "PROGRESS_EVERY", 2)
    size, told = write(tmp_path, *(row(**of(n, 1)) for n in range(5))).stat().st_size, []
    assert len(list(CheXpertPlus().read(tmp_path, lambda done, total: told.append((done, total))))) == 5
    assert told == [(size, size), (size, size)]


def test_section_columns_are_taken_and_single_spaced(tmp_path: Path) -> None:
    made = one(tmp_path, section_clinical_history="Cough,\\nfever.", section_history="Smoker.", section_comparison="None.")
    assert (made.findings, made.impression) == ("1. HEART ENLARGED. 2. CLEAR LUNGS.", "1. Large heart.")
    assert (made.indication, made.comparison, made.without_headers) == ("Cough, fever. Smoker.", "None.", False)


def test_an_impression_alone_is_enough(tmp_path: Path) -> None:
    made = one(tmp_path, section_findings=" \\n ", report="IMPRESSION: Large heart. FINDINGS: not looked at.")
    assert (made.findings, made.impression) == (None, "1. Large heart.")


def test_without_sections_the_whole_report_is_read(tmp_path: Path) -> None:
    empty = {"section_findings": "", "section_impression": ""}
    report = "CLINICAL HISTORY: Cough.\\nCOMPARISON: None.\\nFINDINGS: The heart is large.\\nIMPRESSION: Large heart."
    made = one(tmp_path, **empty, report=report, section_comparison="A film of March.")
    assert (made.findings, made.impression) == ("The heart is large.", "Large heart.")
    assert (made.indication, made.comparison) == ("Cough.", "A film of March.")
    made = one(tmp_path, **empty, report="The heart is large.")
    assert (made.findings, made.impression, made.without_headers) == ("The heart is large.", None, True)
    made = one(tmp_path, **empty, report="")
    assert (made.findings, made.impression, made.without_headers) == (None, None, False)


def test_words_for_a_section_that_is_not_there(tmp_path: Path) -> None:
    nothing = {"section_findings": "nan", "section_impression": "None", "section_history": "NaN", "section_comparison": "nan"}
    made = one(tmp_path, **nothing, report="COMPARISON: March.\nFINDINGS: None.\nIMPRESSION: Large heart.")
    assert (made.findings, made.impression, made.indication, made.comparison) == (None, "Large heart.", None, "March.")
    made = one(tmp_path, **nothing, section_clinical_history="Cough.", report="nan")
    assert (made.findings, made.impression, made.indication, made.without_headers) == (None, None, "Cough.", False)


def test_a_study_with_two_versions_is_set_aside_and_the_others_are_read(tmp_path: Path) -> None:
    """De-identified twice, with another date in each version (public.md D1)."""
    dates = ({"section_impression": f"Mild edema since {date}."} for date in ("3/1/2001", "7-9-04"))
    write(tmp_path / "raw", *(row(**of(1, 1, view) | other) for view, other in enumerate(dates, 1)), row(), row(**of(8, 1)))
    made = extract(tmp_path / "raw", ROOT / "gold/none")
    assert sorted(made.reports["report_id"]) == ["patient00007/study2", "patient00008/study1"]
    assert made.quarantine.select("report_id", "reason").rows() == [("patient00001/study1", "id of several different reports")]
    assert made.metrics["quarantined"] == {"total": 1, "id_of_several_different_reports": 1}


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"section_findings": "Clear lungs."}, "id of several different reports"),
        ({"report": "Something else."}, "id of several different reports"),
        ({"deid_patient_id": "patient00009"}, "report of several patients"),
    ],
    ids=["section", "report", "patient"],
)
def test_a_report_whose_rows_do_not_fit(other: dict[str, str], reason: str, tmp_path: Path) -> None:
    rows = [row(), row(**of(7, 2, view=2) | other), row(**of(8, 1))]
    for order in (rows, rows[::-1]):
        write(tmp_path, *order)
        assert [made if isinstance(made, Failure) else made.report_id for made in read(tmp_path)] == [
            Failure("patient00007/study2", reason),
            "patient00008/study1",
        ]


def test_a_study_in_two_splits_names_both(tmp_path: Path) -> None:
    """No word of a split, so that it goes to quarantine where the file's own is asked for."""
    write(tmp_path, row(), row(split="valid"))
    (made,) = read(tmp_path)
    assert made.split == "train and valid"


def test_another_encoding_and_paths_without_a_study(tmp_path: Path) -> None:
    rows = [
        row(path_to_image="secret words"),
        row(section_findings="caf\udce9"),
        row(**of(8, 1)),
        row(**of(9, 1) | {"split": "\udce9"}),
    ]
    write(tmp_path, *rows)
    made = read(tmp_path)
    assert [m for m in made if isinstance(m, Failure)] == [
        Failure("df_chexpert_plus_240401.csv", "path_to_image names no patient and study", 1),
        Failure("patient00007/study2", "not UTF-8"),
        Failure("patient00009/study1", "not UTF-8"),
    ]
    assert [m.report_id for m in made if isinstance(m, Document)] == ["patient00008/study1"]


def test_the_patient_of_the_path_where_the_column_is_blank(tmp_path: Path) -> None:
    assert one(tmp_path, deid_patient_id="").patient_id == "patient00007"


def test_a_missing_column_is_named_with_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, names=["section_finding" if name == "section_findings" else name for name in COLUMNS])
    with pytest.raises(InputError, match=r"no column 'section_findings'; did you mean 'section_finding'\? There are: path_to"):
        read(tmp_path)


def extract(raw: Path, gold: Path) -> extracting.Extracted:
    p = params.load("extract", extracting.ExtractParams, ROOT / "params.yaml")
    p = p.model_copy(update={"source": "chexpert_plus", "raw": str(raw), "gold": str(gold), "max_quarantine": 1.0})
    label_set = labelsets.load_labels(ROOT / "lexicon/label_sets/three.yaml")
    return extracting.extract(p, label_set, concepts.load_concepts(ROOT / "gold/concepts.csv"))


def test_nobody_annotated(tmp_path: Path) -> None:
    write(tmp_path / "raw", row())
    made = extract(tmp_path / "raw", ROOT / "gold/none")
    assert (made.reports.height, tables.check(Gold, made.gold, "gold").height) == (1, 0)
    assert made.metrics["reports_without_gold"] == {"multiple_choice": 1, "open_ended": 1}
    with pytest.raises(
        InputError, match=r"gold/openi holds no multiple_choice/<annotator>\.csv .* set extract\.gold to gold/none"
    ):
        extract(tmp_path / "raw", ROOT / "gold/openi")


def test_your_own_annotators_files_are_gold(tmp_path: Path) -> None:
    write(tmp_path / "raw", row(), row(**of(8, 1)), row(**of(9, 1)) | {"split": "valid"})
    names = [label.name for label in labelsets.load_labels(ROOT / "lexicon/label_sets/three.yaml")]
    annotated = tmp_path / "gold/multiple_choice"
    annotated.mkdir(parents=True)
    rows = [["report_id", *names], ["patient00007/study2", "1", "", "-1"], ["patient00099/study1", "1", "", ""]]
    (annotated / "anna.csv").write_text("".join(",".join(cells) + "\n" for cells in rows), encoding="utf-8")
    made = extract(tmp_path / "raw", tmp_path / "gold")
    assert made.gold.select("report_id", "annotator", "label", "status").rows() == [
        ("patient00007/study2", "anna", name, status)
        for name, status in zip(names, ["present", "absent", "uncertain"], strict=True)
    ]
    assert made.metrics["reports_without_gold"]["multiple_choice"] == 2
    assert made.metrics["gold_of_unknown_reports"] == 1
