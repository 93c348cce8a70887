"""Any label set: three labels and PadChest's 190 go the whole way, from a written cohort in PadChest's form to scores and plots.

Nothing but the label-set file knows how many there are. The student's place is taken by the linear arm, which needs no torch.
"""

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from transformers import AutoTokenizer

from raddistill import answer_format, concepts, labelsets, params
from raddistill.errors import InputError
from raddistill.scoring import score_output, scores
from raddistill.sources import extracting
from raddistill.student import calibrating, linear, merging
from raddistill.student.prompts import Renderer, encode
from raddistill.tables import base as tables
from raddistill.tables.evidence import Evidence
from raddistill.tables.examples import Examples
from raddistill.tables.gold import Gold
from raddistill.tables.labels import Labels
from raddistill.tables.predictions import ArmTables, Predictions, Probabilities
from raddistill.tables.reports import Reports
from raddistill.tables.written import Written
from raddistill.teachers.imported.teacher import ImportedTeacher
from raddistill.teachers.llm.questions import Questioner
from raddistill.teachers.llm.settings import LLMParams
from raddistill.teachers.rules.teacher import RulesTeacher

ROOT = Path(__file__).parent.parent
MC, OE = "multiple_choice", "open_ended"
OWN = [label.name for label in labelsets.load_labels(ROOT / "lexicon/label_sets/padchest.yaml")]
OFTEN = ["cardiomegaly", "pleural effusion", "pneumothorax", "kyphosis", "nodule"]
CONCEPTS = concepts.load_concepts(ROOT / "gold/concepts.csv")
LLM = LLMParams(
    endpoint="openai", model="m", answers="json_schema", temperature=0.0, top_p=None, max_tokens=9000, examples=0, seed=13,
    asks=1, samples=1, logprobs=False,
)  # fmt: skip


def cohort(folder: Path) -> Path:
    """400 reports of two labels each, named by physicians and by the network, which leaves out every seventh label."""
    path = folder / "PADCHEST_written.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["ImageID", "ReportID", "PatientID", "Report", "MethodLabel", "Labels"])
        for n in range(400):
            said = [OWN[n % len(OWN)], OFTEN[n % len(OFTEN)]]
            noisy = [label for k, label in enumerate(said) if (n + k) % 7] or ["normal"]
            text = f"informe numero {n} . " + " . ".join(said)
            for method, labels in (("Physician", said), ("RNN_model", noisy)):
                writer.writerow([f"{n}{method}.png", n, n, text, method, repr([f" {label}" for label in labels])])
    return path


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="module", params=["three", "padchest"])
def made(request: Any, raw: Path, tiny_base: Path) -> SimpleNamespace:
    """Every table of a run with one label set."""
    label_set = labelsets.load_labels(ROOT / f"lexicon/label_sets/{request.param}.yaml")
    p = params.load("extract", extracting.ExtractParams, ROOT / "params.yaml")
    p = p.model_copy(update={"source": "padchest", "raw": str(raw), "gold": str(ROOT / "gold/padchest")})
    extracted = extracting.extract(p, label_set, CONCEPTS)
    reports, gold = tables.check(Reports, extracted.reports, "reports"), tables.check(Gold, extracted.gold, "gold")
    taught = ImportedTeacher(MC, str(raw)).label(reports, label_set)
    outcomes = dict.fromkeys((MC, OE), taught.outcomes)
    labels = {MC: tables.check(Labels, taught.labels, "labels"), OE: Labels.create_empty()}
    m = params.load("merge", merging.MergeParams, ROOT / "params.yaml")
    whole: dict[str, Any] = {"units": "reports", "written": 0}  # files of labels have no evidence
    asked = {MC: m.multiple_choice.model_copy(update=whole), OE: m.open_ended.model_copy(update=whole | {"examples": 10})}
    no_text = (Evidence.create_empty(), taught.outcomes, Written.create_empty())
    by_task = {task: merging.Taught(labels[task], *no_text) for task in asked}
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    merged = merging.merge(m.model_copy(update=asked), reports, by_task, label_set, tokenizer, ROOT / "prompts/student")
    return SimpleNamespace(
        name=request.param, label_set=label_set, names=[label.name for label in label_set], reports=reports, gold=gold,
        labels=labels, outcomes=outcomes, examples=tables.check(Examples, merged.examples, "examples"), tokenizer=tokenizer,
    )  # fmt: skip


def logits(made: SimpleNamespace, split: str) -> pl.DataFrame:
    """Those of the linear arm, in the order in which a table keeps its rows."""
    train, asked = (made.examples.filter(pl.col("split") == name, pl.col("task") == MC) for name in ("train", split))
    _, made_of = linear.predict(train.filter("selected"), asked, made.label_set)
    frame = Probabilities.validate(made_of.with_columns(arm=pl.lit("student")), cast=True)
    return frame.sort(Probabilities.primary_key())


