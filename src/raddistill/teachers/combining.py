"""Several teachers of one task, or several samples of one teacher, made into one.

A status claims more or less: unmentioned < absent < uncertain < present. Only who labelled a report has a say in it:

first         what the first member in the order of params says that labelled the report, as it is.
vote          multiple choice: present where more than half say so; absent or unmentioned where more than half say one of the two
              (whichever more say, absent if as many); else uncertain, so a tie is uncertain. Open-ended: present where more than
              half say so; uncertain where more than half say present or uncertain; absent likewise; else no finding.
union         the highest claim of any member.
intersection  the lowest claim of all members.
soft          the status of `vote`; probability is the mean of the members', who count 1 for present, 0.5 for uncertain and 0 for
              the rest where they give none (rules give that of a hedge that is graded).

But for `first`, the members' order decides nothing of multiple choice. Open-ended, who lists no such finding says `unmentioned`;
findings of two members are one, each at most once, where, tried in this order: their phrases are equal; their codes are of the
same category (three characters) and their evidence overlaps; their codes are equal. Such a finding goes by the phrase of the
first member that has it, and by the code that most give (of several such, the first member's).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from raddistill.errors import InputError, ParamsError
from raddistill.labelsets import Label
from raddistill.statuses import ABSENT, PRESENT, UNCERTAIN, UNMENTIONED
from raddistill.tables import base as tables
from raddistill.tables.evidence import Evidence
from raddistill.tables.labels import Labels
from raddistill.tables.outcomes import NOT_IN_FILE, UNKNOWN_BY_FILE, Outcomes
from raddistill.tables.quarantine import Quarantine
from raddistill.teachers import agreement
from raddistill.teachers.llm.findings import Finding
from raddistill.teachers.teacher import Labelled

HOWS = ("first", "vote", "union", "intersection", "soft")
UNLABELLED = "no member labelled it"
CLAIMS = [UNMENTIONED, ABSENT, UNCERTAIN, PRESENT]  # the lowest first
NONE, NO, MAYBE, YES = range(4)  # places in CLAIMS; -1 where a member has no say
WORTH = np.array([0.0, 0.0, 0.5, 1.0])  # probability that a label is present, by claim

Claims = npt.NDArray[np.int8]  # (members, cells), or (cells,) when decided; a cell is one label of one report
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class MemberTables(NamedTuple):
    """What one member says: `Labels`, `Evidence`, `Outcomes`."""

    labels: pl.DataFrame
    evidence: pl.DataFrame
    outcomes: pl.DataFrame


class CombinedTeacher:
    """Makes one teacher of `members`, whose tables lie in `folder`/<member>/{labels,evidence,outcomes}.parquet."""

    def __init__(self, task: str, folder: Path, how: str, members: list[str]) -> None:
        """Raises ParamsError: an unknown `how`, less than two members, or one of them named twice."""
        if how not in HOWS:
            raise ParamsError(f"unknown combination '{how}' of teachers for {task}; known: {', '.join(HOWS)}")
        if len(members) < 2 or len(set(members)) < len(members):
            raise ParamsError(f"a combination of teachers for {task} needs two or more members, each named once")
        self.name = f"combined:{how}"
        self._task, self._folder, self._how, self._members = task, folder, how, members

    def label(self, reports: pl.DataFrame, label_set: list[Label]) -> Labelled:
        """The four tables for `reports`; a report that no member labelled goes to quarantine.

        Raises:
            InputError: a member's table is missing, is of another task or of several teachers, or does not fit the label set.
            TableError: a member's table breaks its schema.
        """
        self._refuse_unknown()
        read = {}
        for member in self._members:
            folder = self._folder / member
            read[member] = MemberTables(
                tables.read(Labels, folder / "labels.parquet"),
                tables.read(Evidence, folder / "evidence.parquet"),
                tables.read(Outcomes, folder / "outcomes.parquet"),
            )
        return combine(self._task, self._how, read, reports, label_set)

    def _refuse_unknown(self) -> None:
        there = sorted(folder.name for folder in self._folder.iterdir() if folder.is_dir()) if self._folder.is_dir() else []
        for member in self._members:
            if member not in there:
                raise InputError(
                    f"{self._folder} has no teacher '{member}', which synthesize.{self._task}.combine.members names; there are: "
                    f"{', '.join(there) or 'none'}. Members are names of the section `teachers` with task: {self._task}"
                )


def combine(task: str, how: str, members: dict[str, MemberTables], reports: pl.DataFrame, label_set: list[Label]) -> Labelled:
    """The members' tables as those of one teacher named "combined:<how>", a row of outcomes for each of `reports`.

    Evidence is that of the members who say what was decided (of all, where that is `uncertain`), each span once; it goes by the
    combined teacher's name too. Labels have a probability with `soft`, and with `first` where the member gives one.

    Raises:
        InputError: a member's tables are of another task or of several teachers, or do not fit the label set.
    """
    for member, given in members.items():
        _refuse_misfits(task, member, given, label_set)
    ids = reports.select("report_id").with_row_index("report")
    has_say: Bools = np.stack([_holds(pl.col("outcome") == "labelled", given.outcomes, ids) for given in members.values()])
    unknown = pl.col("reason").is_in(UNKNOWN_BY_FILE)
    never_given: Bools = np.all([_holds(unknown, m.outcomes, ids) for m in members.values()], axis=0)
    rows = _stack([given.labels for given in members.values()], ids, has_say)
    evidence = _stack([given.evidence for given in members.values()], ids, has_say)
    place = _place_chosen if task == "multiple_choice" else _place_found
    rows, evidence, cells = place(rows, evidence, len(ids), label_set)
    claims = _claims(rows, cells, has_say)
    agreed = _agreement(task, rows, claims, has_say, list(members), label_set)
    if how == "first":
        claims[np.arange(len(members))[:, None] != has_say.argmax(axis=0)[cells["report"]]] = -1
        rows = rows.filter(claims[rows["member"], rows["cell"]] >= NONE)
    decided = decide(task, how, claims)
    labels = cells.with_columns(
        status=pl.Series(CLAIMS).gather(decided.clip(NONE)),
        probability=pl.Series(_probabilities(how, rows, claims)).fill_nan(None),
    ).filter(decided >= _lowest(task))
    named = _Namer(task, f"combined:{how}", ids)
    return Labelled(
        named.table(Labels, labels.join(_codes(rows), on="cell", how="left")),
        named.table(Evidence, _chosen_evidence(evidence, cells, claims, decided)),
        *_outcomes(named, ids, has_say, never_given),
        {"members": dict(zip(members, has_say.sum(axis=1).tolist(), strict=True)), "agreement": agreed},
    )


def vote_samples(task: str, samples: Sequence[Sequence[Finding]]) -> list[Finding]:
    """Self-consistency (Wang et al. 2023, arXiv 2203.11171): the `soft` combination of independent answers about one report.

    One finding a label (multiple choice, where every sample has all of them) or kept phrase. Its quote is that of the first
    sample that says what was decided, else (multiple choice, a tie) of the first of the highest claim.
    """
    assert samples, "no sample to vote on"
    if task == "multiple_choice":
        column = {found.label: number for number, found in enumerate(samples[0])}
        places = [[column[found.label] for found in sample] for sample in samples]
    else:
        spans = [[_said(found) for found in sample] for sample in samples]
        places = match(spans)
    claims = np.zeros((len(samples), 1 + max((max(at, default=-1) for at in places), default=-1)), dtype=np.int8)
    worth = np.zeros(claims.shape)
    found_at: list[list[tuple[int, Finding]]] = [[] for _ in range(claims.shape[1])]  # (claim, finding) a sample that has it
    for number, (sample, at) in enumerate(zip(samples, places, strict=True)):
        for found, cell in zip(sample, at, strict=True):
            claim = CLAIMS.index(found.status)
            claims[number, cell] = claim
            worth[number, cell] = WORTH[claim] if found.probability is None else found.probability
            found_at[cell].append((claim, found))
    decided = decide(task, "vote", claims)
    return [
        _voted(said, int(claim), float(mean))
        for said, claim, mean in zip(found_at, decided, worth.mean(axis=0), strict=True)
        if claim >= _lowest(task)
    ]


def decide(task: str, how: str, claims: Claims) -> Claims:
    """The members' claims (members, cells) to one a cell, (cells,); -1 where nobody has a say."""
    if how in ("first", "union"):
        return claims.max(axis=0)
    if how == "intersection":
        decided = np.where(claims < NONE, YES, claims).min(axis=0)
    else:
        n = (claims >= NONE).sum(axis=0)
        none, no, maybe, yes = ((claims == claim).sum(axis=0) for claim in (NONE, NO, MAYBE, YES))
        if task == "multiple_choice":
            negative = 2 * (no + none) > n
            decided = np.select([2 * yes > n, negative & (no >= none), negative], [YES, NO, NONE], MAYBE)
        else:
            decided = np.select([2 * yes > n, 2 * (yes + maybe) > n, 2 * no > n], [YES, MAYBE, NO], NONE)
    return np.where(claims.max(axis=0) < NONE, -1, decided).astype(np.int8)


