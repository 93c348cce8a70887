"""Of every source: the same input in another order gives the same bytes, and more reports leave the others' rows as they were."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from test_chexpert_plus import of as chexpert_row
from test_chexpert_plus import write as chexpert_csv
from test_extracting import archive, xml
from test_files import COLUMNS
from test_mimic_cxr import HEAD, ROW, path_of, zipped
from test_padchest import row as padchest_row
from test_padchest import write as padchest_csv

from raddistill import concepts, labelsets, params
from raddistill.sources import extracting
from raddistill.sources.collections.files import FilesParams
from raddistill.sources.splits import second_cohort
from raddistill.tables import base as tables
from raddistill.tables.gold import Gold
from raddistill.tables.quarantine import Quarantine
from raddistill.tables.reports import Reports

ROOT = Path(__file__).parent.parent
P = params.load("extract", extracting.ExtractParams, ROOT / "params.yaml").model_copy(update={"max_quarantine": 1.0})
LABELS = labelsets.load_labels(ROOT / "lexicon/label_sets/chest_13.yaml")
CONCEPTS = concepts.load_concepts(ROOT / "gold/concepts.csv")
SCHEMAS = {"reports": Reports, "gold": Gold, "quarantine": Quarantine}

# (patient, report, text): several reports a patient, texts of several reports, an id of two texts, a copy, one without text.
Item = tuple[int, int, str]
SOME: list[Item] = [(n // 3, n, f"Written sentence {n % 11}.") for n in range(40)] + [
    (1, 4, "Another text of this id."), (2, 6, "Written sentence 6."), (90, 900, ""),
]  # fmt: skip
MORE: list[Item] = [(n // 3, n, f"Written sentence {n % 13}.") for n in range(60, 90)] + [(91, 910, ""), (25, 75, "Another.")]
SPLITS = ["train", "valid", "test"]


def openi(folder: Path, items: list[Item]) -> dict[str, Any]:
    majors = [["normal"], ["Cardiomegaly/mild"], ["Pleural Effusion", "Opacity/lung"]]
    files = [xml(f"CXR{n}", text, "", majors[n % 3]) for _, n, text in items]
    return {"raw": str(archive(folder, *files)), "gold": str(ROOT / "gold/openi")}


def mimic_cxr(folder: Path, items: list[Item]) -> dict[str, Any]:
    raw = zipped(
        folder, {path_of(50000000 + n, 10000000 + who): f" FINDINGS:  {text}\n" * bool(text) for who, n, text in once(items)}
    )
    studies = [(who, n) for who, n, _ in items for _ in range(2)]
    splits = "".join(f"i{n},{50000000 + n},{10000000 + who},{SPLITS[who % 3]}\n" for who, n in studies)
    (folder / "mimic-cxr-2.0.0-split.csv").write_text("dicom_id,study_id,subject_id,split\n" + splits, encoding="utf-8")
    labelled = "".join(f"{50000000 + n}{ROW}" for _, n in dict.fromkeys(studies) if n % 2)
    (folder / "mimic-cxr-2.1.0-test-set-labeled.csv").write_text(HEAD + labelled, encoding="utf-8")
    return {"raw": str(raw), "gold": str(ROOT / "gold/mimic_cxr")}


def chexpert_plus(folder: Path, items: list[Item]) -> dict[str, Any]:
    rows = [chexpert_row(who, n, view, SPLITS[who % 3]) | {"section_findings": text} for who, n, text in items for view in (1, 2)]
    return {"raw": str(chexpert_csv(folder, *rows)), "gold": str(ROOT / "gold/none")}


def padchest(folder: Path, items: list[Item]) -> dict[str, Any]:
    labels = ["['cardiomegaly']", "['normal']", "['nodule', 'pleural effusion']"]
    rows = [
        padchest_row(ReportID=str(n), PatientID=f"p{who}", Report=text, Labels=labels[n % 3], ImageID=f"{view}")
        for who, n, text in items
        for view in range(2)
    ]
    return {"raw": str(padchest_csv(folder, *rows)), "gold": str(ROOT / "gold/padchest")}


def files(folder: Path, items: list[Item]) -> dict[str, Any]:
    rows = [
        {"report_id": f"r{n}", "who": f"p{who}", "part": SPLITS[who % 3], "found": ["Edema", "Normal", ""][n % 3], "text": text}
        for who, n, text in items
    ]
    (folder / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "gold/multiple_choice").mkdir(parents=True, exist_ok=True)
    for who, every in (("anna", 2), ("bert", 3)):
        said = [f"r{n},1{',' * (len(LABELS) - 1)}" for _, n, text in once(items) if n % every == 0 and text]
        head = ",".join(["report_id", *(label.name for label in LABELS)])
        (folder / f"gold/multiple_choice/{who}.csv").write_text("\n".join([head, *said]) + "\n", encoding="utf-8")
    columns = COLUMNS | {"text": "text", "patient": "who", "split": "part"}
    return {"raw": str(folder / "r.jsonl"), "gold": str(folder / "gold"), "files": FilesParams.model_validate(columns)}


def once(items: list[Item]) -> list[Item]:
    """One an id, as a path or a row of an annotator's stands once."""
    return list({n: (who, n, text) for who, n, text in sorted(items)}.values())


