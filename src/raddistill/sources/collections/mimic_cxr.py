"""MIMIC-CXR 2.0.0 and 2.1.0 (Johnson et al. 2019, Sci Data 6:317) from the files that PhysioNet distributes.

The folder contains, with or without gzip:
`mimic-cxr-reports.zip`, or its unpacked tree `files/p10/p10000032/s50414267.txt` (the zip is read if there are both);
`mimic-cxr-2.0.0-split.csv.gz` (MIMIC-CXR-JPG), the publishers' split, one row per image;
`mimic-cxr-2.1.0-test-set-labeled.csv`, a radiologist's labels of 687 studies.
Without the last two there are no own splits and no gold.
Report ids look like `s50414267`, patient ids like `p10000032`.
"""

import functools
import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from raddistill.concepts import Concept
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.privacy import list_names
from raddistill.reading import columns
from raddistill.reading.delimited import read_csv
from raddistill.sections import parser
from raddistill.sections.lexicon import SectionLexicon
from raddistill.sections.parser import Words
from raddistill.sources.collections import archives
from raddistill.sources.collections.archives import Content
from raddistill.sources.documents import PROGRESS_EVERY, Document, Failure, Progress, no_progress
from raddistill.sources.gold import annotators
from raddistill.sources.gold.mapping import load_table
from raddistill.statuses import GOLD_CELLS
from raddistill.tables.gold import Gold

ANNOTATOR = "mimic_cxr_radiologist"
ZIP, TREE = "mimic-cxr-reports.zip", "files"
SPLIT, GOLD = "mimic-cxr-*-split.csv*", "mimic-cxr-*-test-set-labeled.csv*"
KEYS = {"study_id", "subject_id"}
_REPORT = re.compile(r"(?:[^/]+/)*p\d\d/(p\d+)/(s\d+)\.txt")
_STUDY = r"^s?(\d+)(?:\.0)?$"


class MimicCXR:
    """The collection of 227,835 studies, with patient ids."""

    name = "mimic_cxr"
    sensitivity = "credentialed"
    needs_mapping = True

    def __init__(self, lexicon: SectionLexicon | None = None) -> None:
        self._lexicon = lexicon  # as in parser.read
        self._annotated = pl.DataFrame()  # the labels of the test set, as `load_annotations` returns them

    def read(self, raw: Path, progress: Progress = no_progress) -> Iterator[Document | Failure]:
        """Yields every text file of the zip or tree in `raw` (or of the zip `raw`), sorted by name.

        Raises:
            InputError: there is neither zip nor tree; the zip is truncated; a split or gold file lacks a column, has other codes,
                or repeats a study with other values.
        """
        _refuse_files_beside(raw)
        folder = raw if raw.is_dir() else None
        splits, self._annotated = load_splits(_only_file(folder, SPLIT)), load_annotations(_only_file(folder, GOLD))
        files = _locate(raw)
        for count, made in enumerate(archives.each(files, functools.partial(parse, lexicon=self._lexicon)), start=1):
            if count % PROGRESS_EVERY == 0:
                progress(count, len(files))
            if isinstance(made, Failure):
                yield made
                continue
            report_id, patient_id, words = made
            yield Document(report_id, patient_id, split=splits.get(report_id), **words._asdict())

    def gold(
        self, annotations: dict[str, tuple[str, ...]], mapping: Path, label_set: list[Label], concepts: list[Concept]
    ) -> pl.DataFrame:
        """Returns the radiologist's labels of the test set that `read` found, for multiple choice only.

        Blank (not mentioned) is absent. Annotated studies that could not be read have rows, too; others have none.

        Raises:
            InputError: labels.csv of the mapping is missing or malformed, or lacks a column or a label.
        """
        column_of = _columns_of(mapping / "labels.csv", [label.name for label in label_set], sorted(self._annotated.columns[1:]))
        if self._annotated.is_empty():
            return Gold.create_empty()
        return annotators.from_wide(self._annotated.select("report_id", **column_of), ANNOTATOR)


def parse(file: Content, lexicon: SectionLexicon | None = None) -> tuple[str, str, Words] | Failure:
    """Returns report id, patient id (both from the path) and text of a file. Plain tuples pass fast between processes."""
    found = _REPORT.fullmatch(file.name)
    if not found or ".." in file.name:
        name = file.name.encode("utf-8", "replace").decode()  # a name on disk may not be UTF-8
        return Failure(name, "no name like files/p10/p10000032/s50414267.txt")
    patient_id, report_id = found.groups()
    if file.reason:
        return Failure(report_id, file.reason)
    try:
        text = file.content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return Failure(report_id, "not UTF-8")
    return report_id, patient_id, parser.words(text, lexicon)


