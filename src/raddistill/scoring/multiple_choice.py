"""Multiple choice: turns logits, lists of labels and a teacher's labels into decisions."""

import dataframely as dy
import numpy as np
import polars as pl

from raddistill import answer_format, statuses
from raddistill.errors import TableError
from raddistill.labelsets import Label
from raddistill.scoring.bootstrap import Floats
from raddistill.scoring.metrics import ScoreParams
from raddistill.scoring.truth import ArmDecisions, Bools, TaskNames, fill_matrix
from raddistill.tables.calibration import Calibration
from raddistill.tables.predictions import ArmTables, Predictions, Probabilities


def label_names(p: ScoreParams, label_set: list[Label]) -> TaskNames:
    """Returns the labels of the set: all of them count, and each has a row of its own."""
    return TaskNames([label.name for label in label_set], np.ones(len(label_set), dtype=bool), p.macro_min_positives, 0)


class MultipleChoice:
    """Turns answers that name labels of the set into decisions."""

    def __init__(self, p: ScoreParams, label_set: list[Label], calibration: Calibration) -> None:
        """`calibration`: of the student; other arms have the threshold 0.5."""
        self.names = label_names(p, label_set)
        self._label_set, self._calibration = label_set, calibration
        present = [name for name, label in calibration.labels.items() if label.teacher_uncertain_is_present]
        # The labels whose `uncertain` counts as present in the teacher's sub-arm of the gold budget; None without a budget.
        self.uncertain_as_present = present if calibration.against == "gold" else None

    def read_predictions(self, arm: str, tables: ArmTables, texts: dict[str, str]) -> ArmDecisions:
        """Returns an arm's decisions: from its lists if it answered in words, else from its logits.

        Raises:
            TableError: a report, or a part of it, lacks a logit; a label lacks a threshold.
        """
        if tables.predictions["answer"].is_not_null().any():
            return self._from_lists(tables.predictions)
        # A student of the other task alone is asked about no report here, and has no thresholds.
        calibration = self._calibration if arm == "student" and texts else None
        return self._from_logits(sorted(texts), tables.probabilities, calibration)

    def read_labels(self, labels: pl.DataFrame, texts: dict[str, str], answered: set[str]) -> ArmDecisions:
        """Returns a teacher's decisions from its labels without `uncertain`. A report without rows is unparsed."""
        reports = list(texts)
        cells = labels.select("report_id", "label", pl.col("status").cast(pl.String)).iter_rows()
        matrix = fill_matrix(cells, reports, self.names.names, missing="")
        return _decisions(reports, matrix == statuses.PRESENT, (matrix == "").all(axis=1))

    def _from_lists(self, predictions: dy.DataFrame[Predictions]) -> ArmDecisions:
        rows = predictions.sort("report_id")
        read = [None if answer is None else answer_format.parse_list(answer, self._label_set) for answer in rows["answer"]]
        decided = [[name in (named or []) for name in self.names.names] for named in read]
        return _decisions(rows["report_id"].to_list(), np.array(decided, dtype=bool), np.array([named is None for named in read]))

    def _from_logits(
        self, reports: list[str], probabilities: dy.DataFrame[Probabilities], calibration: Calibration | None
    ) -> ArmDecisions:
        """Present if sigmoid((yes - no) / temperature) >= the label's threshold; without calibration these are 1 and 0.5."""
        names = self.names.names
        log_odds = _largest_log_odds(probabilities, reports, names)
        if lacking := int(np.isnan(log_odds).any(axis=1).sum()):
            raise TableError(
                f"{lacking} of {len(reports)} asked reports lack a logit of yes or no; `dvc repro predict` asks again"
            )
        if calibration and (unknown := [name for name in names if name not in calibration.labels]):
            raise TableError(f"models/calibration.json has no threshold for {', '.join(unknown)}; run `dvc repro calibrate`")
        temperature = calibration.temperature if calibration else 1.0
        thresholds = np.array([calibration.labels[name].threshold if calibration else 0.5 for name in names])
        chances = 1 / (1 + np.exp(-np.clip(log_odds / temperature, -500, 500)))
        return _decisions(reports, chances >= thresholds, np.zeros(len(reports), dtype=bool), chances)


def _decisions(reports: list[str], decided: Bools, unparsed: Bools, probabilities: Floats | None = None) -> ArmDecisions:
    return ArmDecisions(reports, decided, np.zeros(len(reports), dtype=np.int64), unparsed, probabilities)


def _largest_log_odds(probabilities: dy.DataFrame[Probabilities], reports: list[str], names: list[str]) -> Floats:
    """Returns the logit of yes minus that of no, (reports, names); nan for a report with a missing logit in any part.

    If a report is read in parts, the largest difference counts: a finding needs to be stated only once.
    """
    rows = probabilities.filter(pl.col("label").is_in(names))
    yes, no = (pl.col("logit").filter(pl.col("answer") == answer).first() for answer in ("yes", "no"))
    of_parts = rows.group_by("report_id", "part", "label").agg(log_odds=yes - no)
    # A report is complete if each of its parts has a difference for every name.
    sizes = of_parts.group_by("report_id").agg(cells=pl.col("log_odds").count(), parts=pl.col("part").n_unique())
    whole = sizes.filter(pl.col("cells") == pl.col("parts") * len(names))["report_id"]
    cells = of_parts.filter(pl.col("report_id").is_in(whole.implode())).group_by("report_id", "label").agg(pl.max("log_odds"))
    return fill_matrix(cells.iter_rows(), reports, names, missing=np.nan).astype(np.float64)
