"""Puts the files of a pipeline (lexicon/, dvc.yaml, ...) into the package when a wheel is built; all else is in pyproject.toml.

Not as package data of a folder mapped in pyproject.toml: that would turn an editable install from a path into an import hook.
"""

import importlib
import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

sys.path.insert(0, "src")  # with build isolation the package is not installed
SHIPPED = importlib.import_module("raddistill.paths").SHIPPED


class WithPipeline(build_py):
    """In an editable install the repository's own files are read (paths.shipped)."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        inside = Path(self.build_lib, "raddistill", "pipeline")
        shutil.rmtree(inside, ignore_errors=True)  # an earlier build may have left files that are gone now
        for name in SHIPPED:
            (inside / name).parent.mkdir(parents=True, exist_ok=True)
            if Path(name).is_dir():
                shutil.copytree(name, inside / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
            else:
                shutil.copy(name, inside / name)


setup(cmdclass={"build_py": WithPipeline})
