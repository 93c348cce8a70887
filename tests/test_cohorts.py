"""Trained at one place, tested at another: Open-i's form and a written cohort, up to scores."""

import copy
import dataclasses
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pipeline_truth import ROOT
from test_padchest import row as padchest_row
from test_padchest import write as padchest_csv
from walking import walk

from raddistill import concepts, labelsets, params, paths
from raddistill.apps import cohorts, compare_cohorts
from raddistill.errors import InputError, ParamsError
from raddistill.sources import extracting
from raddistill.sources.splits import second_cohort
from raddistill.tables import base as tables
from raddistill.tables.gold import Gold
from raddistill.tables.quarantine import Quarantine
from raddistill.tables.reports import Reports
from raddistill.teachers.rules.teacher import RulesTeacher

LABELS = labelsets.load_labels(ROOT / "lexicon/label_sets/chest_13.yaml")
CONCEPTS = concepts.load_concepts(ROOT / paths.CONCEPTS)
PRESET: dict[str, Any] = params.read(ROOT / "presets/two-cohorts.yaml")["params"]
WRITTEN = ROOT / "gold/written_cohort"
N_WRITTEN = 41


@pytest.fixture
def first(collection: Path) -> extracting.ExtractParams:
    """Open-i's place, with the preset's columns for the other."""
    p = params.load("extract", extracting.ExtractParams, ROOT / "params.yaml")
    files = p.files.model_copy(update=PRESET["extract"]["files"])
    return p.model_copy(update={"raw": str(collection.parent), "gold": str(ROOT / "gold/openi"), "files": files})


def second(**changed: str) -> second_cohort.SecondParams:
    return second_cohort.SecondParams(source="files", raw=str(WRITTEN / "reports.csv"), gold=str(WRITTEN)).model_copy(
        update=changed
    )


def extract(p: extracting.ExtractParams, other: second_cohort.SecondParams) -> extracting.Extracted:
    return second_cohort.extract(p, other, LABELS, CONCEPTS)


def test_the_preset_names_the_written_cohort() -> None:
    named = second_cohort.SecondParams(**PRESET["second_cohort"])
    assert (named.source, ROOT / named.raw, ROOT / named.gold) == ("files", WRITTEN / "reports.csv", WRITTEN)


def test_without_a_second_all_is_as_before(first: extracting.ExtractParams) -> None:
    alone, before = extract(first, second(source="")), extracting.extract(first, LABELS, CONCEPTS)
    assert alone.metrics == before.metrics
    for table in ("reports", "gold", "quarantine"):
        assert getattr(alone, table).equals(getattr(before, table))


def test_training_stays_and_the_other_place_is_the_test(first: extracting.ExtractParams) -> None:
    alone, both = extracting.extract(first, LABELS, CONCEPTS), extract(first, second())
    for split in ("train", "validation"):
        of_split = [made.reports.filter(pl.col("split") == split).sort("report_id") for made in (alone, both)]
        assert of_split[0].height
        assert of_split[1].equals(of_split[0])
    tested = both.reports.filter(pl.col("split") == "test")
    assert tested.height == N_WRITTEN
    assert set(tested["source"]) == {"files"}
    assert set(both.reports["sensitivity"]) == {"public"}


def test_every_report_is_somewhere_and_counted(first: extracting.ExtractParams) -> None:
    alone, both = extracting.extract(first, LABELS, CONCEPTS), extract(first, second())
    aside = both.quarantine.filter(pl.col("reason") == second_cohort.SET_ASIDE)
    assert set(aside["report_id"]) == set(alone.reports.filter(pl.col("split") == "test")["report_id"])
    assert both.metrics["files"] == alone.metrics["files"] + N_WRITTEN == both.reports.height + both.quarantine.height
    assert both.metrics["quarantined"]["test_split_of_the_first_cohort"] == aside.height
    assert both.metrics["splits"] == alone.metrics["splits"] | {"test": N_WRITTEN}
    assert both.metrics["first"] == alone.metrics
    assert both.metrics["second"]["reports"] == N_WRITTEN
    for schema, frame in ((Reports, both.reports), (Gold, both.gold), (Quarantine, both.quarantine)):
        tables.check(schema, frame, "made")


def test_gold_of_both_is_one_that_scoring_takes(first: extracting.ExtractParams) -> None:
    gold = extract(first, second()).gold
    assert set(gold["annotator"]) == {"author+openi_mesh"}
    for task, names in (("multiple_choice", len(LABELS)), ("open_ended", len(CONCEPTS))):
        per_report = gold.filter(pl.col("task") == task).group_by("report_id").len()
        assert set(per_report["len"]) == {names}
    cell = (pl.col("report_id") == "W01") & (pl.col("label") == "Cardiomegaly")
    assert gold.filter(cell)["status"].to_list() == ["present"]


