"""The rule engine on any text: laws of what it says, work that grows with the length alone, memory within bounds."""

import itertools
import pickle
import sys
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raddistill import sentences as sentences_module
from raddistill.labelsets import load_labels
from raddistill.sentences import sentences
from raddistill.statuses import ABSENT, PRESENT, UNMENTIONED
from raddistill.teachers.rules import lexicon, mentions, reader
from raddistill.teachers.rules.mentions import Matcher, PhraseMatch, WordKeys, find_word_spans, find_words, resolve
from raddistill.teachers.rules.reader import Reader, Span, aggregate

LABELS = load_labels("lexicon/label_sets/chest_13.yaml")
TASKS = ("multiple_choice", "open_ended")
FOLDERS = {name: Path("lexicon") / name for name in ("cold", "tuned")}
READERS = {key: Reader(key[1], FOLDERS[key[0]], LABELS, "findings_and_impression") for key in itertools.product(FOLDERS, TASKS)}
EITHER = st.sampled_from(list(READERS))

FINDINGS = st.sampled_from(["pleural effusion", "pneumothorax", "consolidation", "pneumonia", "pulmonary edema", "rib fracture",
                            "atelectasis", "left lung nodule", "pleural thickening", "cardiomegaly", "chest tube"])  # fmt: skip
STATEMENTS = st.builds("{} {}".format, st.sampled_from(["There is", "No", "Possible", "New", "Without"]), FINDINGS)
WORDS = st.sampled_from(["no", "effusion", "effusions", "possible", ",", "and", "the", "heart", "is", "enlarged", "normal", "but",
                         "mild", "not", "seen", "exclude", "mass", "lungs", "clear", "(", ")", ".", ";", "\n", "or", "The",
                         "pneumothorax", "1.", "-", "dr.", "left", "to", "moderate", "atelectasis", "\n\n", "3.5",
                         "cannot", "of"])  # fmt: skip
TEXTS = st.lists(WORDS, min_size=1, max_size=30).map(" ".join)
ANY = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(" .\n'’İßΣ,(1"), max_size=20)
JUNK = st.lists(ANY | WORDS, max_size=20).map("".join)


def label(reader: Reader, text: str) -> dict[str, str]:
    return {name: status for name, status, _ in reader.summarize(reader.read_text(text)[0])}


# --- what it says


@given(TEXTS | JUNK, EITHER)
def test_any_text_is_read_and_every_span_quotes_it(text, which):
    spans, reason = READERS[which].read_text(text)
    assert (reason == "no text") == (not text or text.isspace())
    for span in spans:
        assert 0 <= span.start < span.end <= len(text)
        assert text[span.start : span.end] == text[span.start : span.end].strip()


MATCHERS = {name: Matcher(lexicon.load_labels(folder, LABELS)) for name, folder in FOLDERS.items()}


@given(TEXTS, st.sampled_from(list(FOLDERS)))
def test_a_quote_is_an_occurrence_of_a_phrase_of_its_label(text, name):
    for span in READERS[name, "multiple_choice"].read_text(text)[0]:
        words = find_words(text[span.start : span.end])
        ends = (0, len(words) - 1)
        assert any(m.phrase.label == span.label and (m.first, m.last) == ends for m in MATCHERS[name].find(words))


SECTIONS = ["findings_and_impression", "impression_else_findings", ["findings"]]
OF_SECTIONS = [Reader("multiple_choice", FOLDERS["cold"], LABELS, sections) for sections in SECTIONS]


@given(TEXTS, TEXTS, st.sampled_from(OF_SECTIONS))
def test_spans_lie_in_the_section_that_they_name(findings, impression, reader):
    text = f"FINDINGS: {findings}\nIMPRESSION: {impression}"
    spans, reason = reader.read({"findings": findings, "impression": impression, "text": text})
    begins = {"findings": len("FINDINGS: "), "impression": len(text) - len(impression)}
    held = {"findings": findings, "impression": impression}
    assert reason is None
    for span in spans:
        at = begins[span.section]
        assert at <= span.start < span.end <= at + len(held[span.section])


