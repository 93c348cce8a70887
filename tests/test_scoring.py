"""A world of six reports, two labels and four concepts, small enough that every figure of the metrics file is worked out by hand.

Gold             Edema      Fracture | effusion   scar     catheter (device)
  r1             present    -        | present    -        -
  r2             ambiguous  present  | ambiguous  present  -
  r3, r4         -          -        | -          -        -          (normal)
  r5             present    present  | -          present  present
  r6             not annotated
"""

import json
from pathlib import Path

import polars as pl
import pytest

from raddistill.concepts import Concept
from raddistill.errors import TableError
from raddistill.labelsets import Label
from raddistill.scoring import score_output, scores
from raddistill.tables.calibration import Calibration, LabelCalibration
from raddistill.tables.decisions import Decisions
from raddistill.tables.examples import Examples
from raddistill.tables.gold import Gold
from raddistill.tables.labels import Labels
from raddistill.tables.outcomes import NOT_IN_FILE, ROWS_DIFFER, Outcomes
from raddistill.tables.predictions import ArmTables, Predictions, Probabilities
from raddistill.tables.reports import Reports

ROOT = Path(__file__).parents[1]
P = scores.ScoreParams(seed=13, bootstrap=200, near_duplicate=0.8, macro_min_positives=2, concept_macro_min_positives=2)
LABELS = [Label(name="Edema", description=""), Label(name="Fracture", description="")]
CONCEPTS = [
    Concept(concept="effusion", code="J90", accept="", kind="score", note=""),
    Concept(concept="scar", code="J98.4", accept="J84.10", kind="score", note=""),
    Concept(concept="hyperinflation", code="", accept="", kind="optional", note=""),
    Concept(concept="catheter", code="Z97.8", accept="", kind="device", note=""),
]
LEXICON = """phrase,concept
left,
effusion,effusion
pleural effusion,effusion
scar,scar
hyperinflation,hyperinflation
catheter,catheter
"""
TEXTS = {
    "r1": "FINDINGS: Left pleural effusion.",
    "r2": "IMPRESSION: A scar, and perhaps an effusion.",
    "r3": "FINDINGS: Clear lungs on both sides.",
    "r4": "FINDINGS: The heart is of normal size.",
    "r5": "IMPRESSION: There is a scar beneath the catheter.",
    "r6": "FINDINGS: Nobody looked at this one.",
    "t1": "FINDINGS: Pleural effusion, left!",
}
ASKED = ["r1", "r2", "r3", "r4", "r5", "r6"]
MC, OE = "multiple_choice", "open_ended"


def frame(schema, rows):
    return schema.validate(
        pl.DataFrame(rows, schema=list(schema.column_names()), orient="row", infer_schema_length=None), cast=True
    )


def gold():
    said = {
        MC: {"r1": {"Edema": "present"}, "r2": {"Edema": "ambiguous", "Fracture": "present"}},
        OE: {
            "r1": {"effusion": "present"},
            "r2": {"effusion": "ambiguous", "scar": "present"},
            "r5": {"scar": "present", "catheter": "present"},
        },
    }
    said[MC]["r5"] = {"Edema": "present", "Fracture": "present"}
    names = {MC: [label.name for label in LABELS], OE: [c.concept for c in CONCEPTS]}
    return frame(
        Gold,
        [
            (report, task, "by_hand", name, "excluded" if report == "r6" else said[task].get(report, {}).get(name, "absent"))
            for task, of_task in names.items()
            for report in [*ASKED, "t1"]
            for name in of_task
        ],
    )


def labels():
    choice = {"r1": ("uncertain", "absent"), "r2": ("absent", "present"), "r3": ("absent",) * 2, "r4": ("unmentioned",) * 2}
    phrases = [
        ("r1", "left pleural effusion", "present", "J90"),
        ("r2", "scar", "uncertain", "J98.4"),
        ("r3", "effusion", "absent", "J90"),
        ("r5", "catheter", "present", "Z97.8"),
    ]
    return {
        MC: frame(
            Labels,
            [
                (report, MC, "rules", label.name, status, None, None)
                for report, of_report in choice.items()
                for label, status in zip(LABELS, of_report, strict=True)
            ],
        ),
        OE: frame(Labels, [(report, OE, "rules", phrase, status, None, code) for report, phrase, status, code in phrases]),
    }


