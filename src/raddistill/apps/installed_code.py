"""Makes the installed package a dependency of each stage, in a folder that `raddistill init` laid out.

There src/ is missing, so DVC cannot see the files that the shipped dvc.yaml lists. The first stage, `code`, writes code.yaml anew
in every `dvc repro`: a hash of these files for each stage and teacher, and the versions of the libraries. Stages depend on their
entries. So after an upgrade of the package a stage runs again if, and only if, code that it uses has changed, as in a clone.
"""

import hashlib
import io
import re
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from raddistill import errors, params, paths
from raddistill.files import write_whole

# Those that train and predict, in place of the clone's constraints.txt: another version may mean other results.
LIBRARIES = (
    "accelerate", "bitsandbytes", "numpy", "peft", "polars", "scikit-learn", "tokenizers", "torch", "transformers", "trl",
)  # fmt: skip
_CODE = re.compile(r"src/raddistill/(.+\.py)")
_HEAD = "# Written by `dvc repro`: which code of the installed package each stage runs, as hashes. Commit it with dvc.lock.\n"


def code_of_package() -> dict[str, Any]:
    """Returns the content of code.yaml: `raddistill` (its version), `libraries`, and hashes of code for `stages` and `teachers`.

    A local tag is left out of a version, since torch 2.13.0+cpu is the version 2.13.0.
    """
    package = paths.package()
    stages = {
        name: [package / file[1] for dep in stage.get("do", stage)["deps"] if (file := _CODE.fullmatch(dep))]
        for name, stage in params.read(paths.shipped() / paths.PIPELINE)["stages"].items()
    }
    teachers = {
        folder.name: sorted(folder.rglob("*.py")) for folder in sorted((package / "teachers").iterdir()) if folder.is_dir()
    }
    return {
        "raddistill": metadata.version("raddistill"),
        "libraries": {name: metadata.version(name).partition("+")[0] for name in LIBRARIES},
        "stages": {name: _hash(files) for name, files in stages.items()},
        "teachers": {name: _hash(files) for name, files in teachers.items() if files},
    }


def stale_lines() -> list[str]:
    """Returns a line for each entry of code.yaml that is not of the installed package; none where there is no code.yaml."""
    if not paths.CODE.exists():
        return []
    there, now = params.read(paths.CODE), code_of_package()
    keys = [(section, key) for section in ("libraries", "stages", "teachers") for key in now[section]]
    return [
        f"{paths.CODE}: {section}.{key} modified" for section, key in keys if there.get(section, {}).get(key) != now[section][key]
    ]


def _hash(files: Iterable[Path]) -> str:
    """Returns a hash of the names and contents of files of the package."""
    lines = [f"{file.relative_to(paths.package()).as_posix()} {hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def write(file: Path = paths.CODE) -> None:
    """Writes code.yaml."""
    text = io.StringIO()
    YAML().dump(code_of_package(), text)
    with write_whole(file) as part:
        part.write_text(_HEAD + text.getvalue(), encoding="utf-8")


if __name__ == "__main__":
    errors.run(write)
