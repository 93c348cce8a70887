"""The command `init`: lays out a folder in which the installed package's pipeline runs on reports of one's own."""

import functools
import itertools
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from ruamel.yaml import YAML

from raddistill import params, paths
from raddistill.apps import installed_code
from raddistill.apps.label import options
from raddistill.errors import InputError, RaddistillError

CHECKED = 1000  # reports that are read before anything is written
_CODE = re.compile(r" +- (src/raddistill/teachers/\$\{item\.teacher\}|src/raddistill/\S+\.py|constraints\.txt)\n")
_HEAD = """# The pipeline, laid out by `raddistill init`. The stages' code is in the installed package; code.yaml stands for it.
# What is, or may be, report text lies in data/ and is bound to the remote `private`; what was learned goes to `remotes.models`.
stages:
  code:
    desc: Hashes of the installed package's code, on which the other stages depend
    cmd: python -m raddistill.apps.installed_code
    always_changed: true
    outs:
      - code.yaml:
          cache: false

"""


Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder to lay out. Files that are there stay as they are.")]
Reports = Annotated[Path, typer.Option("--reports", metavar="FILE|FOLDER", help="Your reports. They are read in place.")]
Sensitivity = Annotated[
    Literal["public", "credentialed", "phi"],
    typer.Option(help="public; credentialed: under a data use agreement, as MIMIC-CXR; phi: protected health information."),
]


def init(
    folder: Folder,
    reports: Reports,
    sensitivity: Sensitivity,
    id_column: options.IdColumn = None,
    text_column: options.TextColumn = None,
    findings_column: options.FindingsColumn = None,
    impression_column: options.ImpressionColumn = None,
    patient_column: Annotated[
        str, typer.Option(metavar="NAME", rich_help_panel="Input", help="Column of patients; each stays within one split.")
    ] = "",
    input_format: options.InputFormat = None,
    encoding: options.Encoding = "utf-8",
) -> None:
    """Lays out a folder for the pipeline on reports of your own. No clone is needed.

    `raddistill init chest --reports reports.csv --sensitivity phi --id-column study_id --text-column note`

    `cd chest && git add . && git commit -m "Pipeline" && dvc repro`

    `raddistill init chest --reports notes/ --input-format folder --sensitivity public`: one .txt file for each report

    The folder gets dvc.yaml, params.yaml with your columns, stages/, lexicon/, prompts/, gold/, presets/, the DVC remotes
    `shared` and `private` (folders, until you change them), and a git repository. Edit them as in a clone; gold and labels by
    people are in params.yaml. The code stays in the installed package: code.yaml has a hash of it for each stage, so an upgrade
    runs again what it changes. No file is ever replaced. Report text is not copied, and data/ never gets into git.
    """
    named = {"id": id_column or "report_id", "findings": findings_column or "", "impression": impression_column or ""}
    named |= {"text": text_column or ("" if findings_column or impression_column else "text"), "patient": patient_column}
    files = named | {"sensitivity": sensitivity, "format": input_format or "", "encoding": encoding}
    reports = reports.resolve()
    _check_place(folder.resolve(), reports)
    said = _try_reports(reports, files)
    changes = {f"extract.files.{key}": value for key, value in files.items()}
    changes |= {"extract.source": "files", "extract.raw": str(reports), "extract.gold": str(paths.NO_GOLD)}
    changes |= {"fetch.reports.package": "", "remotes.models": "shared" if sensitivity == "public" else "private"}
    _lay_out(folder, changes)
    print(f"{folder}: {said}")
    print(f'next: cd {shlex.quote(str(folder))} && git add . && git commit -m "Pipeline" && dvc repro')


def _check_place(folder: Path, reports: Path) -> None:
    """Refuses a folder within another git repository, and reports that git would take. Both paths are absolute."""
    if not reports.exists():
        raise InputError(f"--reports: {reports} does not exist")
    if reports.is_relative_to(folder) and not reports.is_relative_to(folder / "data"):
        raise InputError(f"--reports: git would take {reports} with all else in {folder}; move it out, or into {folder / 'data'}")
    if folder.is_relative_to(reports):
        raise InputError(
            f"--reports: the folder {reports} would hold {folder}, whose files are no reports; name one outside of it"
        )
    if shutil.which("git") is None:
        raise InputError("git is not installed, and DVC keeps its records in a git repository; install it")
    there = next(each for each in (folder, *folder.parents) if each.is_dir())
    command = ["git", "-C", str(there), "rev-parse", "--show-toplevel"]
    root = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    if root and Path(root) != folder:
        raise InputError(f"{folder} would lie in the git repository {root}; name a folder outside of it")


