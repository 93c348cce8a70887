"""Assigns reports to splits by a hash of the patient, or of the normalised text if no patient is known, and counts leaks.

A hash, unlike a random draw, makes the split of a report independent of all other reports: it is stable under row order and
growth. The counts are of patients, texts and near duplicates that splits share.
"""

import hashlib
import re
from fractions import Fraction
from functools import cache

import polars as pl

from raddistill.near_duplicates import has_near_duplicate

_TOKEN = re.compile(r"[^\W_]+")
# Most text is ASCII, for which a byte table gives the same words in a tenth of the time: lower case, digits, else a space.
_ASCII = bytes(ord(chr(code).lower()) if chr(code).isalnum() else 32 for code in range(128)) + bytes(128)
# Names of splits in the sources' own files: MIMIC-CXR has validate, CheXpert valid.
OF_FILES = {
    "train": "train", "training": "train", "validation": "validation", "validate": "validation", "valid": "validation",
    "val": "validation", "dev": "validation", "test": "test", "testing": "test",
}  # fmt: skip


def words_of(*sections: str | None) -> list[str]:
    """Returns the words of the sections in order, in lower case, without punctuation and headers."""
    text = " ".join(section for section in sections if section)
    if text.isascii():
        return text.encode().translate(_ASCII).decode().split()
    return _TOKEN.findall(text.casefold())


def text_group(*sections: str | None) -> str:
    """Returns 16 hex digits, equal for reports that differ only in case, punctuation and spacing.

    Headers do not count, so the same text in the findings of one report and the impression of another has the same group.
    """
    return hashlib.sha256(" ".join(words_of(*sections)).encode()).hexdigest()[:16]


def split_of(patient_or_text_group: str, salt: str, train: float, validation: float, fold: int) -> str:
    """Returns `train`, `validation` or `test` for a patient's id or a text group.

    `train` and `validation` are shares in [0, 1]. Each fold shifts the hash by the test share, so that with a share of 1 / k the
    folds 0 to k - 1 put each of these into the test split exactly once. Fractions are exact: in floats 0.7 + 0.1 is not 0.8.
    """
    digest = hashlib.sha256(f"{salt}\n{patient_or_text_group}".encode()).digest()
    after_training, after_validation = _borders(train, validation)
    place = (Fraction(int.from_bytes(digest[:6], "big"), 2**48) + fold * (1 - after_validation)) % 1
    if place < after_training:
        return "train"
    return "validation" if place < after_validation else "test"


def folds(train: float, validation: float) -> int:
    """Returns the number of folds that the shares allow: k if the test share is 1 / k, else 1."""
    share = 1 - _borders(train, validation)[1]
    return share.denominator if share.numerator == 1 else 1


@cache
def _borders(train: float, validation: float) -> tuple[Fraction, Fraction]:
    """Returns where train and validation end, as exact decimals."""
    after_training = Fraction(str(train))
    return after_training, after_training + Fraction(str(validation))


def leaks(reports: pl.DataFrame) -> dict[str, int]:
    """Counts patients and texts in more than one split, the patients' reports, and the training reports that `merge` drops."""
    reports = reports.select("patient_id", "text_group", "split")  # so that no text is copied
    leaks = pl.col("split").n_unique() > 1
    patients = reports.drop_nulls("patient_id").group_by("patient_id").agg(pl.len(), leaks=leaks).filter("leaks")
    texts = reports.group_by("text_group").agg(leaks=leaks).filter("leaks")
    return {
        "patients": patients.height,
        "reports_of_patients": int(patients["len"].sum()),
        "texts": texts.height,
        "training_reports_of_texts": reports.filter(pl.col("split") == "train").height - _training(reports).height,
    }


def count_near_duplicates(reports: pl.DataFrame, jaccard: float) -> dict[str, int]:
    """Counts the reports of validation and test that have a near duplicate among the training texts.

    Training texts that are also held out do not count, since `merge` drops them; `leaks` counts them.
    """
    reports = reports.select("text", "text_group", "split")  # so that no other column is copied
    held_out = reports.filter(pl.col("split") != "train")
    near = has_near_duplicate(held_out["text"], _training(reports)["text"].unique(), jaccard)
    found = held_out.filter(pl.Series(near))["split"]
    return {split: int((found == split).sum()) for split in ("validation", "test")}


def _training(reports: pl.DataFrame) -> pl.DataFrame:
    """Returns the training reports whose text is not held out."""
    held_out = reports.filter(pl.col("split") != "train").select("text_group")
    return reports.filter(pl.col("split") == "train").join(held_out, on="text_group", how="anti")
