"""The arm that any gain must be measured beside: TF-IDF and logistic regression on the very labels the student learns from.

It reads the prompt as the student does (the instruction is the same in every row and carries no weight). Multiple choice: one
classifier a label, on `targets` >= 0.5 (slots) or the names in the list. Open-ended: one classifier for every answer
line seen in at least `MIN_LINES` training reports; it answers with the lines that it finds.
"""

import warnings
from typing import Any

import polars as pl

from raddistill import answers
from raddistill.errors import InputError
from raddistill.labelsets import Label

MIN_LINES = 5
MIN_REPORTS = 2  # TF-IDF keeps words of two reports or more
LOGITS = {"report_id": pl.String, "task": pl.String, "label": pl.String, "answer": pl.String, "logit": pl.Float64}
ANSWERS = {"report_id": pl.String, "task": pl.String, "answer": pl.String}


def predict(train: pl.DataFrame, asked: pl.DataFrame, label_set: list[Label]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(report_id, task, answer) and (report_id, task, label, answer, logit) as the student's `Answerer.answer` gives them.

    `yes` has the log-odds as its logit, `no` 0. A label that is never or always present in training keeps that constant.

    Raises:
        InputError: fewer than `MIN_REPORTS` reports to learn a task from.
    """
    answered = [pl.DataFrame(schema=ANSWERS)]
    logits = [pl.DataFrame(schema=LOGITS)]
    for task in asked["task"].unique(maintain_order=True):
        rows, known = asked.filter(pl.col("task") == task), train.filter(pl.col("task") == task)
        if known.height < MIN_REPORTS:
            raise InputError(
                f"linear: {known.height} training reports of {task}; raise merge.{task}_reports, or set {task}_reports of the"
                " linear arm to 0 in params.yaml, section predict"
            )
        if task == "open_ended":
            lines = [answers.parse_lines(c).findings for c in known["completion"]]
            names = sorted({f for found in lines for f in found})
            names = [n for n in names if sum(n in found for found in lines) >= MIN_LINES]
            odds = log_odds(known["prompt"], rows["prompt"], [[n in found for n in names] for found in lines])
            said = [answers.render_lines([n for n, o in zip(names, of_row, strict=True) if o >= 0]) for of_row in odds]
            answered.append(rows.select("report_id", "task").with_columns(answer=pl.Series(said, dtype=pl.String)))
        else:
            labels = [label.name for label in label_set]
            odds = log_odds(known["prompt"], rows["prompt"], _truth(known, label_set))
            logits.append(
                pl.DataFrame(
                    [
                        (report_id, task, label, answer, o if answer == "yes" else 0.0)
                        for report_id, of_row in zip(rows["report_id"], odds, strict=True)
                        for label, o in zip(labels, of_row, strict=True)
                        for answer in ("yes", "no")
                    ],
                    schema=LOGITS,
                    orient="row",
                )
            )
    return pl.concat(answered), pl.concat(logits)


def log_odds(train: pl.Series, asked: pl.Series, truth: list[list[bool]]) -> list[list[float]]:
    """Log-odds, shape (asked texts, columns of `truth`); `truth` has a row per train text, and may have no column."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorizer = TfidfVectorizer(ngram_range=(1, 3), min_df=2, sublinear_tf=True)
    known, new = vectorizer.fit_transform(train), vectorizer.transform(asked)
    columns: list[Any] = []
    for n in range(len(truth[0])):
        of_label = [row[n] for row in truth]
        if all(of_label) or not any(of_label):
            columns.append([20.0 if all(of_label) else -20.0] * len(asked))
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            # C by rule of thumb for sparse text, not tuned; liblinear: small, deterministic
            columns.append(LogisticRegression(C=10.0, solver="liblinear").fit(known, of_label).decision_function(new).tolist())
    return [[column[n] for column in columns] for n in range(len(asked))]


def _truth(known: pl.DataFrame, label_set: list[Label]) -> list[list[bool]]:
    if known["answers"][0] == "slots":
        return [[(t or 0.0) >= 0.5 for t in targets] for targets in known["targets"]]
    named = [answers.parse_list(c, label_set) or [] for c in known["completion"]]
    return [[label.name in of_row for label in label_set] for of_row in named]