def _try_reports(reports: Path, files: dict[str, str]) -> str:
    """Returns in words how many of the first CHECKED reports can be used.

    Raises:
        RaddistillError: the file or a column is missing, or no report can be used.
    """
    from raddistill.sources.collections.files import Files, FilesParams
    from raddistill.sources.documents import Document

    shipped = params.read(paths.shipped() / params.PARAMS)["extract"]["files"]
    source = Files(params.check("extract.files", shipped | files, FilesParams), [])
    try:
        read = list(itertools.islice(source.read(reports), CHECKED))
    except RaddistillError as error:
        said = re.sub(r"extract\.files\.(id|text|findings|impression|patient)\b", r"--\1-column", str(error))
        said = said.replace("extract.files.format", "--input-format").replace("extract.files.encoding", "--encoding")
        raise InputError(said) from None
    usable = [each for each in read if isinstance(each, Document) and (each.findings or each.impression)]
    said = f"{len(usable):,} of the first {len(read):,} reports can be used"
    if not usable:
        raise InputError(f"{reports}: {said}: there is no text of findings or impression in the columns that you named")
    return said


def _lay_out(folder: Path, changes: dict[str, Any]) -> None:
    """Writes the shipped files, with `changes` in params.yaml, and makes a git repository. All files appear, or none.

    Raises:
        InputError: a file is there already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".init-", dir=folder) as workspace:
        made = Path(workspace)
        for name in set(paths.SHIPPED) - {str(paths.CONSTRAINTS)}:  # code.yaml has the versions that are installed
            source = paths.shipped() / name
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, made / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(source, made / name)
        pipeline = made / paths.PIPELINE
        pipeline.write_text(for_installed_code(pipeline.read_text(encoding="utf-8")), encoding="utf-8")
        set_params(made / params.PARAMS, changes)
        installed_code.write(made / paths.CODE)
        files = sorted(file.relative_to(made) for file in made.rglob("*") if file.is_file())
        if there := [str(file) for file in files if (folder / file).exists()]:
            raise InputError(f"{folder} has {', '.join(there[:3])} already, which stays as it is; name a new folder")
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (made / file).rename(folder / file)
    if not (folder / ".git").exists():
        subprocess.run(["git", "-C", str(folder), "init", "--quiet"], check=True)


def set_params(file: Path, values: dict[str, Any]) -> None:
    """Changes values in params.yaml, and keeps its comments. `values`: by dotted key, such as extract.raw."""
    yaml = YAML()
    yaml.width = 1000
    yaml.representer.add_representer(type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "null"))
    content = yaml.load(file)
    for key, value in values.items():
        *above, last = key.split(".")
        functools.reduce(lambda node, name: node[name], above, content)[last] = value
    yaml.dump(content, file)


def for_installed_code(text: str) -> str:
    """Returns the shipped dvc.yaml with entries of code.yaml in place of src/ and constraints.txt. Else it stays."""
    lines: list[str] = []
    entries: list[str] = []
    for line in text.partition("stages:\n")[2].splitlines(keepends=True):
        if stage := re.fullmatch(r"  (\w+):\n", line):
            entries = [f"stages.{stage[1]}"]
        if code := _CODE.fullmatch(line):
            of_file = {"constraints.txt": ["libraries"], "src/raddistill/teachers/${item.teacher}": ["teachers.${item.teacher}"]}
            entries += of_file.get(code[1], [])
            continue
        lines.append(line)
        if entries and line.strip() == "params:":
            indent = line[: line.index("params")]
            lines += [f"{indent}  - {paths.CODE}:\n", *(f"{indent}      - {entry}\n" for entry in entries)]
            entries = []
    return _HEAD + "".join(lines)
