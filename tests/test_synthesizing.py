"""The stage synthesize: choice of the teacher, conservation of rows, metrics."""

from pathlib import Path

import dataframely as dy
import polars as pl
import pytest

from raddistill import labelsets, params, paths
from raddistill.errors import InputError, ParamsError
from raddistill.llm_client.settings import AskingParams
from raddistill.tables.answers import Answers
from raddistill.tables.reports import Reports
from raddistill.teachers import synthesizing
from raddistill.teachers.synthesizing import SynthesizeParams, TeacherContext, TeacherParams, Templates, synthesize

LABELS = labelsets.load_labels("lexicon/label_sets/chest_13.yaml")
RULES = TeacherParams(teacher="rules", source="lexicon/cold", sections="findings_and_impression", max_quarantine=0.05)
CONTEXT = TeacherContext(params.load("asking", AskingParams), Path("there/is/none"), Answers.create_empty())
FULL = CONTEXT._replace(hedges=paths.HEDGES, templates=Templates(paths.FRAMES, paths.COMPLETIONS))


def as_reports(texts: list[str]) -> dy.DataFrame[Reports]:
    rows = [
        {"report_id": f"r{i}", "patient_id": None, "source": "test", "sensitivity": "public", "findings": text,
         "impression": None, "indication": None, "comparison": None,
         "text": f"FINDINGS: {text}", "split": "train", "text_group": str(i)}
        for i, text in enumerate(texts)
    ]  # fmt: skip
    return Reports.validate(pl.DataFrame(rows, infer_schema_length=None), cast=True)


REPORTS = as_reports(["Small effusion. Scoliosis.", "No effusion, possible edema.", "Normal chest.", "Effusion."])


def test_multiple_choice_metrics():
    made = synthesize("multiple_choice", RULES, REPORTS, LABELS, CONTEXT)
    labels = made.metrics.pop("labels")
    assert made.metrics == {"reports": 4, "labelled": 4, "quarantined": {}}
    assert labels["Pleural Effusion"] == {"present": 2, "uncertain": 0, "absent": 1}
    assert labels["Edema"] == {"present": 0, "uncertain": 1, "absent": 0}
    assert set(labels) == {label.name for label in LABELS}
    assert made.labels.height == 4 * len(LABELS)


def test_open_ended_metrics():
    made = synthesize("open_ended", RULES, REPORTS, LABELS, CONTEXT)
    assert made.metrics == {
        "reports": 4, "labelled": 4, "quarantined": {}, "distinct_phrases": 4, "reports_with_findings": 3,
        "findings_per_report": 1.0, "present": 3, "uncertain": 1, "absent": 0,
    }  # fmt: skip
    assert made.outcomes["outcome"].to_list() == ["labelled"] * 4


@pytest.mark.parametrize("task", synthesizing.TASKS)
def test_the_order_of_the_reports_does_not_matter(task):
    a = synthesize(task, RULES, REPORTS, LABELS, CONTEXT)
    b = synthesize(task, RULES, REPORTS.reverse(), LABELS, CONTEXT)
    for one, other in zip(a[:5], b[:5], strict=True):
        assert one.sort(one.columns).equals(other.sort(one.columns))
    assert a.metrics == b.metrics


@pytest.mark.parametrize("task", synthesizing.TASKS)
def test_no_reports_at_all(task):
    made = synthesize(task, RULES, as_reports(["Edema."]).filter(pl.lit(value=False)), LABELS, CONTEXT)
    assert made.metrics["reports"] == made.labels.height == made.outcomes.height == 0


@pytest.mark.parametrize("task", synthesizing.TASKS)
def test_tables_made_piece_by_piece_are_the_same(task, monkeypatch):
    whole = synthesize(task, RULES, REPORTS, LABELS, CONTEXT)
    monkeypatch.setattr("raddistill.teachers.teacher.ROWS", 2)
    pieces = synthesize(task, RULES, REPORTS, LABELS, CONTEXT)
    assert all(getattr(pieces, name).equals(getattr(whole, name)) for name in ("labels", "evidence", "outcomes"))


def imported(path, n):
    """Params of a label file that holds the first `n` reports."""
    header = ",".join(label.name for label in LABELS)
    path.write_text(f"report_id,{header}\n" + "".join(f"r{i}{',' * len(LABELS)}\n" for i in range(n)))
    return RULES.model_copy(update={"teacher": "imported", "source": str(path)})


def test_too_many_in_quarantine_fail_with_the_counts(tmp_path):
    p = imported(tmp_path / "labels.csv", 3)
    told = r"1 of 4 reports to learn from could .* max_quarantine \(0.05\) allows: no label in file: 1 \(such as r3\); mend"
    with pytest.raises(InputError, match=told):
        synthesize("multiple_choice", p, REPORTS, LABELS, CONTEXT)
    made = synthesize("multiple_choice", p.model_copy(update={"max_quarantine": 0.25}), REPORTS, LABELS, CONTEXT)
    assert made.metrics["quarantined"] == {"no label in file": 1}
    assert made.metrics["labelled"] == 3
    assert made.outcomes.height == REPORTS.height


