"""Says what a run was made of: commit, settings, data, versions, money; and whether the files here are those of dvc.lock."""

import hashlib
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from raddistill import params, paths
from raddistill.apps import pipeline
from raddistill.apps.page.figures import read_metrics
from raddistill.apps.presets import flat
from raddistill.errors import InputError

LOCK = Path("dvc.lock")
HIDDEN = "(a path on the machine that ran it)"


def gather(defaults: str | None) -> dict[str, Any]:
    """Returns the variables of the template. `defaults`: the git revision whose params.yaml has the defaults; None: see `base`.

    Raises:
        InputError: dvc.lock is missing, or git does not know `defaults`.
    """
    if not LOCK.exists():
        raise InputError(f"{LOCK} is missing here: run this from the root of the project, after `dvc repro`")
    stages = params.read(LOCK)["stages"]
    used = {key: value for stage in stages.values() for key, value in stage.get("params", {}).get(str(params.PARAMS), {}).items()}
    used, now = flat(used), flat(params.read())
    revision = defaults or _last_release()
    return {
        "revision": revision,
        "settings": _differing(used, flat(_params_at(revision))) if revision else None,
        "edited": sorted(key for key, value in used.items() if now.get(key, value) != value),
        "used": {key: _shown(used.get(key)) for key in ("fetch.reports.package", "fetch.reports.sha256", "fetch.base.location")},
        "data": read_metrics(paths.EXTRACT_METRICS),
        "source": _shown(used.get("extract.source")),
        "outputs": [_compared(out) for stage in stages.values() for out in stage.get("outs", [])],
        "spending": {str(file): read_metrics(file) for file in _spending()},
        "libraries": read_metrics(paths.ADAPTER / "provenance.json").get("libraries", {}),
        "python": platform.python_version(),
        "version": metadata.version("raddistill"),
        **pipeline.current_commit(),
    }


def _spending() -> list[Path]:
    folder = paths.EXTRACT_METRICS.parent
    return sorted([*folder.glob("spending_*.json"), *folder.glob("teachers/*_spending.json")])


def _last_release() -> str | None:
    """Returns the tag of the last release, else HEAD; None outside of git."""
    tag = _git("describe", "--tags", "--abbrev=0", "--match=v[0-9]*")
    return tag.strip() if tag else "HEAD" if _git("rev-parse", "HEAD") else None


def _params_at(revision: str) -> dict[str, Any]:
    text = _git("show", f"{revision}:./{params.PARAMS}")
    if text is None:
        raise InputError(f"git knows no {params.PARAMS} at '{revision}'; --defaults takes a tag, a branch or a commit")
    return dict(YAML(typ="safe", pure=True).load(text))


def _git(*words: str) -> str | None:
    done = subprocess.run(["git", *words], capture_output=True, text=True, encoding="utf-8", check=False)
    return None if done.returncode else done.stdout


def _differing(used: dict[str, Any], defaults: dict[str, Any]) -> list[tuple[str, str, str]]:
    gone = "(no such key)"
    return [
        (key, _shown(value), _shown(defaults.get(key, gone)))
        for key, value in sorted(used.items())
        if value != defaults.get(key, gone)
    ]


def _shown(value: Any) -> str:
    """Returns a setting as text. Absolute paths name machines and people, so they are not told."""
    return HIDDEN if isinstance(value, str) and Path(value).is_absolute() else str(value)


def _compared(out: dict[str, Any]) -> tuple[str, str, str]:
    """Returns path, hash in dvc.lock, and whether the file here has that hash."""
    path = Path(out["path"])
    if not path.exists():
        return str(path), out["md5"], "not here"
    if path.is_dir():
        return str(path), out["md5"], "a folder, not compared"
    with path.open("rb") as file:
        same = hashlib.file_digest(file, "md5").hexdigest() == out["md5"]
    return str(path), out["md5"], "same" if same else "DIFFERENT"
