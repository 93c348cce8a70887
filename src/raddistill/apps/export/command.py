"""The command `export`: writes a trained student in forms that other programs load, each compared with the adapter first."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from raddistill import paths
from raddistill.errors import InputError

HELP = """Writes the trained student as a model that others load without raddistill. Each form is compared with the adapter first.

`raddistill export out --form classifier`: out/classifier, for transformers and vLLM; an output for each label

`raddistill export out --form merged --form gguf`: out/merged for transformers, and out/gguf for llama.cpp

`raddistill export out --form gguf --weights q8_0 --adapter got/adapter`: an adapter from elsewhere

Run it in the pipeline's folder: the comparison needs its data/. It prints how many decisions on reports of the validation split
are equal. If too few are, nothing is written. README.md in each folder says what the model is worth, and how to load it. No
network is used. docs/export.md says more.
"""


class Form(StrEnum):
    """What others load: typer takes no list of literals."""

    MERGED = "merged"
    CLASSIFIER = "classifier"
    GGUF = "gguf"


Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the forms are written: FOLDER/merged, ...")]
Forms = Annotated[
    list[Form],
    typer.Option(
        "--form",
        help="merged: all answers, for transformers. classifier: the labels, as a sequence classifier. gguf: all answers, for "
        "llama.cpp. May be given several times.",
    ),
]
Adapter = Annotated[Path, typer.Option(metavar="FOLDER", help="The adapter; calibration.json lies next to this folder.")]
Data = Annotated[Path, typer.Option(metavar="FOLDER", help="With examples.parquet and reports.parquet, to compare on.")]
Reports = Annotated[int, typer.Option("--sample", min=1, help="Number of validation reports to compare on, chosen by hash.")]
Base = Annotated[
    Literal["trained", "original"],
    typer.Option(
        "--base",
        help="The base that the adapter is merged into: as it was trained on (NF4 weights unpacked), or the original one.",
    ),
]
Weights = Annotated[Literal["bf16", "f16", "q8_0"], typer.Option(help="Of --form gguf.")]
Known = Annotated[
    bool,
    typer.Option(
        "--saw-private-reports",
        help="Confirms that you know: this model was trained on reports that are not public, and may repeat words of them.",
    ),
]


def export(
    folder: Folder,
    form: Forms,
    adapter: Adapter = paths.ADAPTER,
    data: Data = paths.EXAMPLES.parent,
    base: Base = "trained",
    weights: Weights = "bf16",
    sample: Reports = 128,
    saw_private_reports: Known = False,
) -> None:
    """Writes each form in a folder of its own, whole or not at all, and prints its agreement and size.

    Raises:
        InputError: a folder is there already, files are missing, a form does not fit the student, or its answers disagree with
            the adapter's; or the reports are not public and nobody said that this is known.
    """
    if taken := [folder / each.value for each in form if (folder / each.value).exists()]:
        raise InputError(f"{taken[0]} is there already; remove it, or name another folder")
    if not (adapter / "provenance.json").exists():
        raise InputError(f"{adapter} holds no adapter; `dvc repro train` makes it, or `dvc pull` brings it")
    from raddistill.apps.export import writing

    private = writing.private_reports(adapter, data)
    if private and not saw_private_reports:
        said = f"The training reports of this model are {private}. It may repeat words of them: treat it as carefully as those."
        if not sys.stdin.isatty():
            raise InputError(f"{said} To export it all the same: --saw-private-reports")
        typer.confirm(f"{said} Export it?", abort=True)
    forms = [each.value for each in dict.fromkeys(form)]
    for line in writing.write_all(folder, forms, adapter, data, base, weights, sample):
        print(line)