def outcomes(absent=None, failed=(("r4", OE), ("r5", MC)), why=NOT_IN_FILE):
    """All labelled but those that failed and, by task, those that the teacher's file does not label, with the reason `why`."""
    reasons = dict.fromkeys(failed, "no answer")
    reasons |= {(report, task): why for task, reports in (absent or {}).items() for report in reports}
    return {
        task: frame(
            Outcomes,
            [(r, task, "rules", "quarantined" if (r, task) in reasons else "labelled", reasons.get((r, task))) for r in ASKED],
        )
        for task in (MC, OE)
    }


STUDENT_LINES = {
    "r1": "left pleural effusion | J90\nhyperinflation | J98.4",
    "r2": "effusion | J90\nscar | J84.10",
    "r3": "pleural efusion | J90",
    "r4": "zebra sign | R00",
    "r5": "I see nothing.",
    "r6": "None",
}
BASE_LISTS = {"r1": "Edema", "r2": "Normal", "r3": "A cabbage", "r5": "Fracture, Edema"}
# The difference of the logits of yes and no; the student's temperature is 2, its threshold 0.7 for Fracture (1.695 and more).
STUDENT_LOGITS = {"r1": (1, 1), "r2": (3, 3), "r3": (-3, -3), "r4": (1, 1), "r5": (-1, 2), "r6": (5, 5)}
LINEAR_LOGITS = {"r1": (2, -2), "r2": (-2, -2), "r3": (-2, -2), "r4": (-2, -2)}


def predictions():
    student = [(r, MC, "student", None) for r in ASKED] + [(r, OE, "student", STUDENT_LINES[r]) for r in ASKED]
    return {
        "student": frame(Predictions, student),
        "base": frame(Predictions, [(r, MC, "base", answer) for r, answer in BASE_LISTS.items()]),
        "linear": frame(Predictions, [(r, MC, "linear", None) for r in LINEAR_LOGITS]),
    }


def probabilities():
    return {
        arm: frame(
            Probabilities,
            [
                (report, MC, arm, 0, label.name, answer, 10.0 + (difference if answer == "yes" else 0))
                for report, differences in logits.items()
                for label, difference in zip(LABELS, differences, strict=True)
                for answer in ("yes", "no")
            ],
        )
        for arm, logits in {"student": STUDENT_LOGITS, "linear": LINEAR_LOGITS, "base": {}}.items()
    }


def calibration(**changes):
    thresholds = {"Edema": 0.5, "Fracture": 0.7}
    of_labels = {
        name: LabelCalibration(threshold=threshold, teacher_uncertain_is_present=name != "Edema")
        for name, threshold in thresholds.items()
    }
    return Calibration(**{"temperature": 2.0, "against": "teacher", "reports": 9, "budget": [], "labels": of_labels} | changes)


def tables(**changes):
    split = {report: "train" if report == "t1" else "test" for report in TEXTS}
    reports = [(r, None, "own", "public", None, None, None, None, text, split[r], r) for r, text in TEXTS.items()]
    examples = [
        (r, task, 0, split.get(r, "train"), "lines", "prompt", "None", None, None, r in split, r not in ASKED, 0, "hash")
        for r in [*TEXTS, "written:0a1b"]  # a sentence that the teacher wrote is no report
        for task in (MC, OE)
    ]
    given = {
        "reports": frame(Reports, reports),
        "gold": gold(),
        "labels": labels(),
        "whole_labels": {task: Labels.create_empty() for task in (MC, OE)},
        "outcomes": outcomes(),
        "examples": frame(Examples, examples),
        "predictions": predictions(),
        "probabilities": probabilities(),
    }
    return given | changes


