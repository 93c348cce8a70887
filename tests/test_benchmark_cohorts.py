"""The written corpus of the benchmark: MIMIC-CXR's layout, the same for the same seed, read by source and teacher."""

import zipfile
from pathlib import Path

import polars as pl
import pytest

from benchmarks import cohorts
from benchmarks.cohorts import read_plainly
from benchmarks.written_cohort import COLUMNS, unpack, write_cohort, write_csv
from raddistill import concepts, labelsets, params
from raddistill.sources import extracting
from raddistill.tables import base as tables
from raddistill.tables.gold import Gold
from raddistill.tables.quarantine import Quarantine
from raddistill.tables.reports import Reports
from raddistill.teachers.imported.teacher import ImportedTeacher

ROOT = Path(__file__).parent.parent
STUDIES = 1500
LABELS = labelsets.load_labels(ROOT / "lexicon/label_sets/chest_13.yaml")
P = params.load("extract", extracting.ExtractParams, ROOT / "params.yaml")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    assert write_cohort(folder, STUDIES) == STUDIES
    return folder


def extract(**changed: object) -> extracting.Extracted:
    return extracting.extract(P.model_copy(update=changed), LABELS, concepts.load_concepts(ROOT / "gold/concepts.csv"))


@pytest.fixture(scope="module")
def extracted(corpus: Path) -> extracting.Extracted:
    return extract(source="mimic_cxr", raw=str(corpus), gold=str(ROOT / "gold/mimic_cxr"), splits="file")


def test_the_layout_is_that_of_physionet(corpus: Path) -> None:
    with zipfile.ZipFile(corpus / "mimic-cxr-reports.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".txt")]
        texts = [archive.read(name).decode("ascii") for name in names]
    assert len(set(names)) == len(names) == STUDIES
    assert all(name.startswith("files/p1") and name.count("/") == 3 for name in names)
    assert max(len(line) for text in texts for line in text.split("\n")) <= 79
    assert all("FINAL REPORT\n" in text and ("\n INDICATION:" in text or "\n HISTORY:" in text) for text in texts)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_cohort(tmp_path / name, 50)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(files) == 5
    assert [name for name in files if (tmp_path / "a" / name).read_bytes() != (tmp_path / "b" / name).read_bytes()] == []


def test_every_report_is_extracted(extracted: extracting.Extracted) -> None:
    for schema, frame in ((Reports, extracted.reports), (Gold, extracted.gold), (Quarantine, extracted.quarantine)):
        tables.check(schema, frame, "table")
    assert extracted.reports.height + extracted.quarantine.height == extracted.metrics["files"] == STUDIES
    assert extracted.gold.height == 13 * extracted.gold["report_id"].n_unique()
    assert 0 < extracted.metrics["gold"]["multiple_choice"]["annotated"] < 100
    assert extracted.metrics["leaks"]["patients"] == 0
    assert set(extracted.reports["sensitivity"]) == {"credentialed"}


def test_sections_are_as_often_there_as_they_were_written(extracted: extracting.Extracted) -> None:
    reports = extracted.reports
    assert reports["impression"].is_not_null().mean() == pytest.approx(0.824, abs=0.04)
    assert reports["indication"].null_count() == reports["comparison"].null_count() == 0
    for section in ("findings", "impression"):
        assert not reports[section].str.contains("FINDINGS|IMPRESSION|COMPARISON|FINAL REPORT").any()


def test_the_label_files_are_a_teachers(corpus: Path, extracted: extracting.Extracted) -> None:
    teacher = ImportedTeacher("multiple_choice", str(corpus / "mimic-cxr-2.0.0-negbio.csv.gz"))
    made = teacher.label(extracted.reports, LABELS)
    assert made.labels.height == 13 * (extracted.reports.height - made.quarantine.height)
    assert made.quarantine.height == 8
    assert made.counts["labels_for_unknown_reports"] == 0


def test_the_reader_beside_it_reads_as_many(corpus: Path, extracted: extracting.Extracted, tmp_path: Path) -> None:
    read_plainly(str(corpus / "mimic-cxr-reports.zip"), str(tmp_path / "reports.parquet"))
    plain = pl.read_parquet(tmp_path / "reports.parquet")
    assert plain.height == STUDIES
    both = extracted.reports.join(plain, on="report_id", suffix="_plain").filter(pl.col("findings_plain").is_not_null())
    assert both.height > 500
    # The plain one has other ideas of findings below a wet read; the impression stands last, where both agree.
    assert (both["impression"].eq_missing(both["impression_plain"])).mean() > 0.9


def test_the_tree_holds_what_the_zip_does(corpus: Path, extracted: extracting.Extracted, tmp_path: Path) -> None:
    unpack(corpus, tmp_path)
    assert not (tmp_path / "mimic-cxr-reports.zip").exists()
    made = extract(source="mimic_cxr", raw=str(tmp_path), gold=str(ROOT / "gold/mimic_cxr"), splits="file")
    assert made.metrics == extracted.metrics
    assert made.reports.sort("report_id").equals(extracted.reports.sort("report_id"))


def test_a_csv_of_any_size_is_read_as_files_and_as_chexpert_plus(tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "written.csv", 1_000_000)
    assert 1_000_000 <= (tmp_path / "written.csv").stat().st_size < 2_500_000
    assert len(COLUMNS) == 27
    columns = P.files.model_copy(update=cohorts.COLUMNS)
    images = extract(source="files", raw=str(tmp_path / "written.csv"), gold=str(ROOT / "gold/none"), files=columns)
    assert images.reports.height == images.metrics["files"] == rows
    made = extract(source="chexpert_plus", raw=str(tmp_path / "written.csv"), gold=str(ROOT / "gold/none"))
    assert made.quarantine.is_empty()
    assert images.reports["text_group"].n_unique() == made.reports["text_group"].n_unique()
    assert rows / made.reports.height == pytest.approx(223_462 / 187_711, abs=0.03)