@given(TEXTS, TEXTS, st.sampled_from(list(FOLDERS)))
def test_what_two_paragraphs_say_is_what_each_says(one, other, name):
    # On one line each: whether a sentence ends with its line is judged by the other lines of the text, whatever their paragraph.
    one, other = " ".join(one.split()), " ".join(other.split())
    reader = READERS[name, "multiple_choice"]
    first, second, both = (label(reader, text) for text in (one, other, f"{one}.\n\n{other}"))
    assert both == {name: aggregate({first[name], second[name]}) for name in first}


def literal_phrases(folder: Path) -> list[tuple[str, str]]:
    """Label and words of the phrases that a sentence can consist of."""
    found = lexicon.load_labels(folder, LABELS)
    plain = [p for p in found if p.status == PRESENT and not any(w == lexicon.GAP or w.endswith("*") for w in p.words)]
    return [(p.label, p.text) for p in plain]


@pytest.mark.parametrize("name", FOLDERS)
def test_no_before_a_present_phrase_of_the_lexicon_denies_it(name):
    reader = READERS[name, "multiple_choice"]
    present = [(key, words) for key, words in literal_phrases(FOLDERS[name]) if label(reader, f"{words}.")[key] == PRESENT]
    kept = [(key, words) for key, words in present if label(reader, f"No {words}.")[key] not in (ABSENT, UNMENTIONED)]
    denied = [words for key, words in present if label(reader, f"No {words}.")[key] == ABSENT]
    assert kept == []
    assert len(denied) > 0.95 * len(present) > 100


@given(st.lists(STATEMENTS, min_size=1, max_size=5), EITHER)
def test_the_form_of_a_report_does_not_matter(statements, which):
    forms = {
        "plain": ". ".join(statements) + ".",
        "lines": "\n".join(f"{s}." for s in statements),
        "windows": "\r\n".join(f"{s}." for s in statements),
        "numbered": "\n".join(f"{n}. {s}" for n, s in enumerate(statements, start=1)),
        "numbered-windows": "\r\n".join(f"{n}) {s.lower()}" for n, s in enumerate(statements, start=1)),
        "dashes": "\n".join(f"  - {s.lower()}" for s in statements),
        "paragraphs": "\r\n\r\n".join(s.lower() for s in statements),
        "capitals": ". ".join(statements).upper(),
        "semicolons": "; ".join(statements),
    }
    said = {form: label(READERS[which], text) for form, text in forms.items()}
    assert {form for form, labels in said.items() if labels != said["plain"]} == set()


@given(FINDINGS, st.sampled_from(["No ", "There is no ", "Without "]), st.sampled_from(list(FOLDERS)))
def test_a_denial_flips_a_simple_sentence(finding, denial, name):
    reader = READERS[name, "multiple_choice"]
    stated, denied = label(reader, f"{finding.capitalize()}."), label(reader, f"{denial}{finding}.")
    assert {s for s in stated.values() if s != UNMENTIONED} == {PRESENT}
    assert {key for key, s in denied.items() if s == ABSENT} == {key for key, s in stated.items() if s == PRESENT}
    assert PRESENT not in denied.values()


UNRELATED = st.sampled_from(["The trachea is midline.", "Comparison is made with the prior study."])


@given(TEXTS | st.lists(STATEMENTS, min_size=1, max_size=4).map(". ".join), UNRELATED, EITHER)
def test_an_unrelated_sentence_changes_nothing(text, unrelated, which):
    alone, appended, prepended = (
        label(READERS[which], each) for each in (text, f"{text}.\n\n{unrelated}", f"{unrelated}\n\n{text}")
    )
    assert alone == appended == prepended


@given(TEXTS, EITHER)
def test_line_ends_of_windows_change_nothing(text, which):
    assert label(READERS[which], text.replace("\n", "\r\n")) == label(READERS[which], text)


def test_lower_case_keeps_every_place():
    everything = "".join(chr(i) for i in range(sys.maxunicode + 1) if not 0xD800 <= i < 0xE000)
    assert len(mentions._lower(everything)) == len(everything)
    rows = [" ".join(everything[at : at + 64]) for at in range(0, len(everything), 64)]
    assert [row for row in rows if len(find_words(row)) != len(find_word_spans(row))] == []