def score(lexicon, split="test", calibrated=None, **changes):
    given = tables(**changes)
    arms = {arm: ArmTables(rows, given["probabilities"][arm]) for arm, rows in given["predictions"].items()}
    by_task = {task: [given[kind][task] for kind in ("labels", "whole_labels", "outcomes")] for task in (MC, OE)}
    teachers = {task: scores.TeacherTables(*of_task) for task, of_task in by_task.items()}
    everything = scores.Inputs(
        split, given["reports"], given["gold"], given["examples"], arms, teachers,
        calibrated or calibration(), LABELS, CONCEPTS, lexicon,
    )  # fmt: skip
    return scores.score(P, everything)


@pytest.fixture(scope="module")
def lexicon(tmp_path_factory):
    path = tmp_path_factory.mktemp("lexicon") / "lexicon.csv"
    path.write_text(LEXICON)
    return path


@pytest.fixture(scope="module")
def scored(lexicon):
    return score(lexicon)


def without_intervals(figures):
    return {key: value for key, value in figures.items() if not key.endswith(("low", "high"))}


def by_hand(*tables):
    """Parts of the metrics file by name, from tables whose first line holds their keys."""
    parts = {}
    for table in tables:
        keys, *lines = filter(None, (line.partition("#")[0].split() for line in table.splitlines()))
        for part, *cells in lines:
            parts[part] = parts.get(part, {}) | dict(zip(keys, map(float, cells), strict=True))
    return parts


MULTIPLE_CHOICE = by_hand(
    """
            reports micro_f1 macro_f1 precision recall specificity_normal mask_absent_micro_f1 mask_present_micro_f1 unparsed
    student       5     0.75     0.75      0.75   0.75                0.5               0.6667                   0.8        0
    teacher       5   0.6667   0.6667         1    0.5                  1               0.6667                0.5714        1
    linear        4   0.6667      0.5         1    0.5                  1               0.6667                   0.5        0
    base          4   0.8571   0.8333         1   0.75                  1               0.8571                  0.75        1
    # student: tp r1 Edema, r2 Fracture, r5 Fracture; fp r4 Edema; fn r5 Edema; r2 Edema is ambiguous (one more fp, or tp);
    #   macro: Edema 0.5, Fracture 1; normal: r3 is right, r4 is not
    # teacher: tp r1 Edema (uncertain), r2 Fracture; fn both of r5, which it did not label
    # linear, asked four: tp r1 Edema, fn r2 Fracture
    # base, lists, asked four: tp r1 Edema and both of r5, fn r2 Fracture; r3 does not parse
    """,
    """
            uncertain_is_present uncertain_present_micro_f1 uncertain_absent_micro_f1
    teacher                    1                     0.6667                       0.4
    """,
    """
                     reports micro_f1 mask_absent_micro_f1 mask_present_micro_f1
    gain                   5   0.0833                    0                0.2286
    gain_over_linear       4   0.1333                    0                0.3571
    """,
    """
           reports student_micro_f1 teacher_micro_f1
    unseen       4           0.6667              0.5  # t1 has the words of r1
    """,
)
OPEN_ENDED = by_hand(
    """
            reports micro_f1 macro_f1 precision recall specificity_normal mask_absent_micro_f1 mask_present_micro_f1 unparsed
    student       5   0.5714   0.6667       0.5 0.6667                  0                  0.5                0.6667        1
    teacher       5      0.8   0.6667         1 0.6667                  1                  0.8                0.6667        1
    # student: tp r1 effusion, r2 scar; fp r3 (by likeness), r4 (no concept); fn r5 scar; r2 effusion is ambiguous
    # teacher: tp r1 effusion, r2 scar (uncertain); fn r5 scar; r4 not labelled; an absent phrase is no finding
    # macro: scar alone has two positives
    """,
    """
            uncertain_is_present uncertain_present_micro_f1 uncertain_absent_micro_f1
    teacher                    1                        0.8                       0.5
    """,
    """
            abnormal_micro_f1 unmapped  fuzzy ungrounded coverage category_micro_f1 device_micro_f1
    student               0.8   0.1667 0.1667        0.5      0.8            0.5714               0
    teacher               0.8        0      0          0      0.8               0.8               1
    # student: one of six phrases is unmapped, one fuzzy; ungrounded: hyperinflation, efusion, zebra;
    #   J84 is accepted for scar; J90 in r2 is neither right nor wrong
    """,
    """
         reports micro_f1 mask_absent_micro_f1 mask_present_micro_f1
    gain       5  -0.2286                 -0.3                     0
    """,
    """
           reports student_micro_f1 teacher_micro_f1
    unseen       4              0.4           0.6667
    """,
)