def test_a_second_without_gold_has_no_rows(first: extracting.ExtractParams) -> None:
    gold = extract(first, second(gold=str(ROOT / "gold/none"))).gold
    assert gold.filter(pl.col("report_id").str.starts_with("W")).is_empty()
    assert gold.height


def test_ids_in_both_are_refused(first: extracting.ExtractParams) -> None:
    with pytest.raises(InputError, match=r"\d+ reports of both cohorts have the same id \(such as CXR10\)"):
        extract(first, second(source="openi", raw=first.raw, gold=first.gold))


def of_padchest(folder: Path) -> dict[str, str]:
    """Whose columns of gold are enums."""
    padchest_csv(folder, padchest_row(), padchest_row(ReportID="8", PatientID="80", Report="sin hallazg .", Labels="['normal']"))
    return {"source": "padchest", "raw": str(folder), "gold": str(ROOT / "gold/padchest")}


@pytest.fixture
def every(first: extracting.ExtractParams, tmp_path: Path) -> list[extracting.Extracted]:
    """A cohort of each form of gold: strings, enums, of several annotators, none."""
    written = {"source": "files", "raw": str(WRITTEN / "reports.csv")}
    with_gold = [{}, of_padchest(tmp_path), written | {"gold": str(WRITTEN)}, written | {"gold": str(ROOT / "gold/none")}]
    return [extracting.extract(first.model_copy(update=changed), LABELS, CONCEPTS) for changed in with_gold]


def test_gold_of_every_two_sources_is_one_table(every: list[extracting.Extracted]) -> None:
    other_id = pl.concat_str(pl.lit("second "), "report_id").alias("report_id")
    for here, there in itertools.product(every, repeat=2):
        second = dataclasses.replace(
            there, **{table: getattr(there, table).with_columns(other_id) for table in ("reports", "gold", "quarantine")}
        )
        both = second_cohort._join(here, second, 0.8)
        gold = tables.check(Gold, both.gold, "gold")
        kept = here.gold.join(both.reports, on="report_id", how="semi")
        assert gold.height == kept.height + there.gold.height
        assert gold.select("task", "annotator").n_unique() == gold["task"].n_unique()
        tables.check(Reports, both.reports, "reports")


def test_errors_of_the_second_say_so(first: extracting.ExtractParams) -> None:
    with pytest.raises(InputError, match=r"^second_cohort: gold/writen does not exist; params\.yaml .* second_cohort\.gold;"):
        extract(first, second(gold="gold/writen"))
    with pytest.raises(ParamsError, match=r"^second_cohort: second_cohort\.source: there is no 'flies'; did you mean 'files'"):
        extract(first, second(source="flies"))


def test_two_tables_of_files_stay_apart(first: extracting.ExtractParams, tmp_path: Path) -> None:
    rows = {"report_id": ["A1", "A2"], "patient_id": ["P01", "x"], "text": ["IMPRESSION: Clear.", "IMPRESSION: Edema."]}
    pl.DataFrame(rows).write_csv(tmp_path / "first.csv")
    here = {"source": "files", "raw": str(tmp_path / "first.csv"), "gold": str(ROOT / "gold/none"), "train": 0.9}
    both = extract(first.model_copy(update=here), second())
    assert set(both.reports["source"]) == {"files", "files_second"}
    of_second = both.reports.filter(pl.col("source") == "files_second")
    assert of_second.height == N_WRITTEN
    assert both.reports.filter(pl.col("report_id") == "A1")["split"].to_list() == ["train"]
    assert both.metrics["patients_of_training_in_second"] == of_second.filter(pl.col("patient_id") == "P01").height > 0


def test_a_training_text_that_stands_in_the_second_is_counted(first: extracting.ExtractParams, tmp_path: Path) -> None:
    kept = extracting.extract(first, LABELS, CONCEPTS).reports.filter(pl.col("split") == "train").sort("report_id")[0]
    copy = pl.DataFrame({"report_id": ["W99"], "patient_id": ["P99"], "text": kept["text"]})
    copy.write_csv(tmp_path / "copy.csv")
    metrics = extract(first, second(raw=str(tmp_path / "copy.csv"), gold=str(ROOT / "gold/none"))).metrics
    assert metrics["texts_of_training_in_second"] == 1


