"""Several teachers made into one: the rules cell by cell, who has a say, which findings are one, and what becomes of evidence."""

from itertools import permutations, product

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raddistill import params
from raddistill.errors import InputError, ParamsError
from raddistill.labelsets import Label
from raddistill.statuses import ABSENT, PRESENT, RANKED, STATUSES, UNCERTAIN, UNMENTIONED
from raddistill.tables import base as tables
from raddistill.tables.evidence import Evidence
from raddistill.tables.labels import Labels
from raddistill.tables.outcomes import NOT_IN_FILE, ROWS_DIFFER, Outcomes
from raddistill.tables.quarantine import Quarantine
from raddistill.teachers.combined.teacher import HOWS, UNLABELLED, CombinedTeacher, MemberTables, combine
from raddistill.teachers.synthesizing import CombineParams
from raddistill.teachers.teacher import Finding, Mention
from raddistill.teachers.votes import decide, match, vote_samples

TASKS = ("multiple_choice", "open_ended")
LETTERS = {"p": PRESENT, "u": UNCERTAIN, "a": ABSENT, "-": UNMENTIONED}
LABELS = [Label(name="Edema", description=""), Label(name="Pleural Effusion", description="")]
REPORTS = pl.DataFrame({"report_id": ["r1", "r2"]})


def decided(task, how, said):
    """The letter of what is decided; a dot has no say."""
    votes = [LETTERS[letter] for letter in said if letter != "."]
    return next(letter for letter, status in LETTERS.items() if status == decide(task, how, votes)) if votes else "."


@pytest.mark.parametrize(
    ("said", "voted", "listed", "union", "intersection"),
    [  # vote of multiple choice, vote of open-ended, and the two that are equal for both
        ("ppp", "p", "p", "p", "p"),
        ("ppa", "p", "p", "p", "a"),
        ("pp-", "p", "p", "p", "-"),
        ("pua", "u", "u", "p", "a"),
        ("pu-", "u", "u", "p", "-"),
        ("puu", "u", "u", "p", "u"),
        ("ppu", "p", "p", "p", "u"),
        ("pa-", "a", "-", "p", "-"),
        ("p--", "-", "-", "p", "-"),
        ("uaa", "a", "a", "u", "a"),
        ("aa-", "a", "a", "a", "-"),
        ("a--", "-", "-", "a", "-"),
        ("---", "-", "-", "-", "-"),
        ("pa", "u", "-", "p", "a"),
        ("p-", "u", "-", "p", "-"),
        ("u-", "u", "-", "u", "-"),
        ("pu", "u", "u", "p", "u"),
        ("a-", "a", "-", "a", "-"),
        ("ppua", "u", "u", "p", "a"),
        ("ppa-", "u", "-", "p", "-"),
        ("p.", "p", "p", "p", "p"),
        (".a-", "a", "-", "a", "-"),
        ("..", ".", ".", ".", "."),
    ],
)
def test_what_is_decided(said, voted, listed, union, intersection):
    for order in permutations(said):
        assert decided("multiple_choice", "vote", order) == voted
        assert decided("open_ended", "vote", order) == listed
        for task in TASKS:
            assert decided(task, "soft", order) == decided(task, "vote", order)
            assert decided(task, "union", order) == union
            assert decided(task, "intersection", order) == intersection


def test_rules_of_any_four_members():
    """A member without a say changes nothing, agreement stands, and a vote lies between intersection and union."""
    height = dict(zip(".-aup", range(5), strict=True))
    for said in product("pua-.", repeat=4):
        for task, how in product(TASKS, HOWS[1:]):
            assert decided(task, how, said) == decided(task, how, [letter for letter in said if letter != "."] or ".")
            assert len(set(said)) > 1 or decided(task, how, said) == said[0]
        low, middle, high = (height[decided("multiple_choice", how, said)] for how in ("intersection", "vote", "union"))
        assert low <= middle <= high
        assert height[decided("open_ended", "vote", said)] <= high