@pytest.mark.parametrize("part", MULTIPLE_CHOICE)
def test_multiple_choice_by_hand(scored, part):
    assert without_intervals(scored.metrics[MC][part]) == MULTIPLE_CHOICE[part]


@pytest.mark.parametrize("part", OPEN_ENDED)
def test_open_ended_by_hand(scored, part):
    assert without_intervals(scored.metrics[OE][part]) == OPEN_ENDED[part]


def test_the_file_has_these_parts_and_numbers_only(scored):
    assert list(scored.metrics[MC]) == ["reports", "positives", "gold_budget", *MULTIPLE_CHOICE]
    assert list(scored.metrics[OE]) == ["reports", "positives", "gold_budget", *OPEN_ENDED]
    assert (scored.metrics[MC]["reports"], scored.metrics[MC]["positives"]) == (5, 4)
    assert (scored.metrics[OE]["reports"], scored.metrics[OE]["positives"]) == (5, 3)
    leaves = [
        v
        for task in scored.metrics.values()
        for part in task.values()
        for v in (part.values() if isinstance(part, dict) else [part])
    ]
    assert {type(leaf) for leaf in leaves} == {int, float}
    json.dumps(scored.metrics, allow_nan=False)


def test_intervals_hold_their_figure(scored):
    for task in scored.metrics.values():
        for arm in ("student", "teacher"):
            assert task[arm]["micro_f1_low"] <= task[arm]["micro_f1"] <= task[arm]["micro_f1_high"]
        assert task["gain"]["low"] <= task["gain"]["micro_f1"] <= task["gain"]["high"]


def test_a_gold_budget_is_left_out_of_the_score_and_the_teacher_gets_its_share(lexicon):
    spent = calibration(against="gold", budget=["r5"])
    metrics = score(lexicon, calibrated=spent).metrics[MC]
    assert (metrics["reports"], metrics["gold_budget"]) == (4, 1)
    assert metrics["teacher"]["recall"] == 0.5  # r1 Edema is uncertain, and its share of the budget says absent


def doubted(probability=None, **changes):
    """The teacher's doubt about Edema moved from r1, where it is right, to r3, where it is wrong; with a probability."""
    rows = labels()[MC].with_columns(
        status=pl.when((pl.col("report_id") == "r3") & (pl.col("label") == "Edema")).then(pl.lit("uncertain"))
        .when(pl.col("report_id") == "r1").then(pl.lit("absent")).otherwise(pl.col("status").cast(pl.String))
    )  # fmt: skip
    rows = rows.with_columns(probability=pl.when(pl.col("status") == "uncertain").then(pl.lit(probability, pl.Float64)))
    return frame(Labels, rows.rows())


def test_a_teacher_is_compared_under_the_better_of_its_policies(lexicon):
    metrics = score(lexicon, labels={MC: doubted(), OE: labels()[OE]}).metrics[MC]
    teacher = metrics["teacher"]
    assert teacher["micro_f1"] == teacher["uncertain_absent_micro_f1"] == 0.4  # tp r2 Fracture; fn r1 Edema, both of r5
    assert teacher["uncertain_present_micro_f1"] == 0.3333  # one more fp
    assert teacher["uncertain_is_present"] == 0
    assert metrics["gain"]["micro_f1"] == 0.35
    assert "uncertain_graded_micro_f1" not in teacher
    assert "gain_over_graded" not in metrics


