"""models/calibration.json: the thresholds by which the student decides. student/calibrating.py fits them."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from raddistill.errors import InputError


class LabelCalibration(BaseModel):
    """How one label's logits become a decision: present if sigmoid((yes - no) / temperature) >= threshold."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    threshold: float = Field(ge=0.0, le=1.0)
    teacher_uncertain_is_present: bool  # chosen from gold; True without a gold budget


class Calibration(BaseModel):
    """The content of models/calibration.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    temperature: float = Field(gt=0.0)
    against: str  # "teacher" or "gold"
    reports: int  # number of validation reports it was fitted on
    budget: list[str]  # ids of the gold reports used; no validation score includes them
    labels: dict[str, LabelCalibration]


def load(path: Path) -> Calibration:
    """Returns the calibration at `path`.

    Raises:
        InputError: the file is missing or malformed.
    """
    try:
        return Calibration.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing; `dvc repro calibrate` makes it") from None
    except (ValidationError, UnicodeDecodeError):
        raise InputError(f"{path} is not a calibration; `dvc repro --force calibrate` makes it anew") from None
