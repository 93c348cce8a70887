"""The codes of ICD-10-CM, from the package simple-icd-10-cm (April 2026: 98,000 with categories)."""

import functools
import importlib.util
import re
from pathlib import Path

_CODE = re.compile(r"[A-Z][0-9A-Z]{2,6}")  # a chapter is a number, a block has a hyphen


def canonical_code(code: str) -> str | None:
    """Returns the code in capitals and with its dot (`j189` gives J18.9); None if ICD-10-CM has no such code or category."""
    plain = code.strip().upper()
    if len(plain) > 3 and plain[3] == ".":
        plain = plain[:3] + plain[4:]
    if plain not in known():
        return None
    return plain if len(plain) == 3 else f"{plain[:3]}.{plain[3:]}"


@functools.cache
def known() -> frozenset[str]:
    """Returns all codes and categories, without dots, without chapters (`10`) and blocks (`J09-J18`).

    Importing the package builds a tree of all descriptions, which takes 1.4 s and 185 MB. So its list of codes is read from a
    file (50 ms); if a version has no such file, the package is imported.
    """
    package = importlib.util.find_spec("simple_icd_10_cm")
    folders = package.submodule_search_locations if package else None
    assert folders, "simple-icd-10-cm is a dependency of raddistill"
    lists = sorted(Path(folders[0], "data").glob("code-list-*.txt"))
    if len(lists) == 1:
        names = lists[0].read_text(encoding="utf-8").split()
    else:
        import simple_icd_10_cm  # slow, see above

        names = simple_icd_10_cm.get_all_codes(False)
    return frozenset(name for name in names if _CODE.fullmatch(name))
