"""Tables of written sentences and what a lexicon reads in them: a line is `reason | sentence | +eff -ptx ?pne`."""

import re

import polars as pl

from raddistill import statuses
from raddistill.labelsets import load_labels
from raddistill.teachers.rules.teacher import RulesTeacher

LABELS = "lexicon/label_sets/chest_13.yaml"
SIGNS = {"+": statuses.PRESENT, "-": statuses.ABSENT, "?": statuses.UNCERTAIN}
SHORT = {
    "ate": "Atelectasis",
    "car": "Cardiomegaly",
    "con": "Consolidation",
    "ede": "Edema",
    "med": "Enlarged Cardiomediastinum",
    "fra": "Fracture",
    "les": "Lung Lesion",
    "opa": "Lung Opacity",
    "eff": "Pleural Effusion",
    "ple": "Pleural Other",
    "pne": "Pneumonia",
    "ptx": "Pneumothorax",
    "dev": "Support Devices",
}


def parse(table: str) -> list[list[str]]:
    """Reason, sentence and expectation of each line; blank lines and lines that begin with # are skipped."""
    lines = [line for line in table.split("\n") if line and not line.startswith("#")]
    return [[cell.strip() for cell in line.split("|")] for line in lines]


def expected(said: str) -> dict[str, str]:
    """The status of each label that is named."""
    return {SHORT[name]: SIGNS[sign] for sign, name in re.findall(r"([-+?])(\w+)", said)}


def read(rows: list[list[str]], lexicon: str) -> dict[str, dict[str, str]]:
    """By reason, the status of each label that the sentence speaks of; a reason without any is not there."""
    texts = [text.replace(r"\n", "\n").replace(r"\r", "\r") for _, text, _ in rows]
    reports = pl.DataFrame({"report_id": [row[0] for row in rows], "findings": texts, "impression": None, "text": texts})
    teacher = RulesTeacher("multiple_choice", lexicon, "findings_and_impression")
    labels = teacher.label(reports, load_labels(LABELS)).labels.filter(pl.col("status") != statuses.UNMENTIONED)
    return {key: dict(group.select("label", "status").iter_rows()) for (key,), group in labels.group_by("report_id")}