def test_compare_cohorts_reads_the_joined_table(first: extracting.ExtractParams, tmp_path: Path) -> None:
    both = extract(first, second())
    tables.write(Reports, both.reports, tmp_path / "reports.parquet")
    tables.write(Gold, both.gold, tmp_path / "gold.parquet")
    told = compare_cohorts.as_json(*cohorts.read([tmp_path / "reports.parquet"], [tmp_path / "gold.parquet"]))
    assert [cohort["name"] for cohort in told["cohorts"]] == ["files", "openi"]
    assert told["redaction marks"]["reports with ___"]["values"][0] > 0
    assert told["labels present"]["Fracture"]["values"][0] == pytest.approx(3 / N_WRITTEN)


def test_the_rules_read_the_written_cohort_as_its_author_does(first: extracting.ExtractParams) -> None:
    """The written gold is no worse than this: a slip of its author, or a section lost on the way, would show."""
    both = extract(first, second())
    written = both.reports.filter(pl.col("source") == "files")
    labels = RulesTeacher("multiple_choice", str(ROOT / "lexicon/tuned"), "findings_and_impression").label(written, LABELS).labels
    said = both.gold.filter(pl.col("task") == "multiple_choice").join(written, on="report_id", how="semi")
    cells = said.join(labels, on=["report_id", "label"], suffix="_told")
    truth, told = (cells[column].cast(pl.String).is_in(["present", "uncertain"]) for column in ("status", "status_told"))
    assert 2 * (truth & told).sum() / (truth.sum() + told.sum()) > 0.9


def test_the_guide_names_what_there_is() -> None:
    guide = (ROOT / "docs/cohorts.md").read_text(encoding="utf-8")
    shipped = params.read(ROOT / "params.yaml")
    named = set(re.findall(r"\b(extract|second_cohort|asking|label_set)\.(?!json|parquet)((?:files\.)?\w+)", guide))
    assert len(named) >= 12
    for section, key in named:
        content = shipped[section]["files"] if key.startswith("files.") else shipped[section]
        assert key.removeprefix("files.") in content, f"{section}.{key}"
    presets = set(re.findall(r"raddistill preset ([\w.-]+)", guide)) - {"NAME"}
    assert presets >= {"mimic-cxr", "padchest", "two-cohorts"}
    assert all((ROOT / "presets" / f"{name}.yaml").exists() for name in presets)
    assert set(re.findall(r"^\| `(\w+)` \|", guide, re.MULTILINE)) >= set(extracting.SOURCES)
    folders = set(re.findall(r"`(gold/\w+)`", guide))
    assert folders >= {"gold/none", "gold/written_cohort"}
    assert all((ROOT / folder).is_dir() for folder in folders)


def test_trained_here_and_scored_there(
    small_params: dict[str, Any],
    write_params: Callable[[dict[str, Any], Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every stage with the preset: validation is the first cohort's, final the second's, each by its own gold."""
    content = copy.deepcopy(small_params)
    for section, changed in PRESET.items():
        for key, value in changed.items():
            content[section][key] = content[section][key] | value if isinstance(value, dict) else value
    for arm in content["predict"].values():
        arm["open_ended_reports"] = 6
    walk(content, tmp_path, write_params)
    monkeypatch.chdir(tmp_path)
    reports, asked = pl.read_parquet(paths.REPORTS), pl.read_parquet(paths.table("predictions", "student_test"))
    there = reports.filter(pl.col("source") == "files")["report_id"]
    final, validation = (json.loads(path.read_text(encoding="utf-8")) for path in (paths.FINAL_METRICS, paths.VALIDATION_METRICS))
    assert set(asked.filter(pl.col("task") == "multiple_choice")["report_id"]) == set(there)
    assert final["multiple_choice"]["reports"] == N_WRITTEN
    assert final["multiple_choice"]["teacher"]["micro_f1"] > 0.8
    assert final["open_ended"]["reports"] == 6
    assert (
        validation["multiple_choice"]["reports"]
        == reports.filter((pl.col("split") == "validation") & (pl.col("report_id") != "CXR2")).height
    )


@pytest.mark.parametrize(("split", "sensitivity"), [("train", "phi"), ("validation", "credentialed")])
def test_models_of_text_that_is_not_public_do_not_go_to_the_shared_remote(split: str, sensitivity: str) -> None:
    table = pl.DataFrame({"split": ["train", split], "sensitivity": ["public", sensitivity]})
    with pytest.raises(ParamsError, match=f"remotes.models.* 1 reports to learn from are {sensitivity}"):
        extracting.refuse_sharing(extracting.RemotesParams(models="shared"), table)
    extracting.refuse_sharing(extracting.RemotesParams(models="private"), table)


def test_what_is_only_tested_on_says_nothing_about_the_models() -> None:
    table = pl.DataFrame({"split": ["train", "test"], "sensitivity": ["public", "phi"]})
    extracting.refuse_sharing(extracting.RemotesParams(models="shared"), table)
