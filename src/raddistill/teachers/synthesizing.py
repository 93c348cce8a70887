"""The stages `synthesize` and `teach`: a teacher, chosen by name, labels every report for one task. Never reads gold."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import dataframely as dy
import polars as pl
from rich.console import Console

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
from raddistill.tables.quarantine import Quarantine, too_many
from raddistill.tables.reports import Reports
from raddistill.tables.written import Written
from raddistill.teachers.combining import CombinedTeacher
from raddistill.teachers.imported import ImportedTeacher
from raddistill.teachers.llm.settings import LLMParams
from raddistill.teachers.noise import NoiseParams, disturb
from raddistill.teachers.rules.labeler import RulesTeacher
from raddistill.teachers.rules.writing import Templates
from raddistill.teachers.teacher import Labelled, Teacher

TASKS = ("multiple_choice", "open_ended")
console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)


class CombineParams(Section):
    """The section synthesize.<task>.combine: how the teachers named in `members` become one."""

    how: Literal["first", "vote", "union", "intersection", "soft"]
    members: list[str]  # keys of the section `teachers`


class TeacherParams(Section):
    """What every teacher is told."""

    teacher: str
    source: str
    sections: str | list[str]  # findings_and_impression | impression_else_findings | a list
    max_quarantine: float  # share of the reports to learn from (train and validation), 0 to 1


class SynthesizeParams(TeacherParams):
    """The section synthesize.<task>."""

    llm: LLMParams
    combine: CombineParams
    noise: NoiseParams


class TeachParams(TeacherParams):
    """The section teachers.<name>: one of several teachers of a task. A teacher that is no LLM needs no `llm`."""

    task: str
    llm: LLMParams | None = None


class Means(NamedTuple):
    """What teachers need beside their params. How others are asked shapes no label."""

    asking: AskingParams
    journal: Path  # folder of the answers that were paid for
    answers: dy.DataFrame[Answers]  # of an earlier run, perhaps a colleague's
    hedges: Path | None = None  # file that grades the rules teacher's cues of doubt; None: they are not graded
    templates: Templates | None = None  # files by which the rules teacher writes sentences; None: it writes none


def _llm(task: str, p: TeacherParams, means: Means) -> Teacher:
    from raddistill.teachers.llm.teacher import LLMTeacher  # openai takes a second to import

    llm = getattr(p, "llm", None)
    if llm is None:
        raise ParamsError(f"the teacher llm for {task} needs a section `llm`; synthesize.{task}.llm of params.yaml shows it")
    stops_early = p.max_quarantine < 1  # at 1 the user takes a run in which no report is labelled
    return LLMTeacher(task, p.source, p.sections, llm, means.asking, means.journal, stops_early=stops_early)


def _combined(task: str, p: TeacherParams, means: Means) -> Teacher:
    if not isinstance(p, SynthesizeParams):
        raise ParamsError("the teacher combined cannot be one of `teachers`; it is for synthesize.<task>.teacher")
    return CombinedTeacher(task, Path(p.source), p.combine.how, p.combine.members)


TEACHERS: dict[str, Callable[[str, TeacherParams, Means], Teacher]] = {
    "rules": lambda task, p, means: RulesTeacher(task, p.source, p.sections, means.hedges, means.templates),
    "imported": lambda task, p, means: ImportedTeacher(task, p.source),
    "llm": _llm,
    "combined": _combined,
}


class Synthesized(NamedTuple):
    """The tables of the stage and its metrics (numbers only).

    `whole`: what the same teacher says where it reads findings and impression; empty unless it is a rules teacher that is told to
    read less. It is a row of the results beside the teacher, so that what a gain owes to the scope of text is told apart from
    what it owes to the model. Nothing is trained on it.
    """

    labels: dy.DataFrame[Labels]
    evidence: dy.DataFrame[Evidence]
    outcomes: dy.DataFrame[Outcomes]
    quarantine: dy.DataFrame[Quarantine]
    answers: dy.DataFrame[Answers]
    written: dy.DataFrame[Written]
    whole: dy.DataFrame[Labels]
    metrics: dict[str, Any]
    spending: dict[str, Any]


def synthesize(task: str, p: TeacherParams, reports: dy.DataFrame[Reports], label_set: list[Label], means: Means) -> Synthesized:
    """Labels `reports` (a row each) for `task`; what the teacher could not label is in quarantine, with the reason.

    Raises:
        ParamsError: unknown task or teacher.
        InputError: the teacher's source is missing or broken, or a larger share than p.max_quarantine of the reports to learn
            from is in quarantine; of a teacher that asks others, also all that ends the asking early.
    """
    if task not in TASKS:
        raise ParamsError(f"unknown task '{task}'; known: {', '.join(TASKS)}")
    if p.teacher not in TEACHERS:
        raise ParamsError(f"{task}: unknown teacher '{p.teacher}'; known: {', '.join(TEACHERS)}")
    if means.answers.height:
        _keep(means)
    labelled = TEACHERS[p.teacher](task, p, means).label(reports, label_set)
    if isinstance(p, SynthesizeParams) and not p.noise.is_off:
        labelled = disturb(task, p.noise, labelled)
    outcomes = tables.check(Outcomes, labelled.outcomes, f"outcomes of {task}")
    assert outcomes["report_id"].sort().equals(reports["report_id"].sort()), "a teacher must return one outcome a report"
    _refuse_too_many(task, p, reports, outcomes)
    answers = tables.check(
        Answers, Answers.create_empty() if labelled.answers is None else labelled.answers, f"answers of {task}"
    )
    return Synthesized(
        tables.check(Labels, labelled.labels, f"labels of {task}"),
        tables.check(Evidence, labelled.evidence, f"evidence of {task}"),
        outcomes,
        tables.check(Quarantine, labelled.quarantine, f"quarantine of {task}"),
        answers,
        tables.check(
            Written, Written.create_empty() if labelled.written is None else labelled.written, f"written sentences of {task}"
        ),
        tables.check(Labels, _read_whole(task, p, reports, label_set, means), f"labels of whole reports of {task}"),
        measure(task, labelled),
        measure_spending(answers),
    )


def _read_whole(task: str, p: TeacherParams, reports: pl.DataFrame, label_set: list[Label], means: Means) -> pl.DataFrame:
    """`Synthesized.whole`."""
    if p.teacher != "rules":
        return Labels.create_empty()
    names, first_only = choose_sections(p.sections)
    if set(names) == set(SECTIONS) and not first_only:
        return Labels.create_empty()
    return RulesTeacher(task, p.source, list(SECTIONS), means.hedges).label(reports, label_set).labels


def _refuse_too_many(task: str, p: TeacherParams, reports: pl.DataFrame, outcomes: pl.DataFrame) -> None:
    """Raises InputError if too many of the reports to learn from are in quarantine.

    Too many of the test split are only told: nothing is learned from their labels, and there may be none, as of a second cohort.
    """
    tested = reports.filter(pl.col("split").cast(pl.String) == "test")["report_id"].implode()
    for is_test, which in ((False, "to learn from"), (True, "of the test split")):
        asked = outcomes.filter(pl.col("report_id").is_in(tested) == is_test)
        unusable = asked.filter(pl.col("outcome") == "quarantined")
        complaint = too_many(unusable, asked.height, p.max_quarantine, f"{which} could not be labelled", "max_quarantine")
        if complaint and is_test:
            console.print(f"{task}: {complaint}; of these, what its file does not hold is left out of the teacher's scores")
        elif complaint:
            again = "run again for those without an answer, " if "no answer" in complaint else ""
            raise InputError(f"{task}: {complaint}; {again}mend {p.source} or raise that share")


def _keep(means: Means) -> None:
    """Earlier answers go into the store, whoever teaches now: this run replaces their table, and they were paid for."""
    from raddistill.llm_client.store import Store
    from raddistill.teachers.llm.tabulating import restored

    each_once = means.answers.unique("key", keep="first", maintain_order=True)  # reports may share one
    with Store(means.journal) as store:
        store.add(answer for answer in restored(each_once) if answer.key not in store)


def measure(task: str, labelled: Labelled) -> dict[str, Any]:
    """Counts of reports and labels. `quarantined` counts by reason; `present`, `uncertain`, `absent` count reports by label."""
    outcomes, labels = labelled.outcomes, labelled.labels
    reasons = outcomes.filter(pl.col("outcome") == "quarantined").group_by("reason").len().sort("reason")
    n_labelled = outcomes.filter(pl.col("outcome") == "labelled").height
    metrics: dict[str, Any] = {
        "reports": outcomes.height,
        "labelled": n_labelled,
        "quarantined": dict(reasons.iter_rows()),
        **labelled.counts,
    }
    if task == "multiple_choice":
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
    """What these labels cost: tokens and USD of the answers behind them, each paid answer once (reports may share one)."""
    paid = answers.unique("key").sort("key")  # sorted: sums of floats depend on the order
    sums = {name: int(paid[name].sum()) for name in ("prompt_tokens", "cached_tokens", "completion_tokens")}
    return {
        "answers": paid.height,
        "answers_by_batch": paid.filter(pl.col("mode") == "batch").height,
        **sums,
        "usd": round(float(paid["usd"].sum()), 6),
    }
