"""Combines several teachers (members) of one task into one.

Only members that labelled a report vote on it. `how` their labels are combined:

first         the labels of the first member in params that labelled the report, unchanged.
vote          the majority (rules: votes.decide; in multiple choice, a tie is uncertain).
union         the strongest status of any member: unmentioned < absent < uncertain < present.
intersection  the weakest status of any member.
soft          the status of `vote`, with the mean of the members' probabilities. A member without one counts 1 for present, 0.5
              for uncertain and 0 for the rest. (The rules teacher has one for a graded hedge.)

In multiple choice, the order of members matters for `first` only. In open-ended, a member that lacks a finding votes
`unmentioned`; votes.match decides which findings of two members are the same. The result has the phrase of the first member with
the finding, and the most frequent code (of several such, the first member's).
"""

from collections import defaultdict
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import dataframely as dy
import numpy as np
import polars as pl

from raddistill.errors import InputError, ParamsError
from raddistill.labelsets import Label
from raddistill.statuses import PRESENT, RANKED, UNCERTAIN, UNMENTIONED
from raddistill.tables import base as tables
from raddistill.tables.evidence import Evidence
from raddistill.tables.labels import Labels
from raddistill.tables.outcomes import NOT_IN_FILE, UNKNOWN_BY_FILE, Outcomes
from raddistill.tasks.names import MULTIPLE_CHOICE, OPEN_ENDED
from raddistill.teachers.teacher import Finding, Labelled, LabelRows, Mention
from raddistill.teachers.votes import agreement_of_findings, agreement_of_values, group, verdict_of

How = Literal["first", "vote", "union", "intersection", "soft"]
HOWS = get_args(How)
UNLABELLED = "no member labelled it"


class MemberTables(NamedTuple):
    """The tables of one member."""

    labels: dy.DataFrame[Labels]
    evidence: dy.DataFrame[Evidence]
    outcomes: dy.DataFrame[Outcomes]


class CombinedTeacher:
    """Combines `members`, whose tables are `folder`/<member>/{labels,evidence,outcomes}.parquet."""

    def __init__(self, task: str, folder: Path, how: How, members: list[str]) -> None:
        """
        Raises:
            ParamsError: there are fewer than two members, or one is named twice.
        """
        if len(members) < 2 or len(set(members)) < len(members):
            raise ParamsError(f"a combination of teachers for {task} needs two or more members, each named once")
        self.name = f"combined:{how}"
        self._task, self._folder, self._how, self._members = task, folder, how, members

    def label(self, reports: pl.DataFrame, label_set: list[Label]) -> Labelled:
        """Returns the four tables for `reports`; a report that no member labelled goes to quarantine.

        Raises:
            InputError: a member's table is missing, is for another task or of several teachers, or does not fit the label set.
            TableError: a member's table breaks its schema.
        """
        there = sorted(folder.name for folder in self._folder.glob("*/"))
        if missing := [member for member in self._members if member not in there]:
            raise InputError(
                f"{self._folder} has no teacher '{missing[0]}', which synthesize.{self._task}.combine.members names; there are: "
                f"{', '.join(there) or 'none'}. Members are names of the section `teachers` with task: {self._task}"
            )
        members = {
            member: MemberTables(
                tables.read(Labels, self._folder / member / "labels.parquet"),
                tables.read(Evidence, self._folder / member / "evidence.parquet"),
                tables.read(Outcomes, self._folder / member / "outcomes.parquet"),
            )
            for member in self._members
        }
        return combine(self._task, self._how, members, reports, label_set)


def combine(task: str, how: How, members: dict[str, MemberTables], reports: pl.DataFrame, label_set: list[Label]) -> Labelled:
    """Returns the tables of one teacher named "combined:<how>", with one outcome for each of `reports`.

    Evidence is that of the members with the status decided on (of all, if that is `uncertain`), each span once. Labels have a
    probability with `soft`, and with `first` if the member gives one.

    Raises:
        InputError: a member's tables are for another task or of several teachers, or do not fit the label set.
    """
    names = [label.name for label in label_set] if task == MULTIPLE_CHOICE else None
    for member, given in members.items():
        _refuse_misfits(task, member, given, names)
    listed = {member: _by_report(given) for member, given in members.items()}
    ids = reports["report_id"].to_list()
    in_no_file = set.intersection(*(_ids(given.outcomes, pl.col("reason").is_in(UNKNOWN_BY_FILE)) for given in members.values()))
    rows = LabelRows(task, f"combined:{how}")
    for report_id in ids:
        voters = [by_report[report_id] for by_report in listed.values() if report_id in by_report]
        if voters:
            rows.add(report_id, _combine_report(how, voters[:1] if how == "first" else voters, names))
        else:  # scoring leaves out reports that are in no file
            rows.put_aside(report_id, NOT_IN_FILE if report_id in in_no_file else UNLABELLED)
    n_labelled = {member: len(by_report.keys() & set(ids)) for member, by_report in listed.items()}
    return rows.labelled({"members": n_labelled, "agreement": _agreement(listed, ids, names)})


