"""The baseline arm: TF-IDF and logistic regression, trained on the same labels as the student.

It shows whether a gain is due to the LLM. It reads the same texts as the student (sentences or reports) and learns from the same
examples with the same masks. Each class of the task (`Task.classes`), a label or a frequent line, gets a classifier.
"""

import warnings
from typing import Any

import polars as pl

from raddistill import answer_format
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.tables.predictions import Predictions, Probabilities
from raddistill.tasks.registry import TASKS

MIN_REPORTS = 2  # TF-IDF keeps words that occur in at least two texts
ANSWERS = Predictions.create_empty().drop("arm").schema
LOGITS = Probabilities.create_empty().drop("arm").schema


def predict(train: pl.DataFrame, asked: pl.DataFrame, label_set: list[Label]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Returns tables with the columns of ANSWERS and of LOGITS, as `Answerer.answer` does.

    The logit of `yes` is the log-odds, that of `no` is 0. A label never or always present in training gets constant log-odds.

    Raises:
        InputError: fewer than `MIN_REPORTS` examples to learn a task from.
    """
    answered = [pl.DataFrame(schema=ANSWERS)]
    logits = [pl.DataFrame(schema=LOGITS)]
    for name in asked["task"].unique(maintain_order=True):
        task, rows, known = TASKS[name], asked.filter(pl.col("task") == name), train.filter(pl.col("task") == name)
        if known.height < MIN_REPORTS:
            raise InputError(
                f"linear: {known.height} training examples of {name}; raise merge.{name}.examples, or set {name}_reports of the"
                " linear arm to 0 in params.yaml, section predict"
            )
        classes = task.classes(known, label_set)
        odds = log_odds(known["prompt"], rows["prompt"], classes.truth)
        if task.has_logits:
            logits.append(tabulate(rows, [[(o, 0.0) for o in of_row] for of_row in odds], label_set))
        else:
            found = [task.write([n for n, o in zip(classes.names, of_row, strict=True) if o >= 0]) for of_row in odds]
            answered.append(one_answer(rows.select("report_id", "task").with_columns(answer=pl.Series(found, dtype=pl.String))))
    return pl.concat(answered), pl.concat(logits)


def tabulate(asked: pl.DataFrame, pairs: list[list[tuple[float, float]]], label_set: list[Label]) -> pl.DataFrame:
    """Returns the table LOGITS from (yes, no) pairs of shape (rows of `asked`, labels)."""
    keys = asked.select("report_id", "task", "part").iter_rows()
    rows = [
        (*key, label.name, answer, logit)
        for key, of_part in zip(keys, pairs, strict=True)
        for label, pair in zip(label_set, of_part, strict=True)
        for answer, logit in zip(("yes", "no"), pair, strict=True)
    ]
    return pl.DataFrame(rows, schema=LOGITS, orient="row")


def one_answer(parts: pl.DataFrame) -> pl.DataFrame:
    """Returns one answer per report and task: the distinct lines of its parts. An answer with one part is unchanged."""
    rows = []
    for key, of_report in parts.group_by("report_id", "task", maintain_order=True):
        texts = of_report["answer"].to_list()
        found = dict.fromkeys(finding for text in texts for finding in answer_format.parse_lines(text).findings)
        rows.append((*key, texts[0] if len(texts) == 1 else answer_format.render_lines(found)))
    return pl.DataFrame(rows, schema=ANSWERS, orient="row")


def log_odds(train: pl.Series, asked: pl.Series, truth: list[list[float | None]]) -> list[list[float]]:
    """Returns log-odds of shape (asked texts, classes).

    `truth` has shape (train texts, classes), possibly without classes: above 0.5 is present; None is not trained on, as in the
    student's loss.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorizer = TfidfVectorizer(ngram_range=(1, 3), min_df=2, sublinear_tf=True)
    known, new = vectorizer.fit_transform(train), vectorizer.transform(asked)
    columns: list[Any] = []
    for n in range(len(truth[0])):
        rows = [i for i, row in enumerate(truth) if row[n] is not None]
        of_label = [(truth[i][n] or 0.0) > 0.5 for i in rows]
        if all(of_label) or not any(of_label):
            columns.append([20.0 if rows and all(of_label) else -20.0] * len(asked))
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            # C by rule of thumb for sparse text, not tuned; liblinear: small, deterministic
            fitted = LogisticRegression(C=10.0, solver="liblinear").fit(known[rows], of_label)
            columns.append(fitted.decision_function(new).tolist())
    return [[column[n] for column in columns] for n in range(len(asked))]