def load_splits(path: Path | None) -> dict[str, str]:
    """Returns report id to the split of its images, as the file names it; several are joined ("test and train")."""
    if path is None:
        return {}
    table = _read_table(path, ["study_id", "split"]).select("study_id", "split").unique()
    splits = table.group_by("study_id").agg(pl.col("split").sort().str.join(" and "))
    return dict(splits.select("study_id", "split").iter_rows())


def load_annotations(path: Path | None) -> pl.DataFrame:
    """Returns report_id and the columns of labels, with CheXpert's codes; an empty table without a file.

    Raises:
        InputError: there is no study_id, a cell has another code, or a study is repeated with other codes.
    """
    if path is None:
        return pl.DataFrame()
    table = _read_table(path, ["study_id"])
    names = [name for name in table.columns if name not in KEYS]
    table = table.select("study_id", *names).unique(maintain_order=True)
    for name in names:
        if strange := table.filter(~pl.col(name).is_in(list(GOLD_CELLS))).height:
            raise InputError(f"{path}: column '{name}' has {strange} cells that are not 1, 0, -1 or blank")
    if doubled := table.height - table["study_id"].n_unique():
        raise InputError(f"{path}: {doubled} rows repeat a study_id with other codes; keep one of each")
    return table.rename({"study_id": "report_id"})


def _columns_of(mapping: Path, names: list[str], present: list[str]) -> dict[str, str]:
    """Returns label to column of the test set; {} if the test set has no columns, since nobody annotated it."""
    label_of = {row["column"]: row["label"] for row in load_table(mapping, ["column", "label", "why"])}  # "": no label
    if not present:
        return {}
    if undecided := [column for column in present if column not in label_of]:
        raise InputError(f"{mapping} does not decide the columns {list_names(undecided)}; add a row for each")
    columns_of = {name: [column for column in present if label_of[column] == name] for name in names}
    if wrong := [name for name, found in columns_of.items() if len(found) != 1]:
        raise InputError(
            f"{mapping} names no column, or several, for {list_names(wrong)}; there are: {list_names(present)}. Name others, or "
            "set extract.gold to gold/none to leave the test set out"
        )
    return {name: found[0] for name, found in columns_of.items()}


def _read_table(path: Path, wanted: list[str]) -> pl.DataFrame:
    """Returns the file with all cells as trimmed strings, and study ids as report ids."""
    try:
        present, table = read_csv(path)
    except InputError as error:
        raise InputError(f"{path} is empty, damaged, or no readable CSV (UTF-8, comma): {error}") from None
    columns.require(str(path), present, wanted)
    columns.refuse_doubled(str(path), present)
    table = table.select(pl.all().str.strip_chars()).rename(dict(zip(table.columns, present, strict=True)))
    if strange := table.filter(~pl.col("study_id").str.contains(_STUDY)).height:
        raise InputError(f"{path}: column 'study_id' has {strange} cells that are no number of a study")
    return table.with_columns(pl.col("study_id").str.replace(_STUDY, "s$1"))


def _only_file(folder: Path | None, pattern: str) -> Path | None:
    """Returns the only file that matches the pattern; None if there is none."""
    present = sorted(folder.glob(pattern)) if folder else []
    if len(present) > 1:
        raise InputError(f"{folder} holds {', '.join(path.name for path in present)}; keep one")
    return present[0] if present else None


def _refuse_files_beside(raw: Path) -> None:
    """Refuses a `raw` with split or gold files next to it: they would be ignored silently, and DVC would not track them."""
    if raw.is_file() or raw.name == TREE:
        left_out = [path.name for pattern in (SPLIT, GOLD) for path in sorted(raw.parent.glob(pattern))]
        if left_out:
            raise InputError(
                f"{raw}: next to it is {', '.join(left_out)}; name the folder {raw.parent} as extract.raw to have them read"
            )


def _locate(raw: Path) -> archives.Zip | archives.Folder:
    """Returns the reports of the zip or of the folder that holds them."""
    archive = raw / ZIP if raw.is_dir() else raw
    files: archives.Zip | archives.Folder
    if archive.is_file():
        files = archives.Zip(archive, _is_report)
    else:
        root = next((folder for folder in (raw / TREE, raw / Path(ZIP).stem / TREE, raw) if any(folder.glob("p??"))), raw)
        # Not by one glob, which silently skips what may not be read. The folders of studies, which contain images, are left out.
        patients = (patient for group in root.glob("p??") for patient in group.iterdir() if patient.is_dir())
        reports = (file for patient in patients for file in patient.iterdir() if file.suffix == ".txt")
        files = archives.Folder(root, (file.relative_to(root).as_posix() for file in reports))
    if not len(files):
        raise InputError(f"{raw} holds no report of MIMIC-CXR: neither {ZIP} nor {TREE}/p10/p10000032/s50414267.txt")
    return files


def _is_report(name: str) -> bool:
    return name.endswith(".txt") and not name.startswith("__MACOSX/") and "/._" not in name
