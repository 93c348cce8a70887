"""Shows what would be sent to an LLM teacher and what that would cost. Nothing here contacts a server."""

import json
from pathlib import Path

from raddistill import params, paths
from raddistill.apps.console import print_page
from raddistill.errors import InputError
from raddistill.labelsets import LabelSetParams, load_labels
from raddistill.llm_client.budget import Prices
from raddistill.llm_client.settings import AskingParams
from raddistill.llm_client.store import Store
from raddistill.tables import base as tables
from raddistill.tables.reports import Reports
from raddistill.tasks.names import TASKS
from raddistill.teachers.llm import planning
from raddistill.teachers.llm.conversations import Inquiry
from raddistill.teachers.llm.settings import LLMParams
from raddistill.teachers.synthesizing import SynthesizeParams, TeachParams, llm_params


def print_estimate(names: list[str]) -> None:
    """Prints tokens and money that each of these teachers would take. Without `names`: all LLM teachers of params.yaml.

    Raises:
        InputError, ParamsError: as in `inquiry_of`.
    """
    asking = params.load("asking", AskingParams)
    reports, prices = tables.read(Reports, paths.REPORTS), Prices.load(asking.prices)
    with Store(paths.journal()) as store:
        plans = []
        for name in names or llm_teachers():
            inquiry, p = inquiry_of(name)
            plans.append(planning.plan(name, inquiry, p, reports, store.get, prices))
    print_page(planning.plans_page(plans, asking.budget_usd))


def print_questions(report_id: str, name: str, as_json: bool) -> None:
    """Prints what would be sent to the teacher `name` about a report, and the stored answer, if there is one.

    With `as_json`: only the bodies of the requests, one per line.

    Raises:
        InputError: the report is unknown; else as in `inquiry_of`.
    """
    inquiry, _ = inquiry_of(name)
    with Store(paths.journal()) as store:
        for question in planning.find_questions(inquiry, tables.read(Reports, paths.REPORTS), report_id, store.get):
            if as_json:
                print(json.dumps(question.body))
            else:
                print_page(planning.question_page(question, store.get(question.key)), width=1_000_000)


def llm_teachers() -> list[str]:
    """Returns the tasks and names of the LLM teachers in params.yaml; both tasks if it has none."""
    content = params.read()
    teachers = content.get("synthesize", {}) | content.get("teachers", {})
    return [name for name, p in teachers.items() if p.get("teacher") == "llm"] or TASKS


def inquiry_of(name: str) -> tuple[Inquiry, LLMParams]:
    """Returns the inquiry of a teacher and its settings. `name`: a task, or a name in the section `teachers` of params.yaml.

    A task whose teacher is no LLM is treated as if it had one.

    Raises:
        InputError: the teacher has no section `llm`.
        ParamsError: the teacher is unknown.
    """
    labels = load_labels(params.load("label_set", LabelSetParams).path)
    p: SynthesizeParams | TeachParams
    if name in TASKS:
        p = params.load(f"synthesize.{name}", SynthesizeParams)
        task, prompts = name, Path(p.source) if p.teacher == "llm" else paths.TEACHER_PROMPTS
    else:
        p = params.load(f"teachers.{name}", TeachParams)
        task, prompts = p.task, Path(p.source)
    if isinstance(p, TeachParams) and p.llm is None:
        raise InputError(f"teachers.{name} of params.yaml has no section `llm`; synthesize.llm shows one")
    llm = llm_params(task, p, params.load("synthesize.llm", LLMParams))
    return Inquiry(task, prompts, labels, p.sections, llm), llm
