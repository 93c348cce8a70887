"""The rules teacher: its parts, its open-ended task, its tables, and laws that hold for any text."""

import itertools
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raddistill.errors import InputError
from raddistill.labelsets import load_labels
from raddistill.sentences import sentences
from raddistill.statuses import ABSENT, PRESENT, UNCERTAIN, UNMENTIONED
from raddistill.teachers.rules import lexicon
from raddistill.teachers.rules.clauses import backward_ends, find_pieces, forward_ends
from raddistill.teachers.rules.mentions import Matcher, find_word_spans, find_words, resolve
from raddistill.teachers.rules.reader import aggregate
from raddistill.teachers.rules.teacher import RulesTeacher

COLD = Path("lexicon/cold")
LABELS = load_labels("lexicon/label_sets/chest_13.yaml")
TEACHERS = {task: RulesTeacher(task, str(COLD), "findings_and_impression") for task in ("multiple_choice", "open_ended")}


def as_reports(*rows: str | tuple[str | None, str | None]) -> pl.DataFrame:
    """Reports with ids "0", "1" ..., a row each from findings or (findings, impression)."""
    pairs = [row if isinstance(row, tuple) else (row, None) for row in rows]
    texts = [
        "\n".join(f"{name}: {text}" for name, text in zip(("FINDINGS", "IMPRESSION"), pair, strict=True) if text)
        for pair in pairs
    ]
    columns = {"findings": [p[0] for p in pairs], "impression": [p[1] for p in pairs], "text": texts}
    return pl.DataFrame(
        {"report_id": [str(i) for i in range(len(rows))], **columns}, schema_overrides=dict.fromkeys(columns, pl.String)
    )


def read_all(*rows: str | tuple[str | None, str | None]) -> list[dict[str, str]]:
    labels = TEACHERS["multiple_choice"].label(as_reports(*rows), LABELS).labels
    return [dict(labels.filter(report_id=str(i)).select("label", "status").iter_rows()) for i in range(len(rows))]


def find_conditions(text: str) -> dict[str, tuple[str, str]]:
    labels = TEACHERS["open_ended"].label(as_reports(text), LABELS).labels
    return {label: (status, code) for label, status, code in labels.select("label", "status", "code").iter_rows()}


# --- aggregate

SAID = (PRESENT, UNCERTAIN, ABSENT, lexicon.IGNORE)


@pytest.mark.parametrize(
    "said", [s for n in range(5) for s in itertools.combinations(SAID, n)], ids=lambda s: "+".join(s) or "none"
)
def test_aggregate_every_combination(said):
    expected = {
        (True, True, True): PRESENT,
        (True, True, False): PRESENT,
        (True, False, True): PRESENT,
        (True, False, False): PRESENT,
        (False, True, True): UNCERTAIN,
        (False, True, False): UNCERTAIN,
        (False, False, True): ABSENT,
        (False, False, False): UNMENTIONED,
    }[PRESENT in said, UNCERTAIN in said, ABSENT in said]
    assert {aggregate(order) for order in itertools.permutations(said)} == {expected}


# --- mentions


def phrases(*lines: str) -> list[lexicon.Phrase]:
    return [lexicon.Phrase(tuple(line.split()), "L", PRESENT, None) for line in lines]


@pytest.mark.parametrize(
    ("phrase", "sentence", "found"),
    [
        ("mass", "a mass here", [(1,)]),
        ("mass", "massive", []),
        ("opaci*", "opacity opacities opaque", [(0,), (1,)]),
        ("heart .. large", "heart large", [(0, 1)]),
        ("heart .. large", "heart a a a a a a a a large", [(0, 9)]),
        ("heart .. large", "heart a a a a a a a a a large", []),
        ("fluid in .. space", "fluid in the space", [(0, 1, 3)]),
        ("a b", "a , b", []),
    ],
    ids=["word", "not-inside-word", "beginning", "gap-of-none", "gap-of-eight", "gap-too-wide", "gap-at-end", "comma-parts"],
)
def test_wildcards(phrase, sentence, found):
    assert [m.indexes for m in Matcher(phrases(phrase)).find(sentence.split())] == found


@pytest.mark.parametrize(
    ("lexicon_lines", "kept"),
    [
        (["heart", "heart .. root"], ["heart .. root"]),
        (["heart .. large", "heart .. normal"], ["heart .. large"]),
        (["normal aorta", "aorta root now"], ["aorta root now"]),
        (["heart", "aorta root"], ["heart", "aorta root"]),
    ],
    ids=["longer-holds-all-words", "tighter", "longer", "no-overlap"],
)
def test_overlaps_are_resolved(lexicon_lines, kept):
    found = Matcher(phrases(*lexicon_lines)).find(["heart", "large", ",", "normal", "aorta", "root", "now"])
    assert [m.phrase.text for m in resolve(found)] == kept