class Said(NamedTuple):
    """An open-ended finding of one member, as it is matched with those of others. Spans: (start, end), end exclusive."""

    phrase: str
    code: str | None
    spans: list[tuple[int, int]]


def match(members: Sequence[Sequence[Said]]) -> list[list[int]]:
    """The findings of one report: for every member's findings, numbers that are equal where two members mean the same.

    Numbers count from 0 in the order in which findings first come. A finding goes by its first member's phrase, and by the
    codes and spans of all members so far, so that no two findings go by one phrase.
    """
    known: list[Said] = []
    codes: list[set[str]] = []
    numbers = []
    for said in members:
        at = _assign(said, known, codes)
        for place, each in enumerate(said):
            number = at.setdefault(place, len(known))
            if number == len(known):
                known.append(each._replace(spans=[]))
                codes.append(set())
            known[number].spans.extend(each.spans)
            codes[number] |= {each.code} if each.code else set()
        numbers.append([at[place] for place in range(len(said))])
    return numbers


def _assign(said: Sequence[Said], known: list[Said], codes: list[set[str]]) -> dict[int, int]:
    """Which of a member's findings (by place) is which known one (by number)."""
    tests: list[Callable[[Said, int], bool]] = [
        lambda each, number: each.phrase == known[number].phrase,
        lambda each, number: _category(each.code) in map(_category, codes[number]) and _overlap(each.spans, known[number].spans),
        lambda each, number: each.code in codes[number],
    ]
    at: dict[int, int] = {}
    free = list(range(len(known)))
    for same in tests:
        for place, each in enumerate(said):
            number = None if place in at else next((number for number in free if same(each, number)), None)
            if number is not None:
                at[place] = number
                free.remove(number)
    return at