def member(name, task, statuses, *, labelled=None, probability=None, code=None, spans=None):
    """Tables of {(report, label): letter}; reports without a row are labelled where `labelled` names them.

    A span is (start, end), or (start, end, letter) where the mention says other than the report.
    """
    key = {"task": task, "teacher": name}
    given = [(r, name_) for r, name_ in statuses]
    rows = [
        {"report_id": r, **key, "label": name_, "status": LETTERS[statuses[r, name_]],
         "probability": (probability or {}).get((r, name_)), "code": (code or {}).get((r, name_))}
        for r, name_ in given
    ]  # fmt: skip
    labelled = {r for r, _ in given} if labelled is None else labelled
    outcomes = [{"report_id": r, **key, "outcome": "labelled", "reason": None} for r in sorted(labelled)]
    evidence = [
        {"report_id": r, **key, "label": name_, "n": n, "section": "findings", "start": start, "end": end, "cue": name,
         "status": LETTERS[said[0] if said else statuses[r, name_]], "probability": None}
        for (r, name_), places in (spans or {}).items()
        for n, (start, end, *said) in enumerate(places)
    ]  # fmt: skip
    return MemberTables(*(
        tables.check(schema, pl.DataFrame(content, schema=schema.create_empty().schema), name)
        for schema, content in ((Labels, rows), (Evidence, evidence), (Outcomes, outcomes))
    ))  # fmt: skip


def chosen(**letters):
    """{"r1": "pa"}: the statuses of the label set's labels, a report each."""
    return {(r, label.name): letter for r, said in letters.items() for label, letter in zip(LABELS, said, strict=True)}


def cells(made, column="status"):
    return {(row["report_id"], row["label"]): row[column] for row in made.labels.iter_rows(named=True)}


def combined(task, how, *members, reports=REPORTS):
    made = combine(task, how, {f"m{n}": each for n, each in enumerate(members)}, reports, LABELS)
    for schema, table in zip((Labels, Evidence, Outcomes, Quarantine), made, strict=False):
        tables.check(schema, table, "made")
        assert set(table["teacher"] if "teacher" in table.columns else []) <= {f"combined:{how}"}
    assert made.outcomes["report_id"].sort().equals(reports["report_id"].sort())
    return made


def spans_of(made):
    columns = made.evidence.sort("report_id", "label", "n")
    return [
        (r, label, n, start, cue) for r, label, n, start, cue in columns.select("report_id", "label", "n", "start", "cue").rows()
    ]


@pytest.mark.parametrize("how", HOWS)
def test_only_members_that_labelled_a_report_have_a_say(how):
    a = member("a", "multiple_choice", chosen(r1="pa"))
    b = member("b", "multiple_choice", chosen(r2="-u", gone="pp"))
    made = combined("multiple_choice", how, a, b, reports=pl.DataFrame({"report_id": ["r0", "r1", "r2"]}))
    assert cells(made) == {
        ("r1", "Edema"): PRESENT, ("r1", "Pleural Effusion"): ABSENT,
        ("r2", "Edema"): UNMENTIONED, ("r2", "Pleural Effusion"): UNCERTAIN,
    }  # fmt: skip
    assert dict(made.outcomes.select("report_id", "outcome").rows()) == {"r0": "quarantined", "r1": "labelled", "r2": "labelled"}
    assert made.quarantine.rows() == [("r0", 0, UNLABELLED, None)]
    assert made.counts["members"] == {"m0": 1, "m1": 1}


def test_what_no_members_file_holds_keeps_that_reason():
    """Else scoring takes it for something that the teacher was asked and could not say: a gain over nothing."""
    silent = [
        pl.DataFrame({"report_id": ["r1", "r2"], "task": "multiple_choice", "teacher": name, "outcome": "quarantined",
                      "reason": reasons})
        for name, reasons in (("a", [ROWS_DIFFER, NOT_IN_FILE]), ("b", [NOT_IN_FILE, "no answer"]))
    ]  # fmt: skip
    a, b = (member(str(n), "multiple_choice", {})._replace(outcomes=table) for n, table in enumerate(silent))
    made = combined("multiple_choice", "vote", a, b)
    assert dict(made.outcomes.select("report_id", "reason").rows()) == {"r1": NOT_IN_FILE, "r2": UNLABELLED}