def _refuse_misfits(task: str, member: str, given: MemberTables, names: list[str] | None) -> None:
    for what, table in given._asdict().items():
        if table.filter(pl.col("task") != task).height:
            raise InputError(f"the {what} of member '{member}' are of another task than {task}; name a member made for it")
    if given.outcomes["report_id"].n_unique() < given.outcomes.height:
        raise InputError(f"the outcomes of member '{member}' are of several teachers; a member is one teacher")
    if names is not None:
        labelled = given.outcomes.filter(pl.col("outcome") == "labelled").select("report_id")
        cells = given.labels.select("report_id", "label").filter(pl.col("label").is_in(names)).join(labelled, "report_id", "semi")
        if not cells.height == given.labels.height == labelled.height * len(names):
            raise InputError(f"the labels of member '{member}' are not those of the label set, each once a report; label anew")


def _by_report(given: MemberTables) -> dict[str, list[Finding]]:
    """Returns a member's labels or phrases for each report that it labelled, in text order.

    Unmentioned labels without a probability are left out, since an unlisted label already counts as unmentioned.
    """
    mentions: dict[tuple[str, str], list[Mention]] = defaultdict(list)
    for report_id, label, *mention in given.evidence.select("report_id", "label", *Mention._fields).iter_rows():
        mentions[report_id, label].append(Mention(*mention))
    by_report: dict[str, list[Finding]] = {report_id: [] for report_id in _ids(given.outcomes, pl.col("outcome") == "labelled")}
    labels = given.labels.filter((pl.col("status") != UNMENTIONED) | pl.col("probability").is_not_null())
    for report_id, label, status, probability, code in labels.select("report_id", *Finding._fields[:-1]).iter_rows():
        if report_id in by_report:
            by_report[report_id].append(Finding(label, status, probability, code, mentions.get((report_id, label), [])))
    for found in by_report.values():
        found.sort(key=lambda each: (min((mention.start for mention in each.mentions), default=-1), each.label))
    return by_report


def _ids(outcomes: pl.DataFrame, condition: pl.Expr) -> set[str]:
    return set(outcomes.filter(condition)["report_id"])


def _combine_report(how: str, voters: list[list[Finding]], names: list[str] | None) -> list[Finding]:
    """Returns the findings of one report. `names`: the label set; None: open-ended."""
    task = OPEN_ENDED if names is None else MULTIPLE_CHOICE
    cells = {cell[0].label: cell for cell in group(task, voters)}  # open-ended: by the first voter's phrase
    findings = []
    for label in cells if names is None else names:
        given = cells.get(label, [])
        verdict = verdict_of(task, how, len(voters), label, given)
        if names is not None or verdict.status != UNMENTIONED:
            own = given[0].probability if how == "first" and given else None
            probability = verdict.probability if how == "soft" else own
            findings.append(verdict._replace(probability=probability, mentions=_chosen_mentions(verdict.status, given)))
    return findings


def _chosen_mentions(status: str, given: list[Finding]) -> list[Mention]:
    """Returns the mentions of the members with the status decided on (of all, if uncertain), each span once, in text order.

    If members give a span different statuses, the mention with the decided status is kept, else the strongest.
    """
    agree = [each for each in given if each.status != UNMENTIONED and status in (each.status, UNCERTAIN)]
    mentions = chain.from_iterable(each.mentions for each in agree)
    best_first = sorted(mentions, key=lambda m: (m.start, m.end, m.status != status, -RANKED.index(m.status)))
    return [next(of_span) for _, of_span in groupby(best_first, key=lambda m: (m.start, m.end))]


def _agreement(listed: dict[str, dict[str, list[Finding]]], ids: list[str], names: list[str] | None) -> dict[str, Any]:
    """Returns the members' agreement. Multiple choice: on the four statuses, and on found (present or uncertain) or not.

    Open-ended: on the categories of the codes; a finding without a code counts by its phrase.
    """
    members = list(listed)
    has_labelled = np.array([[report_id in listed[member] for report_id in ids] for member in members], dtype=bool)
    if names is None:
        found = {
            (number, report, each.code[:3] if each.code else each.label)
            for number, member in enumerate(members)
            for report, report_id in enumerate(ids)
            for each in listed[member].get(report_id, [])
            if each.status in (PRESENT, UNCERTAIN)
        }
        schema = {"member": pl.Int64, "report": pl.Int64, "finding": pl.String}
        return agreement_of_findings(pl.DataFrame(list(found), schema, orient="row"), has_labelled, members)
    statuses = np.repeat(np.where(has_labelled, 0, -1)[:, :, None], len(names), axis=2)
    for number, member in enumerate(members):
        for report, report_id in enumerate(ids):
            for each in listed[member].get(report_id, []):
                statuses[number, report, names.index(each.label)] = RANKED.index(each.status)
    found_or_not = np.where(statuses < 0, -1, statuses >= RANKED.index(UNCERTAIN))
    return {
        "statuses": agreement_of_values(statuses, len(RANKED), members, names),
        "found": agreement_of_values(found_or_not, 2, members, names),
    }
