"""Puts lexicon/ into the package when a wheel is built; everything else is in pyproject.toml.

Not as package data of a folder mapped in pyproject.toml: that would turn an editable install from a path into an import hook.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithLexicon(build_py):
    """In an editable install the repository's own lexicon/ is read."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            inside = Path(self.build_lib, "raddistill", "lexicon")
            shutil.rmtree(inside, ignore_errors=True)  # an earlier build may have left files that are gone now
            shutil.copytree("lexicon", inside)


setup(cmdclass={"build_py": WithLexicon})