@pytest.mark.parametrize(("probability", "graded"), [(0.5, 0.4), (0.51, 0.3333)])
def test_a_teacher_with_probabilities_is_compared_as_graded_too(lexicon, probability, graded):
    metrics = score(lexicon, labels={MC: doubted(probability), OE: labels()[OE]}).metrics[MC]
    assert metrics["teacher"]["uncertain_graded_micro_f1"] == graded
    assert metrics["teacher"]["uncertain_is_present"] == 0  # the better of the two, graded left out
    assert metrics["gain_over_graded"]["micro_f1"] == round(0.75 - graded, 4)
    assert set(metrics["gain_over_graded"]) == set(metrics["gain"])


def test_the_same_teacher_on_the_whole_report_is_an_arm_of_its_own(scored, lexicon):
    both = {MC: doubted(), OE: labels()[OE]}
    metrics = score(lexicon, whole_labels=both).metrics
    assert metrics[MC]["teacher"] == scored.metrics[MC]["teacher"]
    assert metrics[MC]["teacher_whole"]["micro_f1"] == 0.4
    assert metrics[MC]["teacher_whole"]["uncertain_is_present"] == 0  # its own better policy
    assert metrics[MC]["gain_over_teacher_whole"]["micro_f1"] == 0.35
    assert metrics[OE]["teacher_whole"] == metrics[OE]["teacher"] | {"unparsed": 0, "coverage": 1.0}
    assert metrics[OE]["gain_over_teacher_whole"] == metrics[OE]["gain"]
    unread = outcomes(failed=[(report, OE) for report in ASKED])  # the part that the teacher reads is in none of the reports
    apart = score(lexicon, whole_labels=both, outcomes=unread).metrics[OE]
    assert (apart["teacher"]["micro_f1"], apart["teacher_whole"]["micro_f1"]) == (0.0, 0.8)
    alone = score(lexicon, whole_labels={MC: both[MC], OE: Labels.create_empty()}).metrics
    assert alone[OE] == scored.metrics[OE]


def parts(second):
    """The student's logits, and as a second part of each report those that `second` makes of them."""
    whole = probabilities()["student"]
    also = second(whole).with_columns(part=pl.lit(1, pl.Int64))
    return probabilities() | {"student": frame(Probabilities, pl.concat([whole, also]).rows())}


def test_a_finding_stated_in_one_part_is_stated(scored, lexicon):
    """What is lower changes nothing, what is higher decides."""
    yes, edema = pl.col("answer") == "yes", pl.col("label") == "Edema"
    lower = parts(lambda rows: rows.with_columns(pl.col("logit") - 5 * yes))
    assert score(lexicon, probabilities=lower).metrics == scored.metrics
    higher = parts(lambda rows: rows.with_columns(pl.col("logit") + 9 * (yes & edema)))
    student = score(lexicon, probabilities=higher).metrics[MC]["student"]
    assert student["recall"] == 1.0  # Edema everywhere, r5 too
    assert student["specificity_normal"] == 0.0
    torn = parts(lambda rows: rows.filter((pl.col("report_id") != "r2") | ~edema))
    with pytest.raises(TableError, match="1 of 6 asked reports lack a logit"):
        score(lexicon, probabilities=torn)