def _category(code: str | None) -> str | None:
    return code[:3] if code else None


def _overlap(some: list[tuple[int, int]], others: list[tuple[int, int]]) -> bool:
    return any(start < other_end and other_start < end for start, end in some for other_start, other_end in others)


def _said(found: Finding) -> Said:
    return Said(found.label, found.code, [] if found.start is None or found.end is None else [(found.start, found.end)])


def _voted(said: list[tuple[int, Finding]], decided: int, probability: float) -> Finding:
    """The finding of all samples that have it."""
    quoted = next((found for claim, found in said if claim == decided), max(said, key=itemgetter(0))[1])
    codes = Counter(found.code for _, found in said if found.code)
    code = codes.most_common(1)[0][0] if codes else None  # of equally many, the first that came
    return quoted._replace(label=said[0][1].label, status=CLAIMS[decided], code=code, probability=probability)


def _refuse_misfits(task: str, member: str, given: MemberTables, label_set: list[Label]) -> None:
    for name, table in given._asdict().items():
        if table.filter(pl.col("task") != task).height:
            raise InputError(f"the {name} of member '{member}' are of another task than {task}; name a member made for it")
    if given.outcomes["report_id"].n_unique() < given.outcomes.height:
        raise InputError(f"the outcomes of member '{member}' are of several teachers; a member is one teacher")
    if task == "multiple_choice":
        names = [label.name for label in label_set]
        labelled = given.outcomes.filter(pl.col("outcome") == "labelled").select("report_id")
        cells = given.labels.select("report_id", "label").filter(pl.col("label").is_in(names)).join(labelled, "report_id", "semi")
        if not cells.height == given.labels.height == labelled.height * len(names):
            raise InputError(f"the labels of member '{member}' are not those of the label set, each once a report; label anew")