def test_a_test_split_that_the_file_does_not_hold_is_told_and_counted(tmp_path, capsys):
    """As of a second cohort: nothing is learned from its labels."""
    labels = tmp_path / "labels.csv"
    p = imported(labels, 2)
    second = pl.when(pl.col("report_id").is_in(["r2", "r3"])).then(pl.lit("test")).otherwise("split")
    reports = Reports.validate(REPORTS.with_columns(split=second), cast=True)
    made = synthesize("multiple_choice", p, reports, LABELS, CONTEXT)
    assert (made.metrics["labelled"], made.metrics["quarantined"]) == (2, {"no label in file": 2})
    complaint = "2 of 2 reports of the test split could not be labelled, more than max_quarantine (0.05) allows: no label in file"
    assert f"{complaint}: 2" in capsys.readouterr().err
    labels.write_text(labels.read_text().replace("r1", "r2"))
    with pytest.raises(InputError, match="1 of 2 reports to learn from could not be labelled"):
        synthesize("multiple_choice", p, reports, LABELS, CONTEXT)


@pytest.mark.parametrize("task", synthesizing.TASKS)
@pytest.mark.parametrize("sections", ["impression_else_findings", ["impression"]])
def test_the_same_rules_read_the_whole_report_where_the_teacher_reads_a_part(task, sections):
    impression = pl.Series(["Scoliosis.", "Possible edema.", "Normal.", "Effusion is likely."])
    reports = REPORTS.with_columns(impression=impression, text=pl.col("text") + "\nIMPRESSION: " + impression)
    reports = Reports.validate(reports, cast=True)
    part = synthesize(task, RULES.model_copy(update={"sections": sections}), reports, LABELS, CONTEXT)
    whole = synthesize(task, RULES, reports, LABELS, CONTEXT)
    assert part.whole_labels.sort(part.whole_labels.columns).equals(whole.labels.sort(whole.labels.columns))
    assert not part.labels.sort(part.labels.columns).equals(whole.labels.sort(whole.labels.columns))
    assert whole.whole_labels.is_empty()
    assert part.metrics["labelled"] == 4


def test_who_reads_the_whole_report_has_no_second_reading(tmp_path):
    both = RULES.model_copy(update={"sections": ["impression", "findings"]})
    assert synthesize("open_ended", both, REPORTS, LABELS, CONTEXT).whole_labels.is_empty()
    labels = tmp_path / "labels.csv"
    labels.write_text("report_id,phrase,code\n" + "".join(f"r{i},,\n" for i in range(4)))
    given = both.model_copy(update={"teacher": "imported", "source": str(labels), "sections": ["impression"]})
    made = synthesize("open_ended", given, REPORTS, LABELS, FULL)
    assert made.whole_labels.is_empty()
    assert made.written.is_empty()


def test_a_rules_teacher_writes_where_it_is_given_templates():
    made = synthesize("multiple_choice", RULES, REPORTS, LABELS, FULL)
    assert made.metrics["sentences"] == made.written["sentence_id"].n_unique() > 1_000
    assert made.metrics["phrases_left_out"] == 0
    assert made.labels.filter(label="Edema", report_id="r1")["probability"].to_list() == [0.5]
    assert synthesize("multiple_choice", RULES, REPORTS, LABELS, CONTEXT).written.is_empty()


def test_unknown_task_lists_the_known():
    with pytest.raises(ParamsError, match="unknown task 'free'; known: multiple_choice, open_ended"):
        synthesize("free", RULES, REPORTS, LABELS, CONTEXT)


def test_unknown_teacher_lists_the_known():
    p = RULES.model_copy(update={"teacher": "oracle"})
    with pytest.raises(ParamsError, match=r"open_ended: unknown teacher 'oracle'; known: rules, imported"):
        synthesize("open_ended", p, REPORTS, LABELS, CONTEXT)


def test_a_label_without_a_file_in_the_lexicon_is_named():
    with pytest.raises(InputError, match=r"multiple_choice/hiatal_hernia\.txt is missing"):
        synthesize("multiple_choice", RULES, REPORTS, [labelsets.Label(name="Hiatal Hernia", description="")], CONTEXT)


@pytest.mark.parametrize("task", synthesizing.TASKS)
def test_the_shipped_params_fit_and_a_task_may_ask_its_llm_otherwise(task):
    p = params.load(f"synthesize.{task}", SynthesizeParams)
    shared = params.load(f"synthesize.{p.teacher}", synthesizing.settings_of(p.teacher))
    assert not shared.model_dump()  # the rules have none
    shared = params.load("synthesize.llm", synthesizing.settings_of("llm"))
    assert synthesizing.llm_params(task, p, shared) == shared
    changed = synthesizing.llm_params(task, p.model_copy(update={"llm": {"seed": 14, "top_p": 0.9}}), shared)
    assert changed == shared.model_copy(update={"seed": 14, "top_p": 0.9})
    with pytest.raises(ParamsError, match=rf"synthesize\.{task}\.llm\.sead: unknown key"):
        synthesizing.llm_params(task, p.model_copy(update={"llm": {"sead": 14}}), shared)
    with pytest.raises(ParamsError, match=r"needs a section `llm`; synthesize\.llm of params\.yaml shows it"):
        synthesizing.llm_params(task, RULES, None)
