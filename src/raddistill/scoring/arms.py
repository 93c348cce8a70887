"""The arms: everything that answers and is scored against people's annotations.

A teacher is read under several policies, each a sub-arm: `teacher_present` counts its `uncertain` as present, `teacher_absent`
as absent, `teacher_graded` by its probability, `teacher_budget` label by label as a gold budget showed.
"""

from typing import NamedTuple


class Arm(NamedTuple):
    """One arm as it is shown."""

    name: str  # key of the metrics file, prefix of the files of predictions
    column: int  # its place in the tables of results, from the left
    heading: str  # of its column in the terminal, which is narrow
    title: str  # of its column on pages
    colour: str


ARMS = [  # in the order of the metrics file
    Arm("student", 4, "student", "student", "#1b6ca8"),
    Arm("teacher", 2, "teacher", "teacher", "#d1495b"),
    Arm("teacher_whole", 3, "whole", "teacher, whole report", "#e9a15b"),
    Arm("linear", 1, "linear", "linear", "#6a994e"),
    Arm("base", 0, "base", "base", "#8d99ae"),
]
COLOURS = {arm.name: arm.colour for arm in ARMS}
TEACHERS = ["teacher", "teacher_whole"]
BUDGET = "teacher_budget"
GAINS = {  # key of the metrics file: the arm that the student is compared with
    "gain": "teacher",
    "gain_over_graded": "teacher_graded",
    "gain_over_teacher_whole": "teacher_whole",
    "gain_over_linear": "linear",
}
