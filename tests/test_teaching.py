"""What a teacher states in each part of a report and how it becomes an answer, on sentences of a few words."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raddistill.labelsets import Label
from raddistill.passages import choose_sections
from raddistill.student import parts
from raddistill.student.examples import frequencies
from raddistill.student.parts import FEWEST_WORDS, Part, blanked, parts_of, quote
from raddistill.tasks.registry import TASKS
from raddistill.tasks.task import AnnotatedMention, Annotation, ExampleAnswer, TargetRule

LABELS = [Label(name=name, description="") for name in ("Edema", "Fracture", "Mass")]
MASKED, GRADED = TargetRule("mask", soft_labels=True), TargetRule(0.7, soft_labels=False)
BOTH, IMPRESSION = choose_sections("findings_and_impression"), choose_sections("impression_else_findings")
FINDINGS = "Lungs are clear. The left 7th\nrib is broken; no mass."
REPORT = {
    "findings": FINDINGS,
    "impression": "Rib fracture.",
    "text": f"INDICATION: Pain.\nFINDINGS: {FINDINGS}\nIMPRESSION: Rib fracture.",
}
WHOLE = REPORT["text"].replace("\n", " ")


def answer(form: str, annotation: Annotation, rule: TargetRule, text: str = "") -> ExampleAnswer:
    task = TASKS["open_ended" if form in ("lines", "tags") else "multiple_choice"]
    return task.answer(form, annotation, text, LABELS, rule)


def read(report: dict[str, Any], units: str, sections: tuple[list[str], bool]) -> list[tuple[str, bool, bool]]:
    return [(quote(report["text"], part), part.asked, part.taught) for part in parts_of(report, units, sections)]


def test_sentences_of_both_sections_are_parts_and_line_ends_become_spaces() -> None:
    told = ["Lungs are clear", "The left 7th rib is broken", "no mass", "Rib fracture"]
    assert read(REPORT, "sentences", BOTH) == [(sentence, True, True) for sentence in told]


def test_a_teacher_of_impressions_teaches_no_sentence_of_findings_and_all_are_asked() -> None:
    assert [part[1:] for part in read(REPORT, "sentences", IMPRESSION)] == [(True, False)] * 3 + [(True, True)]
    assert [part[1:] for part in read(REPORT | {"impression": None}, "sentences", IMPRESSION)] == [(True, True)] * 3


def test_a_whole_report_is_asked_whole_and_taught_as_far_as_the_teacher_read() -> None:
    assert read(REPORT, "reports", BOTH) == [(WHOLE, True, True)]
    assert read(REPORT, "reports", IMPRESSION) == [(WHOLE, True, False), ("Rib fracture.", False, True)]
    assert read(REPORT | {"findings": None}, "reports", IMPRESSION) == [(WHOLE, True, True)]  # it has nothing else


@pytest.mark.parametrize("units", ["sentences", "reports"])
@pytest.mark.parametrize("text", ["Clear lungs. No mass.", "--"])
def test_a_report_without_sections_is_asked_and_not_taught(units: str, text: str) -> None:
    found = read({"text": text, "findings": None, "impression": "Not in the text."}, units, IMPRESSION)
    assert found
    assert all(asked and not taught for _, asked, taught in found)


@given(st.text("aA .;\n-5", min_size=1).filter(str.strip), st.sampled_from([BOTH, IMPRESSION]))
def test_every_letter_of_a_section_is_asked_once_and_every_report_is(text: str, sections: tuple[list[str], bool]) -> None:
    report = {"text": f": {text}", "findings": text, "impression": None}
    for units in ("sentences", "reports"):
        asked = [words for words, is_asked, _ in read(report, units, sections) if is_asked]
        assert asked
        assert [*filter(str.isalnum, "".join(asked))] == [*filter(str.isalnum, text)]


@pytest.mark.parametrize(
    ("uncertain", "soft", "status", "probability", "worth"),
    [
        ("mask", True, "uncertain", None, None),
        (0.7, True, "uncertain", None, 0.7),
        ("mask", True, "uncertain", 0.6, 0.6),
        ("mask", False, "uncertain", 0.6, None),
        (0.7, False, "uncertain", 0.6, 0.7),
        ("mask", True, "present", 0.8, 0.8),
        ("mask", False, "present", 0.8, 1.0),
        ("mask", True, "absent", None, 0.0),
        ("mask", True, "unmentioned", None, 0.0),
    ],
)
def test_a_hedge_is_masked_or_a_number_or_the_teachers_own_probability(
    uncertain: Any, soft: bool, status: str, probability: float | None, worth: float | None
) -> None:
    assert TargetRule(uncertain, soft).target(status, probability) == worth


def mention(
    text: str, quoted: str, label: str, status: str = "present", p: float | None = None, code: str = ""
) -> AnnotatedMention:
    start = text.index(quoted)
    return AnnotatedMention(label, status, p, code, start, start + len(quoted))


def test_a_part_holds_the_mentions_that_begin_in_it_and_of_nothing_else() -> None:
    text = "No edema. Ribs are broken. Edema is possible."
    annotation = Annotation(
        {"Edema": ("uncertain", 0.6, ""), "Fracture": ("present", None, ""), "Mass": ("present", None, "")},
        [
            mention(text, "edema", "Edema", "absent"),
            mention(text, "broken. Edema", "Fracture"),  # runs into the next sentence
            mention(text, "Edema", "Edema", "uncertain", 0.6),
        ],
    )
    cut = [Part(0, 8, True, True), Part(10, 25, True, True), Part(27, 44, True, True)]
    within = [parts.within(annotation, part) for part in cut]
    assert [answer("head", h, MASKED).targets for h in within] == [[0, 0, 0], [0, 1, 0], [0.6, 0, 0]]
    assert [answer("head", h, MASKED).stated for h in within] == [set(), {"Fracture"}, {"Edema"}]
    assert [(m.start, m.end) for h in within for m in h.mentions] == [(3, 8), (9, 15), (0, 5)]
    assert not annotation.has_all_places  # no place for Mass
    assert Annotation({"Mass": ("absent", None, "")}).has_all_places


def test_of_several_mentions_the_strongest_counts() -> None:
    statuses = [("absent", None), ("uncertain", 0.3), ("uncertain", 0.6), ("present", None)]
    mentions = [AnnotatedMention("Edema", status, p, "", 0, 1) for status, p in statuses]
    strongest = [answer("head", Annotation({}, mentions[:n]), MASKED).targets for n in range(5)]
    assert strongest == [[0.0, 0, 0], [0.0, 0, 0], [0.3, 0, 0], [0.6, 0, 0], [1.0, 0, 0]]


def test_labels_of_a_whole_report_are_its_own_and_an_unknown_one_is_masked() -> None:
    fracture = AnnotatedMention("Fracture", "present", None, "", 0, 1)
    annotation = Annotation({"Edema": ("uncertain", None, ""), "Mass": ("absent", None, "")}, [fracture])
    assert answer("slots", annotation, GRADED)[:2] == ("Edema\nFracture\nMass", [0.7, None, 0.0])
    assert answer("head", annotation, MASKED)[:2] == ("", [None, None, 0.0])


@pytest.mark.parametrize(("worth", "listed"), [(0.51, True), (0.5, False), (0.2, False), ("mask", False)])
def test_texts_list_what_is_worth_more_than_a_half(worth: Any, listed: bool) -> None:
    rule = TargetRule(worth, soft_labels=False)
    of_labels = Annotation({"Edema": ("uncertain", None, ""), "Mass": ("present", None, "")})
    assert answer("list", of_labels, rule).completion == ("Edema, Mass" if listed else "Mass")
    text = "Possibly edema"
    of_phrases = Annotation({"edema": ("uncertain", None, "J81.0")}, [mention(text, "edema", "edema", "uncertain", code="J81.0")])
    for made in (answer("lines", of_phrases, rule, text), answer("tags", of_phrases, rule)):
        assert made.completion == ("edema | J81.0" if listed else "None")
        assert made.stated == {"J81.0"}
    assert answer("tags", of_phrases, rule).spans == [{"start": 9, "end": 14, "worth": None if worth == "mask" else worth}]


def test_phrases_come_in_the_order_of_reading_and_denied_ones_not_at_all() -> None:
    text = "Rib  Fracture and mild edema, no mass"
    found = {"mild edema": "J81.0", "rib fracture": "S22.3"}
    mentions = [mention(text.lower(), phrase, phrase, code=found[phrase]) for phrase in ("mild edema",)]
    mentions += [AnnotatedMention("rib fracture", "present", None, "S22.3", 0, 13), mention(text, "mass", "mass", "absent")]
    lines = "rib fracture | S22.3\nmild edema | J81.0"
    of_report = Annotation({p: ("present", None, code) for p, code in found.items()} | {"mass": ("absent", None, "")}, mentions)
    assert answer("lines", of_report, MASKED, text).completion == lines
    tagged = answer("tags", Annotation({}, mentions), MASKED)
    assert tagged.completion == lines
    assert [(s["start"], s["end"], s["worth"]) for s in tagged.spans or []] == [(0, 13, 1.0), (18, 28, 1.0)]
    assert answer("lines", Annotation({}, mentions), MASKED, text) == tagged._replace(spans=None)
    assert answer("tags", Annotation({}), MASKED)[:3] == ("None", None, [])


def test_reports_without_a_finding_are_labelled_and_quarantined_ones_unknown() -> None:
    edema = {"report_id": ["a"], "label": ["edema"], "status": ["present"], "probability": [None]}
    labels, evidence = pl.DataFrame(edema | {"code": ["J81.0"]}), pl.DataFrame(edema | {"start": [4], "end": [9]})
    outcomes = pl.DataFrame({"report_id": list("abc"), "outcome": ["labelled", "labelled", "quarantined"]})
    assert parts.annotations_of(labels, evidence, outcomes) == {
        "a": Annotation({"edema": ("present", None, "J81.0")}, [AnnotatedMention("edema", "present", None, "J81.0", 4, 9)]),
        "b": Annotation({}),
    }


def test_frequencies_count_holders_and_those_that_hold_nothing() -> None:
    assert frequencies([frozenset("ab"), frozenset("a"), frozenset()]) == {"a": 2, "b": 1, "": 1}


SENTENCE = "There is mild pulmonary edema at both bases without a pleural effusion."
DENIED = mention(SENTENCE, "pleural effusion", "Effusion", "absent")
STATED = Annotation({}, [mention(SENTENCE, "pulmonary edema", "Edema"), DENIED])


def test_half_of_the_words_of_every_mention_are_blanked_denied_ones_too_and_always_the_same() -> None:
    hidden = {blanked(SENTENCE, STATED, "XXXX", str(n)) for n in range(30)}
    one_of_each = [(a, b) for a in ("pulmonary", "edema") for b in ("pleural", "effusion")]
    assert hidden == {SENTENCE.replace(a, "XXXX").replace(b, "XXXX") for a, b in one_of_each}
    assert len({blanked(SENTENCE, STATED, "XXXX", "key") for _ in range(3)}) == 1


def test_a_sentence_of_which_too_little_is_left_is_not_blanked() -> None:
    for words, is_blanked in ((FEWEST_WORDS, True), (FEWEST_WORDS - 1, False)):
        text = " ".join(["edema", *["seen"] * words])
        assert (blanked(text, Annotation({}, [mention(text, "edema", "Edema")]), "XXXX", "key") is not None) == is_blanked
    assert blanked(SENTENCE, Annotation({}), "XXXX", "key") is None  # nothing to blank


@given(st.lists(st.tuples(st.integers(0, 70), st.integers(1, 20)), min_size=1, max_size=4), st.text(max_size=3))
def test_whole_words_of_mentions_are_blanked_and_nothing_else_changes(spans: list[tuple[int, int]], key: str) -> None:
    """Also where mentions overlap or end within a word."""
    annotation = Annotation(
        {}, [AnnotatedMention("Edema", "present", None, "", start, start + length) for start, length in spans]
    )
    hidden, at = blanked(SENTENCE, annotation, "XXXX", key), 0
    if hidden is not None:
        assert "XXXX" in hidden
        for word, shown in zip(SENTENCE.split(), hidden.split(), strict=True):
            named = any(start < at + len(word) and start + length > at for start, length in spans)
            assert shown == word or (named and shown == "XXXX" + "." * word.endswith("."))
            at += len(word) + 1
