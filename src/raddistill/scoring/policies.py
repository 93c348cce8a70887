"""What a teacher's `uncertain` counts as: present, absent, or by its probability. Compared is the better of the first two.

Labels come in as the teacher gave them and go out without `uncertain`, an arm for each policy: `teacher_present`, ... The choice
is made on the very reports that are scored, in the teacher's favour: a gain must not come from how its doubt is read.
"""

from collections.abc import Mapping

import polars as pl

from raddistill import statuses
from raddistill.scoring import measures
from raddistill.scoring.measures import Figures, Judged

TEACHERS = ["teacher", "teacher_whole"]
POLICIES = ["present", "absent", "graded"]
BUDGET = "teacher_budget"  # read as a gold budget told, label by label
_STATUS = pl.col("status").cast(pl.String)
_COUNTS = {"present": pl.lit(True), "absent": pl.lit(False), "graded": pl.col("probability").fill_null(0.0) > 0.5}


def under(labels: pl.DataFrame, policy: str) -> pl.DataFrame:
    """Labels rows with each `uncertain` as present or absent; `graded`: present where its probability is above 0.5."""
    return _resolved(labels, _COUNTS[policy])


def by_label(labels: pl.DataFrame, is_present: Mapping[str, bool]) -> pl.DataFrame:
    """Labels rows with each `uncertain` as `is_present` says of its label."""
    return _resolved(labels, pl.col("label").is_in([label for label, present in is_present.items() if present]))


def arms(teachers: Mapping[str, pl.DataFrame], task: str) -> dict[str, pl.DataFrame]:
    """A task's labels of each teacher under each policy, by arm; `graded` only where any `uncertain` has a probability.

    `teachers`: Labels rows, `teacher` always; another one without rows is none.
    """
    found: dict[str, pl.DataFrame] = {}
    for teacher, labels in teachers.items():
        rows = labels.filter(pl.col("task") == task)
        if teacher != "teacher" and not rows.height:
            continue
        graded = rows.filter(_STATUS == statuses.UNCERTAIN)["probability"].is_not_null().any()
        found |= {f"{teacher}_{policy}": under(rows, policy) for policy in POLICIES if policy != "graded" or graded}
    return found


def chosen(judged: Mapping[str, Judged]) -> dict[str, str]:
    """For each teacher the arm that it is compared as: by its gold budget, or the better in micro F1; of equals, present."""
    found = {}
    for teacher in TEACHERS:
        if f"{teacher}_present" not in judged:
            continue
        present, absent = (measures.micro_f1(judged[f"{teacher}_{policy}"]) for policy in ("present", "absent"))
        found[teacher] = f"{teacher}_{'absent' if absent > present else 'present'}"
        if teacher == "teacher" and BUDGET in judged:
            found[teacher] = BUDGET
    return found


def figures(judged: Mapping[str, Judged], teacher: str, choice: str) -> Figures:
    """Which policy was chosen, and micro F1 under each."""
    told: Figures = {} if choice == BUDGET else {"uncertain_is_present": int(choice == f"{teacher}_present")}
    known = [policy for policy in POLICIES if f"{teacher}_{policy}" in judged]
    return told | {f"uncertain_{policy}_micro_f1": measures.micro_f1(judged[f"{teacher}_{policy}"]) for policy in known}


def _resolved(labels: pl.DataFrame, counts: pl.Expr) -> pl.DataFrame:
    uncertain = _STATUS == statuses.UNCERTAIN
    present, absent = pl.lit(statuses.PRESENT), pl.lit(statuses.ABSENT)
    return labels.with_columns(status=pl.when(uncertain & counts).then(present).when(uncertain).then(absent).otherwise(_STATUS))