def test_first_takes_a_whole_report_from_one_member():
    a = member("a", "multiple_choice", chosen(r2="-a"), spans={("r2", "Pleural Effusion"): [(3, 9)]})
    b = member(
        "b", "multiple_choice", chosen(r1="up", r2="pp"),
        probability={("r1", "Edema"): 0.4}, spans={("r1", "Edema"): [(1, 5)], ("r2", "Edema"): [(2, 6)]},
    )  # fmt: skip
    made = combined("multiple_choice", "first", a, b)
    assert cells(made) == {
        ("r1", "Edema"): UNCERTAIN, ("r1", "Pleural Effusion"): PRESENT,
        ("r2", "Edema"): UNMENTIONED, ("r2", "Pleural Effusion"): ABSENT,
    }  # fmt: skip
    assert cells(made, "probability")["r1", "Edema"] == 0.4
    assert made.labels["probability"].null_count() == 3
    assert spans_of(made) == [("r1", "Edema", 0, 1, "b"), ("r2", "Pleural Effusion", 0, 3, "a")]


def test_soft_is_the_mean_of_probabilities_and_of_what_statuses_are_worth():
    a = member("a", "multiple_choice", chosen(r1="pa", r2="u-"), probability={("r1", "Edema"): 0.7})
    b = member("b", "multiple_choice", chosen(r1="u-"))
    made = combined("multiple_choice", "soft", a, b)
    assert cells(made, "probability") == pytest.approx({
        ("r1", "Edema"): 0.6, ("r1", "Pleural Effusion"): 0.0, ("r2", "Edema"): 0.5, ("r2", "Pleural Effusion"): 0.0,
    })  # fmt: skip
    assert cells(made)["r1", "Edema"] == UNCERTAIN
    for how in ("vote", "union", "intersection"):
        assert combined("multiple_choice", how, a, b).labels["probability"].null_count() == 4


def test_evidence_is_of_those_who_say_so_and_of_all_where_it_is_uncertain():
    """r1: a says present and b absent; r2: both say present, with one span in common."""
    edema = [("r1", "Edema"), ("r2", "Edema")]
    a = member("a", "multiple_choice", chosen(r1="p-", r2="p-"), spans={edema[0]: [(10, 15)], edema[1]: [(20, 25), (2, 7)]})
    b = member("b", "multiple_choice", chosen(r1="a-", r2="p-"), spans={edema[0]: [(0, 8)], edema[1]: [(20, 25), (20, 30)]})
    both = [("r2", "Edema", 0, 2, "a"), ("r2", "Edema", 1, 20, "a"), ("r2", "Edema", 2, 20, "b")]
    assert spans_of(combined("multiple_choice", "union", a, b)) == [("r1", "Edema", 0, 10, "a"), *both]
    assert spans_of(combined("multiple_choice", "intersection", a, b)) == [("r1", "Edema", 0, 0, "b"), *both]
    told = [("r1", "Edema", 0, 0, "b"), ("r1", "Edema", 1, 10, "a"), *both]
    assert spans_of(combined("multiple_choice", "vote", a, b)) == told


def test_a_span_on_which_members_differ_says_what_was_decided():
    """Both call the report's edema present; of the span in common one says absent, or another is in doubt."""
    key = ("r1", "Edema")
    for letters in permutations("pua", 2):
        a, b = (member(x, "multiple_choice", chosen(r1="p-"), spans={key: [(2, 7, x)]}) for x in letters)
        (said,) = combined("multiple_choice", "union", a, b).evidence["status"].to_list()
        assert said == (PRESENT if "p" in letters else UNCERTAIN)
    a = member("a", "multiple_choice", chosen(r1="u-"), spans={key: [(2, 7)]})
    b = member("b", "multiple_choice", chosen(r1="p-"), spans={key: [(2, 7)]})
    assert combined("multiple_choice", "vote", a, b).evidence.select("status", "cue").rows() == [(UNCERTAIN, "a")]