def scored(made: SimpleNamespace, tmp_path: Path) -> scores.Scored:
    """The linear arm, trained on the network's labels, in the student's place."""
    asked = made.examples.filter(pl.col("split") == "test", pl.col("task") == MC)
    frame, of_validation = logits(made, "test"), logits(made, "validation")
    said = asked.select("report_id", "task", arm=pl.lit("student"), answer=pl.lit(None, pl.String))
    against = calibrating.CalibrateParams(against="teacher", gold_reports=0, spend="hash")
    lexicon = tmp_path / "lexicon.csv"
    lexicon.write_text("phrase,concept\n", encoding="utf-8")
    p = params.load("score", scores.ScoreParams, ROOT / "params.yaml").model_copy(
        update={"bootstrap": 20, "macro_min_positives": 1}
    )
    calibration = calibrating.calibrate(against, of_validation, made.examples, made.labels[MC], made.gold, made.label_set)
    arm = ArmTables(Predictions.validate(said, cast=True), frame)
    teachers = {
        task: scores.TeacherTables(labels, Labels.create_empty(), made.outcomes[task]) for task, labels in made.labels.items()
    }
    given = scores.Inputs(
        "test", made.reports, made.gold, made.examples, {"student": arm}, teachers,
        calibration, made.label_set, CONCEPTS, lexicon,
    )  # fmt: skip
    return scores.score(p, given)


def test_teacher_and_gold_speak_of_the_set_and_of_nothing_else(made: SimpleNamespace) -> None:
    for frame in (made.labels[MC], made.gold.filter(pl.col("task") == MC)):
        assert frame["label"].unique().sort().to_list() == sorted(made.names)
        assert frame.height == made.reports.height * len(made.names)


def test_the_prompts_have_a_place_for_every_label(made: SimpleNamespace) -> None:
    renderer = Renderer(ROOT / "prompts/student", made.tokenizer, made.label_set)
    slots = answer_format.render_slots(made.label_set)
    encoded = encode(made.tokenizer, renderer.prompt("slots", "corazon grand"), slots, "slots")
    assert len(encoded.read_at) == len(made.names)
    targets = made.examples.filter(pl.col("task") == MC)["targets"]
    assert targets.list.len().unique().to_list() == [len(made.names)]
    listed = renderer.prompt("list", "corazon grand")
    assert ", ".join(made.names) in listed
    assert answer_format.parse_list(answer_format.render_list(made.names), made.label_set) == made.names


def test_an_llm_is_asked_for_every_label(made: SimpleNamespace) -> None:
    asked = str(Questioner(MC, ROOT / "prompts/teacher", made.label_set, LLM).question("r", "corazon grand", 0))
    assert all(f"- {label.name}: {label.description}\\n" in asked for label in made.label_set)


def test_the_shipped_examples_are_of_the_13_labels(made: SimpleNamespace) -> None:
    with pytest.raises(InputError, match="example"):
        Questioner(MC, ROOT / "prompts/teacher", made.label_set, LLM.model_copy(update={"examples": 3}))


def test_scores_and_plots_are_of_the_set(made: SimpleNamespace, tmp_path: Path) -> None:
    result = scored(made, tmp_path)
    choice = result.metrics[MC]
    assert choice["teacher"]["precision"] == 1.0  # the network leaves labels out, and makes none up
    assert 0.5 < choice["teacher"]["recall"] < 1.0
    assert choice["student"]["reports"] == choice["reports"] > 50
    rows = result.per_label.filter(pl.col("task") == MC)
    assert set(rows["label"]) == set(made.names)
    score_output.draw(result, tmp_path)
    drawn = pl.read_csv(tmp_path / "per_label.csv").filter(pl.col("task") == MC)
    assert set(drawn["label"]) == set(made.names)
    assert (tmp_path / "per_label.svg").stat().st_size > 1000


def test_a_threshold_is_chosen_by_the_targets_of_its_own_label(made: SimpleNamespace) -> None:
    """A table keeps its rows by name, targets stand in the order of the set."""
    by_name = logits(made, "validation")
    place = pl.col("label").replace_strict({name: n for n, name in enumerate(made.names)})
    by_set = by_name.sort("report_id", "part", place)
    against = calibrating.CalibrateParams(against="teacher", gold_reports=0, spend="hash")
    rest = (made.examples, made.labels[MC], made.gold, made.label_set)
    assert calibrating.calibrate(against, by_name, *rest) == calibrating.calibrate(against, by_set, *rest)


def test_the_rules_know_labels_for_which_there_is_a_lexicon(made: SimpleNamespace) -> None:
    words = "FINDINGS: The heart is enlarged. There is a pneumothorax. No pleural effusion."
    one = pl.DataFrame({"report_id": ["a"], "findings": [words[10:]], "impression": [None], "text": [words]},
                       schema_overrides={"impression": pl.String})  # fmt: skip
    teacher = RulesTeacher(MC, str(ROOT / "lexicon/cold"), "findings_and_impression")
    if made.name == "padchest":
        with pytest.raises(InputError, match=r"abnormal_foreign_body\.txt is missing"):
            teacher.label(one, made.label_set)
        return
    said = dict(teacher.label(one, made.label_set).labels.select("label", "status").rows())
    assert said == {"Cardiomegaly": "present", "Pneumothorax": "present", "Pleural Effusion": "absent"}