Source = Callable[[Path, list[Item]], dict[str, Any]]
SOURCES: list[Source] = [openi, mimic_cxr, chexpert_plus, padchest, files]


WITH_SPLITS = [mimic_cxr, chexpert_plus, files]
RUNS = [(source, "hash") for source in SOURCES] + [(source, "file") for source in WITH_SPLITS]


@pytest.fixture(params=RUNS, ids=lambda p: f"{p[0].__name__}-{p[1]}")
def extract(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[list[Item]], extracting.Extracted]:
    source, splits = request.param

    def run(items: list[Item]) -> extracting.Extracted:
        folder = tmp_path / "raw"
        folder.mkdir(exist_ok=True)
        changed = source(folder, items) | {"source": source.__name__, "splits": splits}
        return extracting.extract(P.model_copy(update=changed), LABELS, CONCEPTS)

    return run


def test_another_order_gives_the_same_bytes(extract: Callable[[list[Item]], extracting.Extracted], tmp_path: Path) -> None:
    def written(items: list[Item]) -> list[bytes]:
        made, parts = extract(items), []
        for name, schema in SCHEMAS.items():
            tables.write(schema, getattr(made, name), tmp_path / "table.parquet")
            parts.append((tmp_path / "table.parquet").read_bytes())
        return [*parts, json.dumps(made.metrics).encode()]

    first = written(SOME)
    for seed in range(2):
        assert written(random.Random(seed).sample(SOME, len(SOME))) == first


def test_more_reports_leave_the_others_as_they_were(extract: Callable[[list[Item]], extracting.Extracted]) -> None:
    some, all_of_them = extract(SOME), extract(MORE + SOME)
    ids = some.reports["report_id"].implode()
    assert some.reports["split"].n_unique() >= 2
    assert some.reports.height >= 36
    assert all_of_them.reports.height >= some.reports.height + 28
    for name in ("reports", "gold"):
        before, after = (getattr(made, name).filter(pl.col("report_id").is_in(ids)) for made in (some, all_of_them))
        key = SCHEMAS[name].primary_key()
        assert before.sort(key).equals(after.sort(key))
    assert set(some.quarantine.rows()) <= set(all_of_them.quarantine.rows())
    assert some.quarantine.height >= 1


def test_two_cohorts_in_another_order_give_the_same_tables(tmp_path: Path) -> None:
    def extract(items: list[Item]) -> extracting.Extracted:
        for name in ("a", "b"):
            (tmp_path / name).mkdir(exist_ok=True)
        here, there = openi(tmp_path / "a", items), files(tmp_path / "b", items)
        p = P.model_copy(update=here | {"source": "openi", "files": there.pop("files")})
        return second_cohort.extract(p, second_cohort.SecondParams(source="files", **there), LABELS, CONCEPTS)

    first, other = extract(SOME), extract(random.Random(3).sample(SOME, len(SOME)))
    for name, schema in SCHEMAS.items():
        assert getattr(first, name).sort(schema.primary_key()).equals(getattr(other, name).sort(schema.primary_key()))
    assert first.metrics == other.metrics
