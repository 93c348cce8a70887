"""Lexicons and label sets by name, wherever the package was installed."""

from pathlib import Path

from raddistill import paths
from raddistill.errors import InputError


def find_lexicon(name: str | None, default: str = "tuned") -> Path:
    """A folder that exists, or a lexicon that comes with the package (`tuned`, `cold`); None: the default one of these.

    Raises:
        InputError: neither; names those that there are.
    """
    shipped = paths.shipped_lexicons()
    known = sorted(folder.parent.name for folder in shipped.glob("*/cues"))
    return _find("lexicon", name, default, known, {each: shipped / each for each in known})


def find_label_set(name: str | None, default: str = "chest_13") -> Path:
    """A file that exists, or a label set that comes with the package (`chest_13`); else as `find_lexicon`."""
    files = {file.stem: file for file in sorted(paths.shipped_lexicons().glob("label_sets/*.yaml"))}
    return _find("label set", name, default, list(files), files)


def _find(what: str, name: str | None, default: str, known: list[str], places: dict[str, Path]) -> Path:
    if name is not None and Path(name).exists():
        return Path(name)
    if (name or default) not in places:
        raise InputError(f"there is no {what} '{name or default}': neither a path nor one of {', '.join(known) or 'none'}")
    return places[name or default]
