"""Open-i (Demner-Fushman et al. 2016, JAMIA 23:304): 3,955 chest X-ray reports, one XML file each, with human MeSH codes.

The archive is never unpacked to disk. Its `MeSH/automatic` terms are never read, since they leak the human labels: none of the
1,391 reports that people called normal has one.
"""

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError  # types only: defusedxml does the parsing

import polars as pl
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from raddistill.concepts import Concept
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.privacy import ID_IS_TEXT, may_be_text
from raddistill.reading.cells import NOT_UTF8, is_utf8
from raddistill.sections.report_text import section_words
from raddistill.sources.collections.archives import LARGEST_FILE, tar_files
from raddistill.sources.documents import Document, Failure, Progress, no_progress
from raddistill.sources.gold import mapping as mappings

ANNOTATOR = "openi_mesh"


class OpenI:
    """The collection as in `NLMCXR_reports.tgz`, without patient ids."""

    name = "openi"
    sensitivity = "public"
    needs_mapping = True

    def read(self, raw: Path, progress: Progress = no_progress) -> Iterator[Document | Failure]:
        """Yields every XML file of the one archive in `raw`, as a document or as a failure.

        Raises:
            InputError: there are no or several archives, or the archive has no XML file, or as in archives.tar_files.
        """
        archives = sorted(raw.glob("*.tgz"))
        if len(archives) != 1:
            raise InputError(f"{raw} holds {len(archives)} .tgz files, openi reads exactly one; `dvc repro -f fetch` repairs it")
        count = 0
        for count, (name, content) in enumerate(tar_files(archives[0], ".xml"), start=1):
            progress(count, None)
            yield parse(name, content)
        if not count:
            raise InputError(f"{archives[0]} holds no XML file; Open-i's reports are one XML file each")

    def gold(
        self, annotations: dict[str, tuple[str, ...]], mapping: Path, label_set: list[Label], concepts: list[Concept]
    ) -> pl.DataFrame:
        """Returns the human MeSH codes (`major`) as gold of both tasks: one row for every report, task and label.

        The head `No Indexing` means that nobody annotated the report, whatever stands beside it.
        """
        gold = mappings.to_gold(annotations, mapping, label_set, concepts, ANNOTATOR)
        return gold.cast(pl.String)  # enums of two collections could not be one table


def parse(name: str, content: bytes) -> Document | Failure:
    """Returns one file of the collection. XML with entities or document types is refused."""
    if len(content) > LARGEST_FILE:
        return Failure(name, "file too large")
    try:
        root = fromstring(content, forbid_dtd=True)
    except DefusedXmlException:
        return Failure(name, "document type or entity in XML")
    except (ParseError, LookupError, ValueError):  # the last two: an encoding unknown to Python or to expat
        return Failure(name, "malformed XML" if is_utf8(content.decode("utf-8", "surrogateescape")) else NOT_UTF8)
    identity = root.find("uId")
    report_id = " ".join((identity.get("id") or "").split()) if identity is not None else None
    if not report_id:
        return Failure(name, "no report id")
    if may_be_text(report_id):
        return Failure(name, ID_IS_TEXT)
    return Document(
        report_id=report_id,
        findings=_section(root, "FINDINGS"),
        impression=_section(root, "IMPRESSION"),
        indication=_section(root, "INDICATION"),
        comparison=_section(root, "COMPARISON"),
        annotations=tuple(words for major in root.iterfind("MeSH/major") if (words := " ".join((major.text or "").split()))),
    )


def _section(root: Element, label: str) -> str | None:
    parts = ("".join(node.itertext()) for node in root.iter("AbstractText") if node.get("Label") == label)
    return section_words("\n\n".join(parts), none_is_said=label == "COMPARISON")