def test_decisions_are_ids_and_names_and_say_who_was_asked(scored):
    rows = frame(Decisions, scored.decisions.rows())
    asked = rows.filter(pl.col("kind").is_in(["asked", "unparsed"])).group_by("task", "arm").len()
    assert dict(asked.filter(pl.col("task") == MC).select("arm", "len").rows()) == {
        "student": 6, "linear": 4, "base": 4, "teacher_present": 6, "teacher_absent": 6,
    }  # fmt: skip
    student = rows.filter((pl.col("arm") == "student") & (pl.col("report_id") != "r6")).sort("report_id", "kind", "label")
    assert student.filter(pl.col("task") == MC, pl.col("kind") == "present").select("report_id", "label").rows() == [
        ("r1", "Edema"), ("r2", "Edema"), ("r2", "Fracture"), ("r4", "Edema"), ("r5", "Fracture"),
    ]  # fmt: skip
    found = student.filter(pl.col("task") == OE).select("report_id", "kind", "label", "count").rows()
    assert ("r4", "unmapped", "", 1) in found
    assert ("r5", "unparsed", "", 1) in found
    assert ("r2", "present", "scar", 1) in found


def test_the_student_alone_is_scored_on_validation(lexicon):
    alone = {arm: {"student": tables()[arm]["student"]} for arm in ("predictions", "probabilities")}
    metrics = score(lexicon, **alone).metrics
    assert list(metrics[MC]) == ["reports", "positives", "gold_budget", "student", "teacher", "gain", "unseen"]


def test_a_task_that_nobody_was_asked_has_no_figures(lexicon):
    asked = {arm: rows.filter(pl.col("task") == OE) for arm, rows in predictions().items()}
    metrics = score(lexicon, predictions=asked).metrics
    assert metrics[MC] == {"reports": 0, "positives": 0, "gold_budget": 0}
    assert metrics[OE]["student"]["micro_f1"] == 0.5714


@pytest.mark.parametrize("why", [NOT_IN_FILE, ROWS_DIFFER])
def test_a_teacher_is_scored_on_the_reports_that_its_file_holds(why, scored, lexicon):
    absent = {MC: ("r3", "r5"), OE: ("r2",)}
    metrics = score(lexicon, outcomes=outcomes(absent, why=why)).metrics
    assert [metrics[task]["teacher"]["reports"] for task in (MC, OE)] == [3, 4]
    assert [metrics[task]["gain"]["reports"] for task in (MC, OE)] == [3, 4]
    assert metrics[MC]["unseen"]["teacher_reports"] == 2  # r1 has a neighbour
    # Fracture of r2; Edema of r1 is uncertain, r5 with Edema and Fracture is not held against the teacher.
    assert metrics[MC]["teacher"]["micro_f1"] == 1.0
    assert metrics[MC]["teacher"]["unparsed"] == 0
    assert scored.metrics[MC]["teacher"]["micro_f1"] == 0.6667
    for task in (MC, OE):
        assert metrics[task]["student"] == scored.metrics[task]["student"]
        ours = score(lexicon, predictions=only_asked(task, set(ASKED) - set(absent[task]))).metrics
        assert metrics[task]["gain"] == ours[task]["gain"]


def test_a_teacher_whose_file_holds_no_scored_report_is_not_compared_with(scored, lexicon, tmp_path):
    """As where the labels of a second cohort are in no file."""
    silent = {task: Labels.create_empty() for task in (MC, OE)}
    alone = score(lexicon, labels=silent, outcomes=outcomes({MC: ASKED, OE: ASKED}))
    for task in (MC, OE):
        assert set(scored.metrics[task]) - set(alone.metrics[task]) == {"teacher", "gain"}
        assert alone.metrics[task]["student"] == scored.metrics[task]["student"]
        assert alone.metrics[task]["unseen"]["teacher_reports"] == 0
    assert "teacher" not in set(alone.per_label["arm"]) | set(alone.precision_recall["arm"])
    assert alone.per_label["mcnemar_p"].is_null().all()
    score_output.draw(alone, tmp_path)
    assert (tmp_path / "per_label.svg").stat().st_size > 1000


def only_asked(task, reports):
    kept = (pl.col("task") != task) | pl.col("report_id").is_in(sorted(reports))
    return {arm: rows.filter(kept) for arm, rows in predictions().items()}


def test_what_cannot_be_computed_is_left_out(lexicon):
    asked = {"student": predictions()["student"].filter(pl.col("report_id").is_in(["r3", "r4"]))}
    student = score(lexicon, predictions=asked).metrics[MC]["student"]
    assert "recall" not in student  # nobody has a finding
    assert student["precision"] == 0.0


