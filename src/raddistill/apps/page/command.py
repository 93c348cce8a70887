"""The command `report`: writes the page of a run, which can be shared, and the error browser, which must not be."""

import base64
import hashlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from raddistill import paths
from raddistill.apps import pipeline
from raddistill.apps.git_guard import refuse_where_git_sees
from raddistill.apps.label.run import check_output
from raddistill.errors import InputError
from raddistill.files import write_whole

HELP = """Writes the results of the last run as one HTML page, which opens without a network. No report text, no ids.

`raddistill report`: writes report.html

`raddistill report -o run-12.html --private data/errors.html`: also an error browser with REPORT TEXT

**The page** shows micro F1 with intervals, every label, learning curves, reliability, confusion, the teacher's noise, cost,
settings that differ from the defaults, and what the run was made of. Tables that are not here (`dvc pull`) are named on it.

**The error browser** shows each test report with the teacher's evidence marked, and what people, teacher and student say of it.
It is filtered by label, kind of error and words, and used by keyboard (j, k, /). It is written only where git does not see it,
such as in data/ or outside of the clone. Do not send it to anybody who may not read the reports.

docs/page.md explains each part. Small counts can tell who is meant: check the page before you share one of private reports.
"""

Output = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The page to write.")]
Private = Annotated[Path | None, typer.Option(metavar="FILE", help="The error browser to write. It holds REPORT TEXT.")]
Defaults = Annotated[
    str | None,
    typer.Option(metavar="REVISION", help="Tag or commit whose params.yaml has the defaults. [default: last release, else HEAD]"),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replaces existing files.")]


def report(
    output: Output = Path("report.html"), private: Private = None, defaults: Defaults = None, overwrite: Overwrite = False
) -> None:
    """Writes the page of the last run to `output` and, if `private` is given, its error browser there.

    Raises:
        InputError: metrics/final.json or dvc.lock is missing, a file exists, or git would see the private file.
    """
    for path in (output, private) if private else (output,):
        check_output("-", path, overwrite)
    if private:
        if private.resolve() == output.resolve():
            raise InputError(f"--private {private} is the page itself; name another file")
        refuse_where_git_sees([private])
    metrics = pipeline.load_metrics(paths.FINAL_METRICS)
    from raddistill.apps.page import browsing, cells, charts, figures, provenance

    charts.converter()
    read = cells.read_cells(metrics) if private or all(file.exists() for file in figures.FILES["cells"]) else {}
    shown = figures.gather(metrics, read) | {"made": provenance.gather(defaults)}
    texts = browsing.gather(read) if private else None
    _write(output, "page.html", shown)
    for section, missing in shown["missing"].items():
        print(f"not here, so not on the page ({section}): {', '.join(missing)}; `dvc pull` brings it", file=sys.stderr)
    print(f"{output}: holds no report text")
    if private:
        _write(private, "errors.html", {"data": texts}, mode=0o600)
        print(f"{private}: holds REPORT TEXT; do not share it")


def _write(path: Path, template: str, variables: dict[str, Any], mode: int = 0o666) -> None:
    import jinja2

    loader = jinja2.PackageLoader("raddistill.apps.page")
    made = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    css, script = (str(loader.get_source(made, name)[0]) for name in ("page.css", "errors.js"))
    # The page runs this script and no other: its hash stands in the content security policy.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    with write_whole(path) as part:
        part.touch(mode)
        html = made.get_template(template).render(**variables, css=css, script=script, script_hash=f"sha256-{digest}")
        part.write_text(html, encoding="utf-8", newline="\n")