def test_a_turkish_capital_moves_no_span():
    text = "İİİ heart. İ: small effusion."
    ((span,), _) = READERS["cold", "multiple_choice"].read_text(text)
    assert text[span.start : span.end] == "effusion"


WRAPPED = {
    "carried-on": ("There is no\nPneumothorax.", ABSENT),
    "new-line": ("Heart is not large\nPneumothorax", PRESENT),
    "wrapped": ("There is no focal\nor large pneumothorax.", ABSENT),
    "abbreviation": ("No finding per Dr. Smith or pneumothorax.", ABSENT),
    "abbreviation-in-a-word": ("No mass in the chest. Pneumothorax.", PRESENT),
    "decimals": ("No 1.5 cm pneumothorax.", ABSENT),
    "blank-line": ("No mass\n \t\r\npneumothorax", PRESENT),
    "listed": ("No mass\r\n 2) pneumothorax", PRESENT),
}


@pytest.mark.parametrize(("text", "status"), WRAPPED.values(), ids=WRAPPED)
def test_where_a_sentence_ends(text, status):
    assert label(READERS["cold", "multiple_choice"], text)["Pneumothorax"] == status


# --- what is remembered


@pytest.fixture(scope="module")
def forgetful():
    """Readers that remember no sentence."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "CACHED_SENTENCES", 0)
        return {key: Reader(key[1], FOLDERS[key[0]], LABELS, "findings_and_impression") for key in READERS}


@given(TEXTS | JUNK, EITHER)
@settings(max_examples=200)
def test_what_is_remembered_changes_nothing(forgetful, text, which):
    again = f"{text}\n\n{text}"
    assert READERS[which].read_text(again) == READERS[which].read_text(again) == forgetful[which].read_text(again)


def test_memory_stays_within_bounds(monkeypatch):
    monkeypatch.setattr(reader, "CACHED_SENTENCES", 50)
    small = Reader("multiple_choice", FOLDERS["cold"], LABELS, "findings_and_impression")
    small.read_text(" ".join(f"Effusion of {n} cm." for n in range(200)))
    assert small._read_cached.cache_info().currsize == 50
    small._read_cached.cache_clear()
    small.read_text("effusion " * 1_000)
    assert small._read_cached.cache_info().currsize == 0


def test_words_remembered_stay_within_bounds(monkeypatch):
    monkeypatch.setattr(mentions, "_CACHED_WORDS", 10)
    keys = WordKeys({"heart", "opaci*"})
    assert [keys[f"heart{n}"] for n in range(25)] == [()] * 25
    assert keys["heart"] == ("heart",)
    assert keys["opaci" + "x" * 1_000_000] == ("opaci*",)
    assert len(keys) <= 10
    assert max(map(len, keys)) <= mentions.LONGEST_WORD


def test_nothing_of_a_megabyte_is_kept():
    reader = READERS["cold", "multiple_choice"]
    reader.read_text("effusion")
    tracemalloc.start()
    try:
        for text in ("x" * 1_000_000, "heart " * 50_000, "(" * 300_000):
            reader.read_text(text)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000


def test_a_reader_goes_to_another_process():
    for each in READERS.values():
        copy = pickle.loads(pickle.dumps(each))  # noqa: S301
        assert copy.read_text("Small left effusion.") == each.read_text("Small left effusion.")


def test_a_report_without_sections():
    reader = READERS["cold", "multiple_choice"]
    text = "Heart is normal. No large effusion."
    assert reader.read_text(text) == (
        [
            Span("Cardiomegaly", ABSENT, "text", 0, 15, None, None),
            Span("Pleural Effusion", ABSENT, "text", 26, 34, "no", None),
        ],
        None,
    )
    assert reader.read_text("") == reader.read_text(" \n") == ([], "no text")


# --- work

HOSTILE = [
    "heart ", "heart heart heart enlarged ", "heart enlarged ", "lung clear ", "effusion, ", "no ",
    "no effusion and heart is large, ",
    "possible ", "no evidence of ", "cannot exclude ", "( ", "(no ", ") ", "(", "is ", "and ", "and is, ", "mild ", "mild and ",
    "calcified granuloma ", "degenerative changes of spine ", "density over lung ", "interstitial ", "large heart normal size ",
    "and\nAnd ", "A\n", "i. ", "st. ", "e.g. ", "\n_", "_", ".", "-\n", "1", "1.", "1.1 ", "a'", "'", "x", " ", "\t",
    "\r\n", "\n1. ", ";", "İ", "\U0001f600", "\u0301", "\x00",
]  # fmt: skip


def count_steps(function, *args) -> int:
    """Instructions that Python executes: the same on any machine however busy."""
    steps = 0

    def trace(frame, event, _):
        nonlocal steps
        frame.f_trace_opcodes = True
        steps += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function(*args)
    finally:
        sys.settrace(before)
    return steps


def repeat(unit: str, length: int) -> str:
    return (unit * (length // len(unit) + 1))[:length]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("unit", HOSTILE, ids=ascii)
def test_steps_grow_with_the_length_of_a_sentence(unit, task, forgetful):
    reader = forgetful["tuned", task]
    reader.read_text(repeat(unit, 100))  # words are remembered from now on
    small, large = (count_steps(reader.read_text, repeat(unit, n)) for n in (500, 2_000))
    assert sentences_module.LONGEST_SENTENCE > 4_000
    assert large <= 5 * small + 1_000


def test_resolving_grows_with_the_number_of_mentions():
    def chain(n: int) -> list[PhraseMatch]:
        """Each shares a word with the next and no one holds another."""
        return [PhraseMatch(lexicon.Phrase(("a", "b"), "L", PRESENT, None), (i, i + 1)) for i in range(n)]

    assert [m.first for m in resolve(chain(5))] == [0, 2, 4]
    small, large = (count_steps(resolve, chain(n)) for n in (300, 1_200))
    assert large <= 5 * small


@pytest.mark.parametrize("unit", HOSTILE, ids=ascii)
def test_time_to_find_sentences_grows_with_the_text(unit):
    def taken(length: int) -> float:
        text, begin = repeat(unit, length), time.process_time()
        for start, end in sentences(text, 0, length):
            assert 0 < end - start <= sentences_module.LONGEST_SENTENCE
        return time.process_time() - begin

    # 16 times if quadratic, and then seconds. A busy machine may spoil a try.
    assert any(taken(200_000) <= 10 * taken(50_000) + 0.1 for _ in range(3))


@pytest.mark.parametrize("unit", ["x", "no ", "(", "effusion ", "effusion. ", "heart heart heart enlarged "])
def test_a_megabyte_ends(unit):
    spans, reason = READERS["cold", "open_ended"].read_text(repeat(unit, 1_000_000))
    assert (reason, bool(spans)) == (None, "e" in unit)
    assert max((span.end - span.start for span in spans), default=0) <= sentences_module.LONGEST_SENTENCE


def test_a_condition_takes_a_bounded_number_of_modifiers():
    ((span,), _) = READERS["cold", "open_ended"].read_text("mild " * 500 + "atelectasis")
    assert span.label == "mild " * reader.MOST_MODIFIERS + "atelectasis"


@given(TEXTS, st.integers(2, 60))
def test_a_cut_sentence_loses_no_word(text, longest):
    with pytest.MonkeyPatch.context() as patch:
        uncut = [text[start:end] for start, end in sentences(text, 0, len(text))]
        patch.setattr(sentences_module, "LONGEST_SENTENCE", longest + max(map(len, text.split()), default=0))
        pieces = [text[start:end] for start, end in sentences(text, 0, len(text))]

    def words(parts: list[str]) -> list[str]:  # a dash is a mark only beside the value that follows it: "effusion - none"
        return [word for part in parts for word in find_words(part) if word != ":"]

    assert words(pieces) == words(uncut)
    assert all(len(find_word_spans(piece)) == len(find_words(piece)) for piece in pieces)