def test_scores_do_not_depend_on_the_order_of_rows(scored, lexicon):
    turned = {
        key: value.reverse() if isinstance(value, pl.DataFrame) else value
        for key, value in tables(predictions={arm: rows.reverse() for arm, rows in predictions().items()}).items()
    }
    assert score(lexicon, **turned).metrics == scored.metrics


def test_a_missing_logit_is_counted(lexicon):
    torn = probabilities()
    torn["student"] = torn["student"].filter(pl.col("report_id") != "r2")
    with pytest.raises(TableError, match="1 of 6 asked reports lack a logit"):
        score(lexicon, probabilities=torn)


def test_a_label_without_threshold_is_named(lexicon):
    less = calibration(labels={"Edema": LabelCalibration(threshold=0.5, teacher_uncertain_is_present=True)})
    with pytest.raises(TableError, match="no threshold for Fracture"):
        score(lexicon, calibrated=less)


def test_a_student_of_the_open_ended_task_alone_needs_no_threshold(scored, lexicon):
    asked = {arm: rows.filter(pl.col("task") == OE) for arm, rows in predictions().items()}
    logits = {arm: rows.clear() for arm, rows in probabilities().items()}
    alone = score(lexicon, predictions=asked, probabilities=logits, calibrated=calibration(labels={}))
    assert alone.metrics[OE] == scored.metrics[OE]
    assert alone.metrics[MC]["reports"] == 0


def test_gold_with_holes_is_refused(lexicon):
    holes = gold().filter(~((pl.col("report_id") == "r1") & (pl.col("label") == "Edema")))
    with pytest.raises(TableError, match="lacks 1 of its cells"):
        score(lexicon, gold=holes)


def test_a_report_that_nobody_read_needs_no_row(scored, lexicon):
    """`excluded` rows and no rows are the same to scores; a task without any gold has none."""
    read = gold().filter(pl.col("status") != "excluded")
    assert read.height < gold().height
    assert score(lexicon, gold=read).metrics == scored.metrics
    metrics = score(lexicon, gold=read.filter(pl.col("task") == MC)).metrics
    assert metrics[MC] == scored.metrics[MC]
    assert metrics[OE] == {"reports": 0, "positives": 0, "gold_budget": 0}
    for arms in (score(lexicon, gold=read.clear()).metrics[task] for task in (MC, OE)):
        assert arms["reports"] == 0


def test_gold_of_two_annotators_is_refused(lexicon):
    two = pl.concat([gold(), gold().with_columns(pl.lit("another").alias("annotator"))])
    with pytest.raises(TableError, match="several annotators: another, by_hand"):
        score(lexicon, gold=two)


def test_reports_of_another_split_are_refused(lexicon):
    with pytest.raises(TableError, match="6 predicted reports are not in the split"):
        score(lexicon, split="validation")


def test_rows_for_the_plots(scored):
    row = scored.per_label.row(by_predicate=(pl.col("arm") == "student") & (pl.col("label") == "Edema"), named=True)
    assert (row["positives"], row["f1"], row["precision"], row["recall"], row["mcnemar_p"]) == (2, 0.5, 0.5, 0.5, 1.0)
    points = scored.precision_recall.filter(pl.col("kind") == "point").select("arm", "precision", "recall").rows()
    assert points == [("student", 0.75, 0.75), ("teacher", 1.0, 0.5)]
    curve = scored.precision_recall.filter((pl.col("arm") == "student") & (pl.col("threshold") == 0.5))
    assert curve.select("precision", "recall").row(0) == (0.5, 0.75)  # at 0.5 Fracture of r1 and r4 too: 3 of 6, 3 of 4
    bins = scored.reliability.filter(pl.col("arm") == "student")
    assert bins["cells"].sum() == 9  # five reports, two labels, one ambiguous cell
    assert bins["predicted"].is_sorted()