def _holds(what: pl.Expr, outcomes: pl.DataFrame, ids: pl.DataFrame) -> Bools:
    """Whether `what` holds of each report's outcome, (reports,)."""
    return ids["report_id"].is_in(outcomes.filter(what)["report_id"].implode()).to_numpy()


def _stack(given: list[pl.DataFrame], ids: pl.DataFrame, has_say: Bools) -> pl.DataFrame:
    """The members' tables one below the other, of the reports that they labelled; `member` and `report` are numbers."""
    frames = [
        table.drop("task", "teacher")
        .join(ids.filter(say), on="report_id")
        .drop("report_id")
        .with_columns(member=pl.lit(number, pl.Int64), report=pl.col("report").cast(pl.Int64))
        for number, (table, say) in enumerate(zip(given, has_say, strict=True))
    ]
    return pl.concat(frames)


def _place_chosen(
    rows: pl.DataFrame, evidence: pl.DataFrame, n_reports: int, label_set: list[Label]
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Multiple choice: rows and evidence with `cell`, and a row a cell: every label of every report."""
    names = pl.Series([label.name for label in label_set])
    cell = pl.col("report") * len(names) + pl.col("label").cast(pl.Enum(names)).to_physical()
    numbers = pl.select(cell=pl.int_range(n_reports * len(names)))
    label = names.gather(numbers["cell"] % len(names))
    cells = numbers.with_columns(report=pl.col("cell") // len(names), label=label)
    return rows.with_columns(cell=cell), evidence.with_columns(cell=cell), cells


def _place_found(
    rows: pl.DataFrame, evidence: pl.DataFrame, n_reports: int, label_set: list[Label]
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Open-ended: rows and evidence with `cell`, and a row a cell: every finding of every report, by its first phrase."""
    key = ["report", "member", "label"]
    spans = evidence.group_by(key).agg(pl.concat_list("start", "end").sort().alias("spans"))
    rows = rows.join(spans, on=key, how="left").sort("report", "member", pl.col("spans").list.first().list.first(), "label")
    told = rows.select("report", "member", "label", "code", "spans").iter_rows()
    rows = rows.drop("spans").with_columns(cell=pl.Series(_number(told), dtype=pl.Int64))
    cells = rows.unique("cell", keep="first", maintain_order=True).select("cell", "report", "label").sort("cell")
    return rows, evidence.join(rows.select(*key, "cell"), on=key), cells


def _number(told: Iterator[tuple[Any, ...]]) -> list[int]:
    """A cell for every finding (report, member, label, code, spans) in that order."""
    cells: list[int] = []
    after = 0
    for _, of_report in groupby(told, itemgetter(0)):
        members = [
            [Said(phrase, code, spans or []) for _, _, phrase, code, spans in of_member]
            for _, of_member in groupby(of_report, itemgetter(1))
        ]
        numbers = [number for of_member in match(members) for number in of_member]
        cells += [after + number for number in numbers]
        after += max(numbers) + 1
    return cells


def _claims(rows: pl.DataFrame, cells: pl.DataFrame, has_say: Bools) -> Claims:
    """(members, cells)."""
    claims = np.where(has_say[:, cells["report"]], NONE, -1).astype(np.int8)
    claims[rows["member"], rows["cell"]] = rows["status"].cast(pl.Enum(CLAIMS)).to_physical()
    return claims


def _probabilities(how: str, rows: pl.DataFrame, claims: Claims) -> Floats:
    """That each cell's label is present, (cells,); NaN where it is not told."""
    told = rows.filter(pl.col("probability").is_not_null())
    if how == "soft":
        worth = np.where(claims < NONE, 0.0, WORTH[claims])
        worth[told["member"], told["cell"]] = told["probability"]
        return worth.sum(axis=0) / np.maximum((claims >= NONE).sum(axis=0), 1)
    single = np.full(claims.shape[1], np.nan)
    if how == "first":
        single[told["cell"]] = told["probability"]
    return single


def _codes(rows: pl.DataFrame) -> pl.DataFrame:
    """Cell and code, where there is one."""
    counted = rows.filter(pl.col("code").is_not_null()).group_by("cell", "code").agg(pl.len(), pl.col("member").min())
    ranked = counted.sort("cell", -pl.col("len").cast(pl.Int64), "member", "code")
    return ranked.unique("cell", keep="first").select("cell", "code")


def _chosen_evidence(evidence: pl.DataFrame, cells: pl.DataFrame, claims: Claims, decided: Claims) -> pl.DataFrame:
    """Evidence of those who say what was decided, of all where that is uncertain; each span of a cell once, numbered.

    Where members differ on what a span says, who says there what was decided is kept, else the highest claim.
    """
    said, wanted = claims[evidence["member"], evidence["cell"]], decided[evidence["cell"]]
    claim = evidence["status"].cast(pl.Enum(CLAIMS)).to_physical().cast(pl.Int8)
    ranked = evidence.with_columns(differs=claim != pl.Series(wanted), falls_short=YES - claim)
    kept = ranked.filter((said > NONE) & ((said == wanted) | (wanted == MAYBE)))
    kept = kept.sort("cell", "start", "end", "differs", "falls_short", "member").drop("differs", "falls_short")
    once = kept.unique(["cell", "start", "end"], keep="first", maintain_order=True)
    numbered = once.with_columns(n=pl.int_range(pl.len()).over("cell"))
    return numbered.drop("label", "report").join(cells, on="cell")


class _Namer:
    """Gives rows their key back: the reports' ids, the task and the combined teacher's name."""

    def __init__(self, task: str, teacher: str, ids: pl.DataFrame) -> None:
        self._key = {"task": pl.lit(task), "teacher": pl.lit(teacher)}
        self._ids = ids["report_id"]

    def table(self, schema: Any, frame: pl.DataFrame) -> pl.DataFrame:
        """The columns of `schema`; `frame` has the number of each row's report."""
        named = frame.with_columns(report_id=self._ids.gather(frame["report"]), **self._key)
        return named.select(schema.create_empty().columns)


def _outcomes(named: _Namer, ids: pl.DataFrame, has_say: Bools, never_given: Bools) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`Outcomes` and `Quarantine`. What no member's file holds keeps that reason, as scoring leaves it out."""
    labelled: Bools = np.any(has_say, axis=0)
    reports = ids.select("report", outcome=pl.lit("labelled"), reason=pl.lit(None, pl.String), n=0, answer=None)
    reason = pl.when(pl.Series(never_given)).then(pl.lit(NOT_IN_FILE)).otherwise(pl.lit(UNLABELLED))
    without = reports.with_columns(outcome=pl.lit("quarantined"), reason=reason).filter(~labelled)
    return named.table(Outcomes, pl.concat([reports.filter(labelled), without])), named.table(Quarantine, without)


def _agreement(
    task: str, rows: pl.DataFrame, claims: Claims, has_say: Bools, members: list[str], label_set: list[Label]
) -> dict[str, Any]:
    """Multiple choice: on the four statuses, and on present or uncertain against the rest. Open-ended: on the codes' categories.

    A finding without a code goes by its phrase.
    """
    if task == "multiple_choice":
        names = [label.name for label in label_set]
        statuses = claims.reshape(*has_say.shape, len(names))
        found = np.where(statuses < NONE, -1, statuses >= MAYBE)
        return {
            "statuses": agreement.of_values(statuses, len(CLAIMS), members, names),
            "found": agreement.of_values(found, 2, members, names),
        }
    finding = pl.coalesce(pl.col("code").str.slice(0, 3), pl.col("label"))
    listed = rows.filter(pl.col("status").cast(pl.String).is_in([PRESENT, UNCERTAIN]))
    return agreement.of_findings(listed.select("member", "report", finding=finding).unique(), has_say, members)


def _lowest(task: str) -> int:
    """The lowest claim that has a row in the table of labels."""
    return NONE if task == "multiple_choice" else NO