def test_a_graded_hedge_counts_what_it_is_worth():
    rules = member("rules", "multiple_choice", chosen(r1="u-"), probability={("r1", "Edema"): 0.75})
    llm = member("llm", "multiple_choice", chosen(r1="p-"))
    assert cells(combined("multiple_choice", "soft", rules, llm), "probability")["r1", "Edema"] == 0.875
    assert cells(combined("multiple_choice", "vote", rules, llm))["r1", "Edema"] == UNCERTAIN


def test_agreement_is_counted_before_anything_is_combined():
    a = member("a", "multiple_choice", chosen(r1="pa", r2="a-"))
    b = member("b", "multiple_choice", chosen(r1="u-", r2="a-"))
    told = combined("multiple_choice", "first", a, b).counts["agreement"]
    statuses, found = told["statuses"]["labels"], told["found"]["labels"]
    assert statuses["Edema"]["pairs"]["m0 & m1"] == {"reports": 2, "same": 0.5, "kappa": 0.3333}  # by chance a quarter
    assert found["Edema"]["pairs"]["m0 & m1"] == {"reports": 2, "same": 1.0, "kappa": 1.0}
    assert found["Pleural Effusion"]["alpha"] is None
    assert statuses["Pleural Effusion"]["pairs"]["m0 & m1"]["same"] == 0.5


FOUND = "open_ended"


def test_findings_that_are_one_go_by_the_first_phrase_and_the_commonest_code():
    a = member("a", FOUND, {("r1", "left effusion"): "p"}, code={("r1", "left effusion"): "J90"},
               spans={("r1", "left effusion"): [(5, 18)]})  # fmt: skip
    b = member("b", FOUND, {("r1", "small left effusion"): "p", ("r1", "scoliosis"): "u"},
               code={("r1", "small left effusion"): "J90.0", ("r1", "scoliosis"): "M41.9"},
               spans={("r1", "small left effusion"): [(0, 18)], ("r1", "scoliosis"): [(30, 39)]})  # fmt: skip
    c = member("c", FOUND, {("r1", "effusion"): "u"}, code={("r1", "effusion"): "J90.0"}, spans={("r1", "effusion"): [(10, 18)]})
    union = combined(FOUND, "union", a, b, c)
    assert cells(union) == {("r1", "left effusion"): PRESENT, ("r1", "scoliosis"): UNCERTAIN}
    assert cells(union, "code") == {("r1", "left effusion"): "J90.0", ("r1", "scoliosis"): "M41.9"}
    assert spans_of(union) == [
        ("r1", "left effusion", 0, 0, "b"), ("r1", "left effusion", 1, 5, "a"), ("r1", "scoliosis", 0, 30, "b"),
    ]  # fmt: skip
    assert dict(union.outcomes.select("report_id", "outcome").rows()) == {"r1": "labelled", "r2": "quarantined"}
    assert cells(combined(FOUND, "vote", a, b, c)) == {("r1", "left effusion"): PRESENT}
    soft = combined(FOUND, "soft", a, b, c)
    assert cells(soft, "probability") == pytest.approx({("r1", "left effusion"): 2.5 / 3})
    assert cells(combined(FOUND, "intersection", a, b, c)) == {("r1", "left effusion"): UNCERTAIN}
    pairs = union.counts["agreement"]["pairs"]
    assert [pair["f1"] for pair in pairs.values()] == [0.6667, 1.0, 0.6667]


@pytest.mark.parametrize("how", HOWS)
def test_a_report_in_which_nobody_finds_anything_is_labelled(how):
    a, b = (member(name, FOUND, {}, labelled={"r1"}) for name in "ab")
    made = combined(FOUND, how, a, b)
    assert made.labels.height == made.evidence.height == 0
    assert made.outcomes.filter(outcome="labelled")["report_id"].to_list() == ["r1"]


