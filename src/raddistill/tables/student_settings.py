"""student_settings.json: how a student reads reports. The stage `merge` writes it, and `train` copies it into the adapter folder.

With it the adapter folder is all that `raddistill predict` needs: neither params.yaml nor tables with reports.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from raddistill.errors import InputError
from raddistill.files import write_whole
from raddistill.labelsets import Label


class TaskSettings(BaseModel):
    """How a student reads reports for one task."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    answers: str  # the answer form, one of tasks.names.FORMS
    units: str  # what one prompt holds: sentences | reports


class StudentSettings(BaseModel):
    """The content of student_settings.json. `codes` may hold phrases of the reports: treat it as carefully as the weights."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    labels: list[Label]  # in the order of the outputs
    tasks: dict[str, TaskSettings]  # of the tasks that it was trained on
    max_tokens: int  # of a prompt with its answer; longer texts are cut
    codes: dict[str, str]  # of tags: phrase, as the teacher listed it, to ICD-10-CM code

    def write(self, path: Path) -> None:
        """Writes the settings, whole or not at all."""
        with write_whole(path) as part:
            part.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8", newline="\n")


def load(path: Path) -> StudentSettings:
    """Returns the settings at `path`.

    Raises:
        InputError: the file is missing or malformed.
    """
    try:
        return StudentSettings.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing: that folder is no student of this version; `dvc repro train` makes one") from None
    except (ValidationError, UnicodeDecodeError):
        raise InputError(f"{path} does not hold the settings of a student; `dvc repro --force train` makes it anew") from None
