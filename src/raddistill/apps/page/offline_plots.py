"""The command `offline-plots`: makes `dvc plots show` and `dvc plots diff` open without a network, in this clone."""

from pathlib import Path

from raddistill import paths
from raddistill.apps import pipeline
from raddistill.apps.page.charts import converter
from raddistill.errors import InputError
from raddistill.files import write_whole

TEMPLATE = Path(".dvc/offline_plots.html")  # named in .dvc/.gitignore: 0.9 MB that anybody can make
VEGA_LITE = "5.20"  # DVC's templates are written for version 5


def offline_plots() -> None:
    """Makes `dvc plots` open without a network, in this clone.

    `raddistill offline-plots && dvc plots diff`

    DVC's own page loads Vega from the web. This writes .dvc/offline_plots.html, a template that holds Vega (0.9 MB), and names it
    in .dvc/config.local; neither goes to git. `dvc config --local --unset plots.html_template` undoes it.
    """
    if not TEMPLATE.parent.is_dir():
        raise InputError(f"{TEMPLATE.parent}/ is missing here: run this from the root of the project")
    scripts = converter().javascript_bundle(vl_version=VEGA_LITE)
    # DVC fills in {refresh_tag} and {plot_divs}. Without {scripts} it loads nothing from the web.
    page = (paths.package() / "apps/page/templates/plots.html").read_text(encoding="utf-8")
    with write_whole(TEMPLATE) as part:
        part.write_text(page.replace("SCRIPTS", scripts), encoding="utf-8")
    pipeline.dvc_output("config", "--local", "plots.html_template", TEMPLATE.name)
    print(f"`dvc plots show` and `dvc plots diff` now open without a network: {TEMPLATE}")
