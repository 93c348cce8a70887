"""Labels a table of reports by the LLM teacher as a stage does, in a process of its own that a test may kill.

`python tests/teacher_run.py FOLDER RUN`: FOLDER/RUN.json holds task, reports (a file), asking and llm (changes to the params);
the journal is FOLDER/journal; tables and metrics go to FOLDER/RUN/.
"""

import json
import sys
from pathlib import Path

from raddistill import labelsets, params
from raddistill.llm_client.settings import AskingParams
from raddistill.tables import base as tables
from raddistill.tables.answers import Answers
from raddistill.tables.evidence import Evidence
from raddistill.tables.labels import Labels
from raddistill.tables.outcomes import Outcomes
from raddistill.tables.quarantine import Quarantine
from raddistill.tables.reports import Reports
from raddistill.teachers.llm.settings import LLMParams
from raddistill.teachers.synthesizing import SynthesizeParams, TeacherContext, synthesize

LABELS = "lexicon/label_sets/chest_13.yaml"
TABLES = {"labels": Labels, "evidence": Evidence, "outcomes": Outcomes, "quarantine": Quarantine, "answers": Answers}


def main(folder: Path, run: str) -> None:
    given = json.loads((folder / f"{run}.json").read_text())
    asking = params.load("asking", AskingParams).model_copy(update=given["asking"])
    p = params.load(f"synthesize.{given['task']}", SynthesizeParams)
    p = p.model_copy(update={"teacher": "llm", "source": "prompts/teacher", "llm": given["llm"]})
    reports = tables.read(Reports, Path(given["reports"]))
    llm = params.load("synthesize.llm", LLMParams)
    context = TeacherContext(asking, folder / "journal", Answers.create_empty(), settings=llm)
    made = synthesize(given["task"], p, reports, labelsets.load_labels(LABELS), context)
    out = folder / run
    out.mkdir(exist_ok=True)
    for name, schema in TABLES.items():
        tables.write(schema, getattr(made, name), out / f"{name}.parquet")
    (out / "metrics.json").write_text(json.dumps({"metrics": made.metrics, "spending": made.spending}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
