"""`raddistill score`: the keys and values of F1-CheXbert's classification reports, and every report counted."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import classification_report
from typer.testing import CliRunner

from raddistill import cli
from raddistill.apps.score import score_texts
from raddistill.errors import InputError

# As in the package f1chexbert 0.0.2.
FOURTEEN = [
    "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation", "Pneumonia",
    "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices", "No Finding",
]  # fmt: skip
FIVE = ["Cardiomegaly", "Edema", "Consolidation", "Atelectasis", "Pleural Effusion"]
AVERAGES = ["micro avg", "macro avg", "weighted avg", "samples avg"]
PAIRS: dict[
    str, tuple[str, str, set[str], set[str]]
] = {  # id -> reference, hypothesis, and the labels that a reader finds in each
    "a": ("The heart is enlarged. No edema.", "Cardiomegaly.", {"Cardiomegaly"}, {"Cardiomegaly"}),
    "b": ("Small left pleural effusion.", "The lungs are clear.", {"Pleural Effusion"}, {"No Finding"}),
    "c": ("Possible pneumonia.", "Pneumonia.", {"Pneumonia"}, {"Pneumonia"}),
    "d": ("The lungs are clear.", "No acute disease.", {"No Finding"}, {"No Finding"}),
    "e": ("Pulmonary edema. A right chest port.", "", {"Edema", "Support Devices"}, set[str]()),
    "f": (
        "A right chest port is seen.",
        "A right chest port.",
        {"Support Devices", "No Finding"},
        {"Support Devices", "No Finding"},
    ),
    "g": ("Right lower lobe atelectasis.", "Rib fracture.", {"Atelectasis"}, {"Fracture"}),
}
SECRET = "zanzibar"  # noqa: S105  stands for report text


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, at in (("refs", 0), ("hyps", 1)):
        lines = [f"{report},{pair[at]}" for report, pair in PAIRS.items()]
        Path(f"{name}.csv").write_text("\n".join(["report_id,text", *lines]) + "\n", encoding="utf-8")


def score(*words: str) -> dict[str, Any]:
    done = CliRunner().invoke(cli.app, ["score", *words, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


def expected() -> tuple[Any, Any]:
    """(reports, 14) of references and of hypotheses, as a reader finds them."""
    true = [[name in pair[2] for name in FOURTEEN] for pair in PAIRS.values()]
    found = [[name in pair[3] for name in FOURTEEN] for pair in PAIRS.values()]
    return np.array(true), np.array(found)


def test_the_keys_and_values_are_those_of_the_classification_reports() -> None:
    made, (true, found) = score("refs.csv", "hyps.csv"), expected()
    assert list(made)[:4] == ["accuracy", "accuracy_not_averaged", "class_report", "class_report_5"]
    for key, names in (("class_report", FOURTEEN), ("class_report_5", FIVE)):
        at = [FOURTEEN.index(name) for name in names]
        own = classification_report(true[:, at], found[:, at], target_names=names, output_dict=True, zero_division=0)
        assert list(made[key]) == list(own) == [*names, *AVERAGES]
        for name, figures in own.items():
            assert made[key][name] == pytest.approx(figures), name
    right = (true == found)[:, [FOURTEEN.index(name) for name in FIVE]].all(axis=1)
    assert made["accuracy_not_averaged"] == right.astype(float).tolist()
    assert made["accuracy"] == pytest.approx(right.mean())
    assert made["report_ids"] == list(PAIRS)


def test_intervals_lie_around_the_figures() -> None:
    made = score("refs.csv", "hyps.csv")
    assert made["intervals"]["accuracy"]["low"] <= made["accuracy"] <= made["intervals"]["accuracy"]["high"]
    for key in ("class_report", "class_report_5"):
        assert list(made["intervals"][key]) == [name for name in made[key] if name != "samples avg"]
        for name in ("micro avg", "weighted avg"):
            limits = made["intervals"][key][name]
            assert limits["f1-score_low"] < made[key][name]["f1-score"] < limits["f1-score_high"]


def test_reports_with_equal_texts_are_drawn_together() -> None:
    """One text ten times is one draw: the interval has no width."""
    made = score_texts(refs=["Cardiomegaly. Edema."] * 10, hyps=["Cardiomegaly."] * 9 + ["Edema."])
    apart = score_texts(refs=[f"Cardiomegaly. Edema. Film {n}." for n in range(10)], hyps=["Cardiomegaly."] * 5 + ["Normal."] * 5)
    limits, wide = (each["intervals"]["class_report"]["micro avg"] for each in (made, apart))
    assert limits["f1-score_low"] == limits["f1-score_high"] == pytest.approx(made["class_report"]["micro avg"]["f1-score"])
    assert wide["f1-score_low"] < wide["f1-score_high"]


def test_python_and_command_line_say_the_same() -> None:
    ours = score_texts([pair[0] for pair in PAIRS.values()], [pair[1] for pair in PAIRS.values()])
    theirs = score("refs.csv", "hyps.csv")
    del ours["report_ids"], theirs["report_ids"]
    assert ours == theirs
    accuracy, by_report, report, report_5, *_ = ours.values()
    assert accuracy == np.mean(by_report)
    assert report["No Finding"]["support"] == 2
    assert "No Finding" not in report_5


def test_every_report_is_counted() -> None:
    refs = "report_id,text\na,Cardiomegaly.\nb,nan\nc,Edema.\nc,Fracture.\nd,Pneumonia.\n,Edema.\ne,Normal.\n"
    hyps = "report_id,text\na,Cardiomegaly.\nb,Edema.\nc,Edema.\nd,None\nx,Normal.\na,Edema.\n"
    Path("refs.csv").write_text(refs, encoding="utf-8")
    Path("hyps.csv").write_text(hyps, encoding="utf-8")
    made = score("refs.csv", "hyps.csv")
    assert made["report_ids"] == ["a", "c", "d"]
    assert made["reports"] == {
        "scored": 3, "of_these_without_hypothesis_text": 1, "unusable_references": 3,  # b, the second c, the one without an id
        "references_without_hypothesis": 1, "other_hypotheses": 3,  # b, x and the second a
    }  # fmt: skip
    assert made["class_report"]["micro avg"]["recall"] == pytest.approx(2 / 3)
    assert sum(made["reports"].values()) - 1 == refs.count("\n") - 1 + hyps.count("\n") - 1 - 3


def test_other_columns_sections_and_forms() -> None:
    Path("both.csv").write_text(
        "study,report,generated\n1,INDICATION: Edema. FINDINGS: Clear. IMPRESSION: Cardiomegaly.,Cardiomegaly.\n",
        encoding="utf-8",
    )
    words = ["both.csv", "both.csv", "--id-column", "study", "--text-column", "report", "--hypothesis-column", "generated"]
    assert score(*words)["class_report"]["micro avg"]["f1-score"] == 1
    Path("two.jsonl").write_text('{"study": 1, "findings": "Edema.", "impression": "Cardiomegaly."}\n', encoding="utf-8")
    made = score("two.jsonl", "two.jsonl", "--id-column", "study", "--sections", "impression", "--lexicon", "cold")
    assert made["class_report"]["Edema"]["support"] == 0
    assert made["class_report"]["Cardiomegaly"]["support"] == 1


def test_the_page_has_every_label_and_average() -> None:
    done = CliRunner().invoke(cli.app, ["score", "refs.csv", "hyps.csv"], catch_exceptions=False)
    for word in [*FOURTEEN, *AVERAGES, "7 scored", "1 of these without hypothesis text"]:
        assert word in done.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["refs.csv", "none.csv"], r"none\.csv does not exist"),
        (["refs.csv", "hyps.csv", "--hypothesis-column", "generated"], r"hyps\.csv has no column 'generated'; name it by"),
        (["refs.csv", "other.csv"], "no usable report is in both files"),
        (["refs.csv", "hyps.csv", "--lexicon", "none"], "there is no lexicon 'none'"),
    ],
)
def test_wrong_input_is_refused(words: list[str], told: str) -> None:
    Path("other.csv").write_text(f"report_id,text\nz,{SECRET}.\n", encoding="utf-8")
    with pytest.raises(InputError, match=told) as error:
        score(*words)
    assert SECRET not in str(error.value)


def test_lists_of_two_lengths_are_refused() -> None:
    with pytest.raises(InputError, match="2 references and 1 hypotheses"):
        score_texts(refs=["Edema.", "Edema."], hyps=["Edema."])
    with pytest.raises(InputError, match="no usable report"):
        score_texts(refs=[""], hyps=["Edema."])
    assert score_texts(refs=["Edema.", None], hyps=[None, "Edema."])["reports"]["of_these_without_hypothesis_text"] == 1
