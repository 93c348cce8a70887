"""The stages `synthesize` and `teach`: a teacher, chosen by name, labels every report for one task. Gold is never read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import dataframely as dy
import polars as pl
from rich.console import Console

from raddistill import params
from raddistill.errors import InputError, ParamsError
from raddistill.labelsets import Label
from raddistill.llm_client.settings import AskingParams
from raddistill.params import Section
from raddistill.passages import SECTIONS, choose_sections
from raddistill.statuses import ABSENT, PRESENT, UNCERTAIN
from raddistill.tables import base as tables
from raddistill.tables.answers import Answers
from raddistill.tables.evidence import Evidence
from raddistill.tables.labels import Labels
from raddistill.tables.outcomes import Outcomes
from raddistill.tables.quarantine import Quarantine, quarantine_complaint
from raddistill.tables.reports import Reports
from raddistill.tables.written import Written
from raddistill.tasks.names import MULTIPLE_CHOICE, TASKS
from raddistill.teachers.combined.teacher import CombinedTeacher, How
from raddistill.teachers.imported.teacher import ImportedTeacher
from raddistill.teachers.llm.settings import LLMParams
from raddistill.teachers.rules.teacher import RulesTeacher, Templates
from raddistill.teachers.teacher import Labelled, NoiseParams, Teacher, disturb

console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)


class CombineParams(Section):
    """The section synthesize.<task>.combine: how several teachers become one."""

    how: How  # first | vote | union | intersection | soft; combined/teacher.py explains them
    members: list[str]  # keys of the section `teachers`


class TeacherParams(Section):
    """The params of every teacher."""

    teacher: str
    source: str
    sections: str | list[str]  # findings_and_impression | impression_else_findings | a list
    max_quarantine: float  # largest share of the reports to learn from (train and validation), 0 to 1


class SynthesizeParams(TeacherParams):
    """The section synthesize.<task>."""

    llm: dict[str, Any] | None  # values that replace those of synthesize.llm for this task
    combine: CombineParams
    noise: NoiseParams


class TeachParams(TeacherParams):
    """The section teachers.<name>: one of several teachers of a task. Only an LLM needs `llm`."""

    task: str
    llm: LLMParams | None = None


class TeacherContext(NamedTuple):
    """What a teacher is given beside its own params. Only `hedges`, `templates` and `settings` shape its labels."""

    asking: AskingParams
    journal: Path  # folder of the store of paid answers
    answers: dy.DataFrame[Answers]  # from an earlier run, perhaps a colleague's
    hedges: Path | None = None  # file with the probabilities of hedges, for the rules teacher; None: labels have none
    templates: Templates | None = None  # files from which the rules teacher writes sentences; None: it writes none
    settings: Section | None = None  # the section synthesize.<teacher>; None: for one of the section `teachers`


def llm_params(task: str, p: TeacherParams, shared: Section | None) -> LLMParams:
    """Returns an LLM teacher's params for a task: `shared` (synthesize.llm) with the task's own values, or those of `teachers`.

    Raises:
        ParamsError: there are none, or the task's own values have an unknown or wrongly typed key.
    """
    if isinstance(p, TeachParams) and p.llm is not None:
        return p.llm
    if not isinstance(p, SynthesizeParams) or shared is None:
        raise ParamsError(f"the teacher llm for {task} needs a section `llm`; synthesize.llm of params.yaml shows it")
    return params.check(f"synthesize.{task}.llm", shared.model_dump() | (p.llm or {}), LLMParams)


def _llm(task: str, p: TeacherParams, context: TeacherContext) -> Teacher:
    from raddistill.teachers.llm.teacher import LLMTeacher  # openai takes a second to import

    stops_early = p.max_quarantine < 1  # at 1 the user accepts a run in which no report is labelled
    llm = llm_params(task, p, context.settings)
    return LLMTeacher(task, p.source, p.sections, llm, context.asking, context.journal, stops_early=stops_early)


def _combined(task: str, p: TeacherParams, context: TeacherContext) -> Teacher:
    if not isinstance(p, SynthesizeParams):
        raise ParamsError("the teacher combined cannot be one of `teachers`; it is for synthesize.<task>.teacher")
    return CombinedTeacher(task, Path(p.source), p.combine.how, p.combine.members)


TEACHERS: dict[str, Callable[[str, TeacherParams, TeacherContext], Teacher]] = {
    "rules": lambda task, p, context: RulesTeacher(task, p.source, p.sections, context.hedges, context.templates),
    "imported": lambda task, p, context: ImportedTeacher(task, p.source),
    "llm": _llm,
    "combined": _combined,
}


def settings_of(teacher: str) -> type[Section]:
    """Returns the class of the section synthesize.<teacher>, which only an LLM has keys for."""
    return LLMParams if teacher == "llm" else Section


class Synthesized(NamedTuple):
    """The tables of the stage and its metrics (numbers only).

    `whole_labels`: for a rules teacher that reads less than findings and impression, its labels if it read both; else empty. They
    are scored, to tell how much of a gain is due to more text. Nothing is trained on them.
    """

    labels: dy.DataFrame[Labels]
    evidence: dy.DataFrame[Evidence]
    outcomes: dy.DataFrame[Outcomes]
    quarantine: dy.DataFrame[Quarantine]
    answers: dy.DataFrame[Answers]
    written: dy.DataFrame[Written]
    whole_labels: dy.DataFrame[Labels]
    metrics: dict[str, Any]
    spending: dict[str, Any]


SCHEMAS: dict[str, type[dy.Schema]] = {
    "labels": Labels, "evidence": Evidence, "outcomes": Outcomes, "quarantine": Quarantine, "answers": Answers,
    "written": Written, "whole_labels": Labels,
}  # fmt: skip


def synthesize(
    task: str, p: TeacherParams, reports: dy.DataFrame[Reports], label_set: list[Label], context: TeacherContext
) -> Synthesized:
    """Labels `reports` (one row per report) for `task`. Reports that the teacher could not label are in quarantine, with reasons.

    Raises:
        ParamsError: unknown task or teacher.
        InputError: the teacher's source is missing or broken, or a larger share than p.max_quarantine of the reports to learn
            from is in quarantine; for an LLM, also whatever ends the run early.
    """
    if task not in TASKS:
        raise ParamsError(f"unknown task '{task}'; known: {', '.join(TASKS)}")
    if p.teacher not in TEACHERS:
        raise ParamsError(f"{task}: unknown teacher '{p.teacher}'; known: {', '.join(TEACHERS)}")
    if context.answers.height:
        _keep_answers(context)
    labelled = TEACHERS[p.teacher](task, p, context).label(reports, label_set)
    if isinstance(p, SynthesizeParams) and not p.noise.is_off:
        labelled = disturb(task, p.noise, labelled)
    assert labelled.outcomes["report_id"].sort().equals(reports["report_id"].sort()), (
        "a teacher must return one outcome per report"
    )
    _refuse_too_many(task, p, reports, labelled.outcomes)
    made = labelled._asdict() | {"whole_labels": _read_whole(task, p, reports, label_set, context)}
    checked: dict[str, Any] = {name: tables.check(schema, made[name], f"{name} of {task}") for name, schema in SCHEMAS.items()}
    return Synthesized(**checked, metrics=measure(task, labelled), spending=measure_spending(labelled.answers))


def _read_whole(
    task: str, p: TeacherParams, reports: pl.DataFrame, label_set: list[Label], context: TeacherContext
) -> pl.DataFrame:
    """Returns `Synthesized.whole_labels`."""
    if p.teacher != "rules":
        return Labels.create_empty()
    names, first_only = choose_sections(p.sections)
    if set(names) == set(SECTIONS) and not first_only:
        return Labels.create_empty()
    return RulesTeacher(task, p.source, list(SECTIONS), context.hedges).label(reports, label_set).labels


def _refuse_too_many(task: str, p: TeacherParams, reports: pl.DataFrame, outcomes: pl.DataFrame) -> None:
    """Raises InputError if too many of the reports to learn from are in quarantine. For the test split it only prints a warning.

    Nothing is learned from the test split's labels, and a second cohort may have none.
    """
    test_ids = reports.filter(pl.col("split").cast(pl.String) == "test")["report_id"].implode()
    for is_test, which in ((False, "to learn from"), (True, "of the test split")):
        asked = outcomes.filter(pl.col("report_id").is_in(test_ids) == is_test)
        unusable = asked.filter(pl.col("outcome") == "quarantined")
        complaint = quarantine_complaint(
            unusable, asked.height, p.max_quarantine, f"{which} could not be labelled", "max_quarantine"
        )
        if complaint and is_test:
            console.print(f"{task}: {complaint}; of these, what its file does not hold is left out of the teacher's scores")
        elif complaint:
            again = "run again for those without an answer, " if "no answer" in complaint else ""
            raise InputError(f"{task}: {complaint}; {again}mend {p.source} or raise that share")


def _keep_answers(context: TeacherContext) -> None:
    """Puts earlier answers into the store, whichever teacher runs now: this run replaces their table, and they were paid for."""
    from raddistill.llm_client.store import Store
    from raddistill.teachers.llm.tabulating import restored

    distinct = context.answers.unique("key", keep="first", maintain_order=True)  # reports may share one
    with Store(context.journal) as store:
        store.add(answer for answer in restored(distinct) if answer.key not in store)


def measure(task: str, labelled: Labelled) -> dict[str, Any]:
    """Returns counts of reports and labels: `quarantined` by reason; `present`, `uncertain` and `absent` reports by label."""
    outcomes, labels = labelled.outcomes, labelled.labels
    reasons = outcomes.filter(pl.col("outcome") == "quarantined").group_by("reason").len().sort("reason")
    n_labelled = outcomes.filter(pl.col("outcome") == "labelled").height
    metrics: dict[str, Any] = {
        "reports": outcomes.height,
        "labelled": n_labelled,
        "quarantined": dict(reasons.iter_rows()),
        **labelled.counts,
    }
    if task == MULTIPLE_CHOICE:
        counted = labels.group_by("label").agg(
            (pl.col("status") == status).sum().alias(status) for status in (PRESENT, UNCERTAIN, ABSENT)
        )
        return metrics | {"labels": {row.pop("label"): row for row in counted.sort("label").iter_rows(named=True)}}
    return metrics | {
        "distinct_phrases": labels["label"].n_unique(),
        "reports_with_findings": labels["report_id"].n_unique(),
        "findings_per_report": round(labels.height / n_labelled, 4) if n_labelled else None,
        **{status: labels.filter(pl.col("status") == status).height for status in (PRESENT, UNCERTAIN, ABSENT)},
    }


def measure_spending(answers: pl.DataFrame) -> dict[str, Any]:
    """Returns the sums of tokens and USD of the answers behind the labels, each answer once (reports may share one)."""
    paid = answers.unique("key").sort("key")  # sorted: sums of floats depend on the order
    return {
        "answers": paid.height,
        "answers_by_batch": paid.filter(pl.col("mode") == "batch").height,
        **{name: int(paid[name].sum()) for name in ("prompt_tokens", "cached_tokens", "completion_tokens")},
        "usd": round(float(paid["usd"].sum()), 6),
    }
