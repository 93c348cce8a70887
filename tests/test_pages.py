import io
from dataclasses import replace

import polars as pl
import pytest
from rich.console import Console

from raddistill.scoring import score_output
from raddistill.scoring.scores import PER_LABEL, PRECISION_RECALL, RELIABILITY, Scored

FILES = [f"{name}.{kind}" for name in ("per_label", "precision_recall", "reliability") for kind in ("csv", "svg")]


def arm(micro_f1, reports=400):
    return {"reports": reports, "micro_f1": micro_f1}


def scored(split="test"):
    gain = {"micro_f1": 0.0123, "low": -0.0101, "high": 0.0305}
    choice = {"base": arm(0.1), "linear": arm(0.7), "teacher": arm(0.8), "student": arm(0.9)}
    found = {"base": arm(0.1, 100), "teacher": arm(0.8), "student": arm(0.7)}
    arms = {"multiple_choice": choice, "open_ended": found}
    metrics = {task: {"reports": 400, **of_task, "gain": gain} for task, of_task in arms.items()}
    rows = [
        ("multiple_choice", "student", "Edema", 5, 0.5, 0.2, 0.8, 0.5, 0.5, 1.0),
        ("multiple_choice", "teacher", "Edema", 5, 0.6, 0.3, 0.9, 0.5, 0.5, None),
        ("multiple_choice", "student", "Fracture", 9, None, None, None, None, None, 1.0),
        ("open_ended", "student", "scar", 40, 0.5, 0.2, 0.8, 0.5, 0.5, None),
    ]
    curve = [("student", "curve", 0.1, 0.5, 0.9), ("student", "curve", 0.9, 0.9, 0.2), ("teacher", "point", None, 0.8, 0.8)]
    bins = [("student", 0.1, 0.05, 700.0), ("student", 0.9, 0.8, 60.0)]
    frames = [
        pl.DataFrame(of, schema=columns, orient="row", infer_schema_length=None)
        for of, columns in ((rows, PER_LABEL), (curve, PRECISION_RECALL), (bins, RELIABILITY))
    ]
    return Scored(split, metrics, *frames, pl.DataFrame())


def with_whole():
    """As where the teacher is told to read the impression alone."""
    of = scored()
    of.metrics["open_ended"]["teacher_whole"] = arm(0.85)
    row = of.per_label.filter(pl.col("arm") == "teacher").with_columns(task=pl.lit("open_ended"), label=pl.lit("scar"))
    return replace(of, per_label=pl.concat([of.per_label, row.with_columns(arm=pl.lit("teacher_whole"))]))


def nothing():
    frames = (scored().per_label, scored().precision_recall, scored().reliability)
    return Scored("test", {"multiple_choice": {"reports": 0}}, *(frame.clear() for frame in frames), pl.DataFrame())


def printed(of, width=100):
    out = io.StringIO()
    score_output.print_table(of.split, of.metrics, Console(file=out, width=width))
    return out.getvalue()


@pytest.mark.parametrize("of", [scored, nothing, with_whole], ids=["some", "nothing", "whole"])
def test_drawing_twice_gives_the_same_bytes(tmp_path, of):
    for folder in ("one", "two"):
        score_output.draw(of(), tmp_path / folder)
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted(FILES)
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_a_split_without_gold_is_told():
    assert "Nobody annotated a report of the test split" in printed(nothing())
    told = printed(replace(nothing(), split="validation"))
    assert "where all gold is of the test split, the stage `final` has the scores" in " ".join(told.split())
    assert "Nobody" not in printed(scored())


def test_a_picture_holds_no_date_and_a_table_its_rows(tmp_path):
    score_output.draw(scored(), tmp_path)
    assert "<dc:date>" not in (tmp_path / "per_label.svg").read_text()
    assert (tmp_path / "per_label.csv").read_text().splitlines()[:2] == [
        "task,arm,label,positives,f1,low,high,precision,recall,mcnemar_p",
        "multiple_choice,student,Edema,5,0.5,0.2,0.8,0.5,0.5,1.0",
    ]


def test_the_table_fits_in_a_hundred_columns():
    lines = printed(scored()).splitlines()
    assert max(map(len, lines)) <= 100
    assert "…" not in "".join(lines)
    assert len(lines) == len(printed(scored(), width=200).splitlines())  # nothing wrapped


def test_the_table_says_what_it_must():
    text = printed(scored())
    row = next(line for line in text.splitlines() if "multiple_choice" in line)
    assert [cell.strip() for cell in row.strip("│ ").split("│")] == [
        "multiple_choice", "400", "0.100", "0.700", "0.800", "0.900", "+0.012 (-0.010 to +0.030)",
    ]  # fmt: skip
    assert "0.100 [100]" in text  # the base was asked fewer
    assert "metrics/final.json" in text
    assert "plots/validation/per_label.svg" in printed(scored("validation"))


def test_the_teacher_on_the_whole_report_is_a_column_where_there_is_one():
    assert "whole" not in printed(scored())
    lines = printed(with_whole(), width=score_output.WIDTH).splitlines()
    row = next(line for line in lines if "open_ended" in line)
    assert [cell.strip() for cell in row.strip("│ ").split("│")][5] == "0.850"
    assert "…" not in "".join(lines)
    assert len(lines) == len(printed(with_whole(), width=200).splitlines())


def test_an_arm_that_was_not_asked_is_a_dash():
    row = next(line for line in printed(scored()).splitlines() if "open_ended" in line)
    assert [cell.strip() for cell in row.strip("│ ").split("│")][3] == "-"
    assert "multiple_choice" in printed(nothing())
