"""The linear arm on prompts of a few words: what it learns, what it says of what it has not seen, and scikit-learn by hand."""

import random
import warnings
from typing import Any

import numpy as np
import polars as pl
import pytest

from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.student import linear

LABELS = [Label(name=name, description="") for name in ("Edema", "Fracture", "Pneumothorax")]
WORDS = ["the", "heart", "is", "large", "no", "effusion", "clear", "lungs", "seen", "old", "film"]
INSTRUCTION = "Which of these does the report state?"


def example(n: int, form: str, words: str, **more: Any) -> dict[str, Any]:
    task = "open_ended" if form == "lines" else "multiple_choice"
    row = {"report_id": f"r{n}", "task": task, "part": 0, "answers": form, "prompt": f"{INSTRUCTION} {words}"}
    return row | {"completion": "", "targets": None} | more


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema_overrides={"targets": pl.List(pl.Float64)})


def planted(reports: int, form: str, seed: int = 1) -> list[dict[str, Any]]:
    """Every other report holds the word `cephalised`, and has Edema; none has Fracture, all have Pneumothorax."""
    draw, rows = random.Random(seed), []
    for n in range(reports):
        words = draw.choices(WORDS, k=8)
        if n % 2:
            words.insert(draw.randrange(8), "cephalised")
        if form == "slots":
            more: dict[str, Any] = {"targets": [float(n % 2), 0.0, 1.0]}
        elif form == "list":
            more = {"completion": "Edema, Pneumothorax" if n % 2 else "Pneumothorax"}
        else:
            more = {"completion": "cephalised | J81.1" if n % 2 else "None"}
        rows.append(example(n, form, " ".join(words), **more))
    return rows


def odds(logits: pl.DataFrame, label: str) -> list[float]:
    rows = logits.filter(pl.col("label") == label).pivot(on="answer", index="report_id", values="logit").sort("report_id")
    return (rows["yes"] - rows["no"]).to_list()


ASKED = [("a0", "the cephalised heart is large"), ("a1", "the heart is large")]


def asked(form: str) -> pl.DataFrame:
    return frame([example(0, form, words, report_id=report) for report, words in ASKED])


@pytest.mark.parametrize("form", ["slots", "list"])
def test_planted_word_and_constant_labels(form: str) -> None:
    answered, logits = linear.predict(frame(planted(200, form)), asked(form), LABELS)
    with_word, without = odds(logits, "Edema")
    assert with_word > 1.5 > -1.5 > without
    assert odds(logits, "Fracture") == [-20.0, -20.0]
    assert odds(logits, "Pneumothorax") == [20.0, 20.0]
    assert logits.height == 2 * 3 * 2
    assert set(logits.filter(pl.col("answer") == "no")["logit"]) == {0.0}
    assert answered.is_empty()


def test_targets_above_one_half_are_present_and_masked_ones_are_left_out() -> None:
    """As for the student: what a hedge is worth decides, and what is not trained on shapes no column."""
    plain = linear.predict(frame(planted(40, "slots")), asked("slots"), LABELS)[1]
    hedged = planted(40, "slots")
    for row in hedged:
        row["targets"] = [0.75 if row["targets"][0] else 0.5, 0.25, 0.9]
    assert linear.predict(frame(hedged), asked("slots"), LABELS)[1].equals(plain)
    masked = planted(40, "slots") + [row | {"targets": [None, 0.0, 1.0]} for row in planted(40, "slots")]
    halves = [odds(linear.predict(frame(rows), asked("slots"), LABELS)[1], "Fracture") for rows in (masked, hedged)]
    assert halves[0] == halves[1] == [-20.0, -20.0]
    wrong = [row | {"targets": [1.0 - (row["targets"][0] or 0.0), None, None]} for row in planted(40, "slots")]
    both = linear.predict(frame(planted(40, "slots") + wrong), asked("slots"), LABELS)[1]
    assert odds(both, "Pneumothorax") == [20.0, 20.0]  # the other half says nothing of it