def test_offsets_count_from_the_beginning_of_the_text():
    text = "FINDINGS: Größe ’normal’. No effusion’s sign"
    first, second = (text[start:end] for start, end in sentences(text, 10, len(text)))
    assert [first[start:end] for start, end in find_word_spans(first)] == ["Größe", "normal"]
    assert find_words(second) == ["no", "effusion's", "sign"]


@given(st.text(alphabet='aA1 .,;:()\n\r-•?!’"\u00e9\U0001f600', max_size=80))
def test_tokens_are_ordered_and_quote_the_text(text):
    spans = list(sentences(text, 0, len(text)))
    assert all(a <= b for a, b in itertools.pairwise(itertools.chain.from_iterable(spans)))
    for sentence in (text[start:end] for start, end in spans):
        places = find_word_spans(sentence)
        written = [sentence[a:b].lower().replace("’", "'") for a, b in places]
        assert [":" if word == "-" else word for word in written] == find_words(sentence)
        assert all(a <= b and (a <= c or (a, b) == (c, d)) for (a, b), (c, d) in itertools.pairwise(places))


# --- assertions


def test_clause_ends():
    words = ["no", "effusion", ",", "no", "mass", ",", "the", "heart", "is", "large", "and", "edema", "is", "not", "seen"]
    verbs = {i for i, word in enumerate(words) if word == "is"}
    pieces = find_pieces(words)
    assert forward_ends(words, pieces, verbs, seen=set()) == {5, 10}
    assert forward_ends(words, pieces, verbs, seen={12}) == {5}
    assert backward_ends(pieces, verbs) == {10}


def test_the_cue_that_decided_is_named_as_written_in_the_lexicon():
    evidence = (
        TEACHERS["multiple_choice"].label(as_reports("No evidence of edema. Cardiomegaly. Heart is normal."), LABELS).evidence
    )
    assert evidence.sort("start").select("label", "cue").rows() == [
        ("Edema", "no evidence of"),
        ("Cardiomegaly", None),
        ("Cardiomegaly", None),
    ]


def test_what_is_past_or_means_something_else_leaves_no_evidence():
    made = TEACHERS["multiple_choice"].label(as_reports("History of pneumonia. Small pericardial effusion."), LABELS)
    assert made.evidence.is_empty()
    assert set(made.labels["status"]) == {UNMENTIONED}


# --- open-ended

OPEN_ENDED = {
    "modifier": ("There is mild cardiomegaly.", {"mild cardiomegaly": (PRESENT, "I51.7")}),
    "several-modifiers": ("Small left pleural effusion.", {"small left pleural effusion": (PRESENT, "J90")}),
    "joined-modifiers": ("Mild to moderate edema.", {"mild to moderate edema": (PRESENT, "J81.1")}),
    "no-modifier": ("The effusion is small.", {"effusion": (PRESENT, "J90")}),
    "to-not-a-modifier": ("Due to atelectasis.", {"atelectasis": (PRESENT, "J98.11")}),
    "denied": ("No pleural effusion or pneumothorax.", {}),
    "doubted": ("Possible right pneumonia.", {"right pneumonia": (UNCERTAIN, "J18.9")}),
    "history": ("History of asthma.", {}),
    "shielded": ("No mass effect.", {}),
    "longest": ("Compression fracture of T9.", {"compression fracture": (PRESENT, "M48.50XA")}),
    "predicate": ("The heart is mildly enlarged.", {"heart is mildly enlarged": (PRESENT, "I51.7")}),
    "same-phrase-twice": ("Scoliosis. Again scoliosis.", {"scoliosis": (PRESENT, "M41.9")}),
    "same-phrase-surer": ("Possible scoliosis. Scoliosis.", {"scoliosis": (PRESENT, "M41.9")}),
    "wrapped": ("Right lower\nlobe   atelectasis.", {"right lower lobe atelectasis": (PRESENT, "J98.11")}),
    "upper-case": ("CALCIFIED GRANULOMA", {"calcified granuloma": (PRESENT, "J84.10")}),
    "several": (
        "Tortuous aorta and degenerative changes of the spine, without effusion.",
        {"tortuous aorta": (PRESENT, "I77.1"), "degenerative changes of the spine": (PRESENT, "M47.9")},
    ),
    "normal": ("Normal chest.", {}),
}


@pytest.mark.parametrize(("text", "expected"), OPEN_ENDED.values(), ids=OPEN_ENDED)
def test_open_ended(text, expected):
    assert find_conditions(text) == expected


def test_open_ended_report_without_a_finding_is_labelled_and_has_no_row():
    made = TEACHERS["open_ended"].label(as_reports("Normal chest."), LABELS)
    assert made.outcomes["outcome"].to_list() == ["labelled"]
    assert made.labels.is_empty()


