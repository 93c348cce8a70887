"""Reads label sets: YAML lists of labels in their order, each with `name` and `description`."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from raddistill.errors import InputError
from raddistill.params import Section


class Label(BaseModel):
    """One label of a label set."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    name: str  # as in prompts and tables
    description: str  # one line on what it means


class LabelSetParams(Section):
    """Which label set the multiple-choice task asks for."""

    path: str


def load_labels(path: str | Path) -> list[Label]:
    """Returns the labels of a label-set file, in its order: a YAML list of `name` and `description`.

    Raises:
        InputError: the file is missing, is not such a list, is empty, or names a label twice.
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
