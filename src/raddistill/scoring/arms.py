"""The arms: the systems that are scored against people's annotations.

A teacher has a sub-arm for each policy about its `uncertain`: `teacher_present` counts it as present, `teacher_absent` as absent,
`teacher_graded` by its probability, `teacher_budget` as the gold budget showed for each label.
"""

from typing import NamedTuple


class Arm(NamedTuple):
    """The name of an arm, and how it is shown."""

    name: str  # key in the metrics file, prefix of prediction files
    column: int  # place in tables of results, from the left
    heading: str  # short column heading, for the terminal
    title: str  # column heading on pages
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
GAINS = {  # key in the metrics file -> the arm that the student is compared with
    "gain": "teacher",
    "gain_over_graded": "teacher_graded",
    "gain_over_teacher_whole": "teacher_whole",
    "gain_over_linear": "linear",
}