# --- sections and tables

FINDINGS, IMPRESSION = "Left effusion.", "Cardiomegaly."


@pytest.mark.parametrize(
    ("sections", "row", "found"),
    [
        ("findings_and_impression", (FINDINGS, IMPRESSION), {("findings", FINDINGS), ("impression", IMPRESSION)}),
        (["findings"], (FINDINGS, IMPRESSION), {("findings", FINDINGS)}),
        ("impression_else_findings", (FINDINGS, IMPRESSION), {("impression", IMPRESSION)}),
        ("impression_else_findings", (FINDINGS, None), {("findings", FINDINGS)}),
        (["impression", "findings"], (FINDINGS, FINDINGS), {("findings", FINDINGS), ("impression", FINDINGS)}),
    ],
    ids=["both", "one", "first-of-two", "first-falls-back", "same-text-twice"],
)
def test_sections(sections, row, found):
    reports = as_reports(row)
    evidence = RulesTeacher("multiple_choice", str(COLD), sections).label(reports, LABELS).evidence
    text = reports["text"][0]
    quotes = {
        (e["section"], text[e["start"] : e["end"]].capitalize().removeprefix("Left ")) for e in evidence.iter_rows(named=True)
    }
    assert quotes == {(section, {FINDINGS: "Effusion", IMPRESSION: "Cardiomegaly"}[quote]) for section, quote in found}
    assert evidence["start"].n_unique() == len(found)


def test_a_report_without_the_section_or_with_foreign_text_is_quarantined():
    reports = as_reports(("Edema.", None), (None, "Edema.")).with_columns(
        impression=pl.when(report_id=pl.lit("0")).then(None).otherwise(pl.lit("Other."))
    )
    made = RulesTeacher("multiple_choice", str(COLD), ["impression"]).label(reports, LABELS)
    assert made.quarantine["reason"].to_list() == ["no impression", "impression does not stand in the text"]
    assert made.outcomes["outcome"].to_list() == ["quarantined", "quarantined"]
    assert made.labels.is_empty()


def test_unknown_section_is_refused():
    with pytest.raises(InputError, match="unknown: summary"):
        RulesTeacher("multiple_choice", str(COLD), ["findings", "summary"])
    with pytest.raises(InputError, match="'impression_first' is none of findings_and_impression, impression_else_findings"):
        RulesTeacher("multiple_choice", str(COLD), "impression_first")
    with pytest.raises(InputError, match="unknown: none named"):
        RulesTeacher("multiple_choice", str(COLD), [])


def test_multiple_choice_labels_are_dense_and_named_after_the_lexicon():
    labels = TEACHERS["multiple_choice"].label(as_reports("Edema.", "Normal."), LABELS).labels
    assert labels.height == 2 * len(LABELS)
    assert labels["teacher"].unique().to_list() == ["rules:cold"]
    assert labels["probability"].null_count() == labels["code"].null_count() == labels.height


# --- laws

SIMPLE = st.sampled_from(["pleural effusion", "pneumothorax", "consolidation", "pneumonia", "pulmonary edema", "rib fracture",
                          "atelectasis", "left lung nodule", "pleural thickening", "cardiomegaly", "chest tube"])  # fmt: skip
WORDS = st.sampled_from(["no", "effusion", "possible", ",", "and", "the", "heart", "is", "enlarged", "but", "mild", "not", "seen",
                         "cannot", "exclude", "mass", "of", "(", ")", ".", ";", "\n", "or"])  # fmt: skip
TEXTS = st.lists(WORDS, min_size=1, max_size=25).map(" ".join).filter(lambda text: text.strip() != "")
STATEMENTS = st.lists(SIMPLE.map(lambda s: f"There is {s}."), min_size=1, max_size=4).map(" ".join)


@given(st.lists(TEXTS | STATEMENTS, min_size=5, max_size=5), st.sampled_from(list(TEACHERS)))
@settings(max_examples=20)  # a table takes longer than its texts
def test_evidence_quotes_the_text_and_stands_behind_every_label(texts, task):
    reports = as_reports(*((text, f"Again {text}") for text in texts))
    made = TEACHERS[task].label(reports, LABELS)
    wholes = dict(reports.select("report_id", "text").iter_rows())
    for row in made.evidence.iter_rows(named=True):
        quote = wholes[row["report_id"]][row["start"] : row["end"]]
        assert quote == quote.strip() != ""
        assert task == "multiple_choice" or " ".join(quote.lower().split()) == row["label"]
    mentioned = made.labels.filter(pl.col("status") != UNMENTIONED)
    assert {*made.evidence.select("report_id", "label").rows()} == {*mentioned.select("report_id", "label").rows()}