def test_a_member_that_found_nothing_votes_too_and_first_asks_nobody_else():
    nothing = member("a", FOUND, {}, labelled={"r1"})
    b = member("b", FOUND, {("r1", "nodule"): "p", ("r2", "nodule"): "p"}, probability={("r2", "nodule"): 0.8})
    assert cells(combined(FOUND, "vote", nothing, b)) == {("r2", "nodule"): PRESENT}
    first = combined(FOUND, "first", nothing, b)
    assert cells(first, "probability") == {("r2", "nodule"): 0.8}
    assert cells(combined(FOUND, "union", nothing, b)) == {("r1", "nodule"): PRESENT, ("r2", "nodule"): PRESENT}


def test_first_takes_nothing_of_a_finding_from_others():
    key = ("r1", "nodule")
    a = member("a", FOUND, {key: "u"}, code={key: "R91.1"}, spans={key: [(3, 9)]})
    b, c = (
        member(name, FOUND, {key: "p"}, code={key: "R91.8"}, probability={key: 0.9}, spans={key: [(20, 26)]}) for name in "bc"
    )
    first = combined(FOUND, "first", a, b, c)
    assert first.labels.select("label", "status", "probability", "code").rows() == [("nodule", UNCERTAIN, None, "R91.1")]
    assert spans_of(first) == [("r1", "nodule", 0, 3, "a")]


def test_rows_of_a_report_that_the_member_did_not_label_count_for_nothing():
    a = member("a", FOUND, {("r1", "nodule"): "p", ("r2", "nodule"): "p"}, labelled={"r1"})
    b = member("b", FOUND, {}, labelled={"r1", "r2"})
    assert cells(combined(FOUND, "union", a, b)) == {("r1", "nodule"): PRESENT}


def phrase(label, code, spans):
    return Finding(label, PRESENT, None, code, [Mention("findings", start, end, None, PRESENT, None) for start, end in spans])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (phrase("nodule", "R91.1", [(0, 6)]), phrase("nodule", "J98.4", [(50, 56)]), True),  # the phrase
        (phrase("opacity", "J98.4", [(0, 7)]), phrase("dense opacity", "J98.8", [(0, 13)]), True),  # category and place
        (phrase("opacity", "J98.4", [(0, 7)]), phrase("pneumonia", "J18.9", [(0, 7)]), False),  # the place alone
        (phrase("opacity", "J98.4", [(0, 7)]), phrase("scarring", "J98.8", [(7, 15)]), False),  # the category alone
        (phrase("opacity", "J98.4", [(0, 7)]), phrase("airspace disease", "J98.4", [(40, 56)]), True),  # the code
        (phrase("opacity", None, [(0, 7)]), phrase("haze", None, [(0, 7)]), False),  # no code is no equal code
        (phrase("opacity", "J98.4", []), phrase("haze", "J98.4", []), True),
    ],
)
def test_which_findings_are_one(one, other, same):
    assert match([[one], [other]]) == [[0], [0 if same else 1]]
    assert match([[other], [one]]) == [[0], [0 if same else 1]]


def test_each_finding_of_a_member_is_matched_once_and_the_better_match_first():
    left, right = phrase("left granuloma", "J84.1", [(0, 14)]), phrase("right granuloma", "J84.1", [(30, 45)])
    assert match([[left, right], [phrase("granuloma", "J84.1", [(36, 45)])]]) == [[0, 1], [1]]
    assert match([[left, right], [phrase("granuloma", "J84.1", [(36, 45)]), left]]) == [[0, 1], [1, 0]]
    assert match([[phrase("granuloma", "J84.1", [])], [left, right]]) == [[0], [0, 1]]
    third = phrase("calcified granuloma", "J84.1", [(26, 45)])
    assert match([[phrase("granuloma", "J84.1", [])], [right], [left, third]]) == [[0], [0], [1, 0]]


words = st.sampled_from(["nodule", "mass", "opacity", "effusion"])
codes = st.sampled_from([None, "R91.1", "R91.8", "J98.4", "J90"])
places = st.tuples(st.integers(0, 40), st.integers(1, 12)).map(lambda at: (at[0], at[0] + at[1]))
phrase_votes = st.builds(phrase, words, codes, st.lists(places, max_size=2))
findings = st.lists(phrase_votes, max_size=4, unique_by=lambda each: each.label)


