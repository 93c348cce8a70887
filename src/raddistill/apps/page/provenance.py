"""Says what a run was made of: commit, settings, data, versions, money; and whether the files here are those of dvc.lock."""

import hashlib
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from raddistill import params, paths, untracked_files
from raddistill.apps import pipeline
from raddistill.apps.page.figures import read_metrics
from raddistill.apps.presets import flat
from raddistill.errors import InputError

LOCK = Path("dvc.lock")
GONE, HIDDEN = "(no such key)", "(a path or address of the machine that ran it)"
SAME, DIFFERENT = "same", "DIFFERENT"


def gather(defaults: str | None) -> dict[str, Any]:
    """Returns the variables of the template. `defaults`: the git revision whose params.yaml has the defaults.

    None is the tag of the last release, else HEAD; outside of git nothing is compared, and `settings` is None.

    Raises:
        InputError: dvc.lock is missing, or git knows no such revision.
    """
    if not LOCK.exists():
        raise InputError(f"{LOCK} is missing here: run this from the root of the project, after `dvc repro`")
    stages, now = params.read(LOCK)["stages"], flat(params.read())
    used = flat(
        {key: value for stage in stages.values() for key, value in stage.get("params", {}).get("params.yaml", {}).items()}
    )
    released = (_git("describe", "--tags", "--abbrev=0", "--match=v[0-9]*") or "HEAD").strip()
    revision = defaults or (released if _git("rev-parse", "HEAD") else None)
    then = _params_at(revision) if revision else None
    return {
        "revision": revision,
        "settings": None if then is None else _differing(used, then),
        "edited": sorted(key for key, value in used.items() if now.get(key, value) != value),
        "used": {key: _shown(value) for key, value in used.items()},
        "data": read_metrics(paths.EXTRACT_METRICS),
        "outputs": [_compared(out) for stage in stages.values() for out in stage.get("outs", [])],
        "spending": {str(file): read_metrics(file) for file in sorted(paths.EXTRACT_METRICS.parent.rglob("*spending*.json"))},
        "libraries": read_metrics(paths.ADAPTER / "provenance.json").get("libraries", {}),
        "python": platform.python_version(),
        "version": metadata.version("raddistill"),
        **pipeline.current_commit(),
    }


def _git(*words: str) -> str | None:
    done = subprocess.run(["git", *words], capture_output=True, text=True, encoding="utf-8", check=False)
    return None if done.returncode else done.stdout


def _params_at(revision: str) -> dict[str, Any]:
    """Returns params.yaml of a revision, flat."""
    text = _git("show", "--end-of-options", f"{revision}:./{params.PARAMS}")
    if text is None:
        raise InputError(f"git knows no {params.PARAMS} at '{revision}'; --defaults takes a tag, a branch or a commit")
    return flat(YAML(typ="safe", pure=True).load(text))


def _differing(used: dict[str, Any], then: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(k, _shown(v), _shown(then.get(k, GONE))) for k, v in sorted(used.items()) if then.get(k, GONE) != v]


def _shown(value: Any) -> str:
    """Returns a setting as text. Absolute paths and addresses name machines and people, so they are not told."""
    private = any(Path(each).is_absolute() or "://" in each for each in untracked_files.strings_of(value))
    return HIDDEN if private else str(value)


def _compared(out: dict[str, Any]) -> tuple[str, str, str]:
    """Returns path, hash in dvc.lock, and whether the file here has that hash."""
    path = Path(out["path"])
    if not path.is_file():
        return str(path), out["md5"], "a folder, not compared" if path.is_dir() else "not here"
    with path.open("rb") as file:
        return str(path), out["md5"], SAME if hashlib.file_digest(file, "md5").hexdigest() == out["md5"] else DIFFERENT
