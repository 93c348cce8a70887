"""A label set is a file: the names of the labels, what they mean, and their order.

Nothing in the code knows how many there are. The file is a YAML list of `name` and `description`.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from raddistill.errors import InputError
from raddistill.params import Section


class Label(BaseModel):
    """One label: its name as shown to the model and in the tables, and one line on what it means."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    name: str
    description: str


class LabelSetParams(Section):
    """Which label set the multiple-choice task asks for."""

    path: str


def load_labels(path: str | Path) -> list[Label]:
    """The labels of a label-set file, in its order.

    Raises:
        InputError: the file is missing, of another form, empty, or names a label twice.
    """
    try:
        content = YAML(typ="safe", pure=True).load(Path(path).read_text(encoding="utf-8"))
        labels = TypeAdapter(list[Label]).validate_python(content)
    except FileNotFoundError:
        raise InputError(f"the label set {path} does not exist; params.yaml names it as label_set.path") from None
    except (YAMLError, UnicodeDecodeError, ValidationError):
        raise InputError(f"{path} is not a YAML list of labels with `name` and `description`") from None
    names = [label.name for label in labels]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if not labels or doubled:
        raise InputError(f"{path} holds no label" if not labels else f"{path} names twice: {', '.join(doubled)}")
    return labels