def test_a_report_in_parts_has_one_answer_and_logits_of_each_part() -> None:
    parts = list(enumerate(words for _, words in ASKED))
    new = frame([example(0, form, words, report_id="a", part=n) for form in ("slots", "lines") for n, words in parts])
    answered, logits = linear.predict(frame(planted(40, "slots") + planted(40, "lines", seed=2)), new, LABELS)
    assert answered.rows() == [("a", "open_ended", "cephalised | J81.1")]
    assert logits.height == 2 * 3 * 2
    assert logits.filter(pl.col("label") == "Edema").group_by("part").len().sort("part").rows() == [(0, 2), (1, 2)]


def test_log_odds_are_scikit_learns() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    train = frame(planted(30, "slots"))
    _, logits = linear.predict(train, asked("slots"), LABELS)
    vectorizer = TfidfVectorizer(ngram_range=(1, 3), min_df=2, sublinear_tf=True)
    known = vectorizer.fit_transform(train["prompt"].to_list())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        by_hand = LogisticRegression(C=10.0, solver="liblinear").fit(known, [n % 2 for n in range(30)])
    asked_for = vectorizer.transform(asked("slots")["prompt"].to_list()).toarray()
    expected = asked_for @ by_hand.coef_[0] + by_hand.intercept_[0]
    assert odds(logits, "Edema") == pytest.approx(expected.tolist(), abs=1e-9)
    assert np.abs(expected).max() > 1


def test_same_rows_same_odds() -> None:
    first, again = (linear.predict(frame(planted(40, "slots")), asked("slots"), LABELS)[1] for _ in range(2))
    assert first.equals(again)


def test_lines_of_five_reports_are_learned_those_of_four_are_not() -> None:
    rows = planted(20, "lines")
    for n, row in enumerate(rows):
        said = ["port | Z45.2"] * (n < 5) + ["rib | S22.3"] * (5 <= n < 9)
        words = " port" * (n < 5) + " rib" * (5 <= n < 9)
        row |= {"completion": "\n".join(said) or "None", "prompt": row["prompt"] + words * 3}
    new = frame([example(n, "lines", f"the heart {word} {word} {word}") for n, word in enumerate(("port", "rib", "lungs"))])
    answered, logits = linear.predict(frame(rows), new, LABELS)
    assert answered["answer"].to_list() == ["port | Z45.2", "None", "None"]
    assert answered["report_id"].to_list() == ["r0", "r1", "r2"]
    assert logits.is_empty()


def test_no_line_is_common_enough() -> None:
    answered, _ = linear.predict(frame(planted(9, "lines")), asked("lines"), LABELS)  # four reports with the line
    assert answered["answer"].to_list() == ["None", "None"]
    assert answered["report_id"].to_list() == ["a0", "a1"]


def test_tasks_are_learned_apart() -> None:
    train = frame(planted(40, "slots") + planted(40, "lines", seed=2))
    both = linear.predict(train, pl.concat([asked("lines"), asked("slots")]), LABELS)
    alone = linear.predict(frame(planted(40, "lines", seed=2)), asked("lines"), LABELS)[0]
    assert both[0].equals(alone)
    assert both[0]["answer"].to_list() == ["cephalised | J81.1", "None"]
    assert both[1].equals(linear.predict(train, asked("slots"), LABELS)[1])


@pytest.mark.parametrize("reports", [0, 1])
def test_nothing_to_learn_a_task_from(reports: int) -> None:
    """merge.open_ended.examples: 0 is a setting; then the linear arm has no honest answer to that task."""
    train = frame(planted(40, "slots") + planted(reports, "lines"))
    told = f"linear: {reports} training examples of open_ended; raise merge.open_ended.examples, or set open_ended_reports of the"
    with pytest.raises(InputError, match=told):
        linear.predict(train, asked("lines"), LABELS)
    assert linear.predict(train, asked("slots"), LABELS)[0].is_empty()


def test_nothing_asked() -> None:
    answered, logits = linear.predict(frame(planted(4, "slots")), asked("slots").clear(), LABELS)
    assert answered.columns == ["report_id", "task", "answer"]
    assert logits.columns == ["report_id", "task", "part", "label", "answer", "logit"]
    assert (answered.height, logits.height) == (0, 0)