@settings(deadline=None)
@given(st.lists(findings, min_size=1, max_size=4))
def test_numbers_of_findings(members):
    numbers = match(members)
    assert [len(at) for at in numbers] == [len(said) for said in members]
    assert all(len(set(at)) == len(at) for at in numbers)
    in_order = list(dict.fromkeys(number for at in numbers for number in at))
    assert in_order == sorted(in_order) == list(range(len(in_order)))
    phrases = {}
    for said, at in zip(members, numbers, strict=True):
        for each, number in zip(said, at, strict=True):
            phrases.setdefault(number, each.label)
    assert len(set(phrases.values())) == len(phrases)
    assert match([members[0]] * 3) == [numbers[0]] * 3


def finding(label, letter, start=None, code=None, probability=None):
    mentions = [] if start is None else [Mention("findings", start, start + len(label), None, LETTERS[letter], None)]
    return Finding(label, LETTERS[letter], probability, code, mentions)


def told(found):
    """All of a finding, with the place of its quote."""
    (at,) = [(m.section, m.start, m.end) for m in found.mentions] or [(None, None, None)]
    return (found.label, found.status, *at, found.code, found.probability)


def test_samples_of_multiple_choice():
    """A tie of present and absent takes the quote of what was said to be present."""
    samples = [
        [finding("Edema", "a", 9), finding("Pleural Effusion", "p", 30), finding("Fracture", "-")],
        [finding("Pleural Effusion", "p", 40), finding("Edema", "p", 5), finding("Fracture", "-")],
    ]
    assert list(map(told, vote_samples("multiple_choice", samples))) == [
        ("Edema", UNCERTAIN, "findings", 5, 10, None, 0.5),
        ("Pleural Effusion", PRESENT, "findings", 30, 46, None, 1.0),
        ("Fracture", UNMENTIONED, None, None, None, None, 0.0),
    ]


def test_samples_with_probabilities_of_their_own():
    samples = [
        [finding("Edema", "p", 1, probability=0.9)],
        [finding("Edema", "u", 1)],
        [finding("Edema", "p", 1, probability=0.7)],
    ]
    (voted,) = vote_samples("multiple_choice", samples)
    assert (voted.status, voted.probability) == (PRESENT, pytest.approx(0.7))


def test_samples_of_open_ended():
    samples = [
        [finding("effusion", "u", 10, "J90"), finding("nodule", "p", 60, "R91.1")],
        [finding("left effusion", "p", 5, "J90")],
        [finding("left effusion", "p", 5, "J90"), finding("scoliosis", "p", 80, "M41.9")],
    ]
    (voted,) = vote_samples("open_ended", samples)
    assert told(voted) == ("effusion", PRESENT, "findings", 5, 18, "J90", pytest.approx(2.5 / 3))
    assert vote_samples("open_ended", [[], [finding("nodule", "p", 0, "R91.1")]]) == []
    assert vote_samples("open_ended", [[], []]) == []
    assert vote_samples("open_ended", samples[1:2]) == [samples[1][0]._replace(probability=1.0)]


@pytest.mark.parametrize(("codes", "common"), [("J90 J90 J94.8", "J90"), ("J94.8 J90 J90", "J90"), ("J94.8 J90", "J94.8")])
def test_the_commonest_code_of_the_samples_counts_and_of_two_the_first(codes, common):
    (voted,) = vote_samples("open_ended", [[finding("effusion", "p", 0, code)] for code in codes.split()])
    assert voted.code == common


statuses = st.sampled_from("pua-")
chances = st.none() | st.sampled_from([0.0, 0.25, 0.5, 1.0])
said_of_open = st.lists(
    st.builds(finding, words, st.sampled_from("pua"), st.integers(0, 40), codes, chances), max_size=4, unique_by=lambda f: f.label
).map(lambda found: sorted(found, key=lambda f: (f.mentions[0].start, f.label)))
said_of_chosen = st.tuples(
    *(st.builds(finding, st.just(label.name), statuses, st.none(), st.none(), chances) for label in LABELS)
)


