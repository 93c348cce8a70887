"""Reads a section of params.yaml into a typed class, which is defined next to the code that uses it.

The parser is ruamel.yaml (YAML 1.2), as in DVC: `dvc exp run -S train.learning_rate=5e-5` writes `5e-05`, which PyYAML (YAML 1.1)
would read as a string. Values are in params.yaml only: no class has a default.
"""

import copy
import functools
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from raddistill.errors import ParamsError

PARAMS = Path("params.yaml")


class Section(BaseModel):
    """A section of params.yaml: frozen, strictly typed, without unknown keys. Errors do not repeat the input."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


S = TypeVar("S", bound=Section)


def load(section: str, into: type[S], path: Path = PARAMS) -> S:
    """Returns the section with the dotted name `section`, such as `predict.base_test`, as an object of the class `into`.

    Raises:
        ParamsError: the file or section is missing, or a key is missing, unknown or of the wrong type.
    """
    node = read(path)
    for key in section.split("."):
        if not isinstance(node, dict) or key not in node:
            raise ParamsError(f"{path} has no section '{section}' (no key '{key}'); the shipped file shows it")
        node = node[key]
    return check(section, node, into, path)


def check(section: str, node: object, into: type[S], path: Path = PARAMS) -> S:
    """Returns the values `node` of a section as an object of the class `into`.

    Raises:
        ParamsError: a key is missing, unknown or of the wrong type.
    """
    try:
        return into.model_validate(node)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join([section, *map(str, e['loc'])])}: {'unknown key' if e['type'] == 'extra_forbidden' else e['msg']}"
            for e in error.errors(include_input=False, include_url=False)
        )
        raise ParamsError(f"{path}: {problems}") from None


def read(path: Path = PARAMS) -> dict[str, Any]:
    """Returns all of params.yaml as plain Python values.

    Raises:
        ParamsError: the file is missing, or is not YAML with sections.
    """
    try:
        content = copy.deepcopy(_parse(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ParamsError(f"{path} is missing; run from the root of the project") from None
    except (YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        raise ParamsError(f"{path} is not YAML{f' (line {where.line + 1})' if where else ''}") from None
    if not isinstance(content, dict):
        raise ParamsError(f"{path} holds no sections")
    return content


@functools.lru_cache(maxsize=4)
def _parse(text: str) -> Any:
    """Parses each text once, since that takes 40 ms and a stage loads up to eight sections."""
    return YAML(typ="safe", pure=True).load(text)


class RuntimeParams(Section):
    """Settings of speed only. No stage of dvc.yaml depends on them."""

    threads: int  # 0: all cores
    predict_tokens: int  # per forward pass in prediction, with padding
    progress: bool
