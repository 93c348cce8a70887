"""Reads the tables of earlier stages from which the scores of a split are computed."""

from dataclasses import dataclass
from pathlib import Path

import dataframely as dy
import polars as pl

from raddistill import params, paths
from raddistill.concepts import Concept, load_concepts
from raddistill.labelsets import Label, LabelSetParams, load_labels
from raddistill.tables import base as tables
from raddistill.tables import calibration
from raddistill.tables.calibration import Calibration
from raddistill.tables.examples import Examples
from raddistill.tables.gold import Gold
from raddistill.tables.labels import Labels
from raddistill.tables.outcomes import Outcomes
from raddistill.tables.predictions import ArmTables
from raddistill.tables.reports import Reports
from raddistill.tasks.names import TASKS


@dataclass(frozen=True)
class TeacherTables:
    """The labels of a teacher for one task."""

    labels: dy.DataFrame[Labels]
    whole_labels: dy.DataFrame[Labels]  # of the whole report, if the teacher reads only a part of it; else empty
    outcomes: dy.DataFrame[Outcomes]


@dataclass(frozen=True)
class Inputs:
    """Everything that the scores of a split are computed from."""

    split: str
    reports: dy.DataFrame[Reports]
    gold: dy.DataFrame[Gold]
    examples: dy.DataFrame[Examples]
    arms: dict[str, ArmTables]
    teachers: dict[str, TeacherTables]  # by task
    calibration: Calibration
    label_set: list[Label]
    concepts: list[Concept]
    lexicon: Path  # of the scorer

    def split_column(self, column: str) -> dict[str, str]:
        """Returns a column of the split's reports by report id."""
        return dict(self.reports.filter(pl.col("split").cast(pl.String) == self.split).select("report_id", column).iter_rows())


def read_inputs(split: str, arms: list[str]) -> Inputs:
    """Reads the tables from the stages' outputs. `arms`: the models that predicted the split.

    Raises:
        InputError, TableError: a file is missing or breaks its schema.
    """
    return Inputs(
        split,
        reports=tables.read(Reports, paths.REPORTS),
        gold=tables.read(Gold, paths.GOLD),
        examples=tables.read(Examples, paths.EXAMPLES),
        arms={arm: tables.read_record(ArmTables, paths.tables_of(ArmTables, f"{arm}_{split}")) for arm in arms},
        teachers=tables.read_records(TeacherTables, paths.tables_by_key(TeacherTables, TASKS)),
        calibration=calibration.load(paths.CALIBRATION),
        label_set=load_labels(params.load("label_set", LabelSetParams).path),
        concepts=load_concepts(paths.CONCEPTS),
        lexicon=paths.SCORER_LEXICON,
    )