@pytest.mark.parametrize(("task", "said"), [("multiple_choice", said_of_chosen), ("open_ended", said_of_open)])
def test_samples_are_combined_as_soft_members_are(task, said):
    @settings(max_examples=40, deadline=None)
    @given(st.lists(said.map(list), min_size=2, max_size=4))
    def check(samples):
        letter = {status: letter for letter, status in LETTERS.items()}
        members = [
            member(
                f"t{number}", task, {("r1", f.label): letter[f.status] for f in sample}, labelled={"r1"},
                probability={("r1", f.label): f.probability for f in sample}, code={("r1", f.label): f.code for f in sample},
                spans={("r1", f.label): [(m.start, m.end) for m in f.mentions] for f in sample if f.mentions},
            )
            for number, sample in enumerate(samples)
        ]  # fmt: skip
        made = combined(task, "soft", *members, reports=REPORTS[:1]).labels
        voted = vote_samples(task, samples)
        rows = {label: rest for label, *rest in made.select("label", "status", "probability", "code").rows()}
        assert rows == {f.label: [f.status, pytest.approx(f.probability), f.code] for f in voted}

    check()


def write(folder, name, tables_):
    for schema, what, table in zip((Labels, Evidence, Outcomes), MemberTables._fields, tables_, strict=True):
        tables.write(schema, table, folder / name / f"{what}.parquet")


def test_the_teacher_reads_its_members_and_names_itself(tmp_path):
    for name, said in (("rules", "p-"), ("gpt", "a-")):
        write(tmp_path, name, member(name, "multiple_choice", chosen(r1=said, r2=said)))
    teacher = CombinedTeacher("multiple_choice", tmp_path, "union", ["rules", "gpt"])
    made = teacher.label(REPORTS, LABELS)
    assert teacher.name == "combined:union"
    assert cells(made)["r1", "Edema"] == PRESENT
    assert list(made.counts["agreement"]["found"]["labels"]["Edema"]["pairs"]) == ["rules & gpt"]
    with pytest.raises(InputError, match=r"has no teacher 'nobody'.*there are: "):
        CombinedTeacher("multiple_choice", tmp_path, "union", ["rules", "nobody"]).label(REPORTS, LABELS)


@pytest.mark.parametrize(
    ("how", "members", "message"),
    [
        ("vote", ["a"], "two or more members"),
        ("vote", ["a", "b", "a"], "each named once"),
    ],
)
def test_params_that_make_no_combination(tmp_path, how, members, message):
    with pytest.raises(ParamsError, match=message):
        CombinedTeacher("multiple_choice", tmp_path, how, members)


def test_an_unknown_way_of_combining_is_refused_with_the_known_ones():
    with pytest.raises(ParamsError, match=r"combine\.how: Input should be 'first', 'vote', 'union', 'intersection' or 'soft'"):
        params.check("combine", {"how": "mean", "members": ["a", "b"]}, CombineParams)


def test_members_that_do_not_fit():
    fits = member("a", "multiple_choice", chosen(r1="pp"))
    other = member("b", FOUND, {("r1", "nodule"): "p"})
    with pytest.raises(InputError, match="labels of member 'm1' are of another task than multiple_choice"):
        combined("multiple_choice", "vote", fits, other)
    renamed = member("b", "multiple_choice", {("r1", "Edema"): "p", ("r1", "Effusion"): "p"})
    short = member("b", "multiple_choice", {("r1", "Edema"): "p"})
    for misfit in (renamed, short):
        with pytest.raises(InputError, match="labels of member 'm1' are not those of the label set"):
            combined("multiple_choice", "vote", fits, misfit)
    two = MemberTables(fits.labels, fits.evidence, pl.concat([fits.outcomes, fits.outcomes.with_columns(teacher=pl.lit("z"))]))
    with pytest.raises(InputError, match="outcomes of member 'm1' are of several teachers"):
        combined("multiple_choice", "vote", fits, two)


def test_every_status_has_its_rank():
    assert sorted(RANKED) == sorted(STATUSES)
