"""Sentences that the rules teacher writes and labels itself: what is covered, what they say, how many, and broken files."""

import functools
from pathlib import Path

import polars as pl
import pytest

from raddistill import labelsets, paths
from raddistill.errors import InputError
from raddistill.statuses import ABSENT, PRESENT, UNCERTAIN
from raddistill.tables import base as tables
from raddistill.tables.reports import Reports
from raddistill.tables.written import Written
from raddistill.teachers.rules import lexicon, teacher
from raddistill.teachers.rules.reader import Reader
from raddistill.teachers.rules.teacher import (
    Frame,
    Literal,
    RulesTeacher,
    Templates,
    compose,
    in_whole_words,
    load_completions,
    load_frames,
)

LABELS = labelsets.load_labels("lexicon/label_sets/chest_13.yaml")
TEMPLATES = Templates(paths.FRAMES, paths.COMPLETIONS)
TASKS = ("multiple_choice", "open_ended")
COMPLETIONS = load_completions(paths.COMPLETIONS)


def teach(task, lexicon_="lexicon/cold", templates=TEMPLATES, labels=LABELS):
    return RulesTeacher(task, lexicon_, "findings_and_impression", paths.HEDGES, templates).label(Reports.create_empty(), labels)


taught = functools.cache(teach)  # takes a second


@pytest.fixture(scope="module")
def written():
    return {task: tables.check(Written, taught(task, "lexicon/cold").written, task) for task in TASKS}


def test_every_label_is_said_to_be_present_absent_and_uncertain(written):
    own = written["multiple_choice"].filter(pl.col("label") == pl.col("about"))
    counted = own.group_by("label", "status").agg(pl.col("sentence_id").n_unique())
    assert set(counted.select("label", "status").rows()) == {
        (label.name, status) for label in LABELS for status in (PRESENT, ABSENT, UNCERTAIN)
    }
    assert counted["sentence_id"].min() >= 10


def test_every_code_is_written_about_and_found(written):
    codes = {phrase.code for phrase in lexicon.load_conditions(Path("lexicon/cold"))} - {None}
    assert set(written["open_ended"]["about"]) == set(written["open_ended"]["code"].drop_nulls()) == codes


@pytest.mark.parametrize("task", TASKS)
def test_a_sentence_says_what_the_reader_of_the_same_lexicon_finds_in_it(written, task):
    reader = Reader(task, Path("lexicon/cold"), LABELS, "findings_and_impression")
    said = written[task].group_by("text", maintain_order=True).agg("n", "label", "status", "start", "end", "code")
    for text, numbers, *columns in said.iter_rows():
        spans, _ = reader.read_text(text)
        found = [(span.label, span.status, span.start, span.end, span.code) for span in spans]
        assert list(zip(*columns, strict=True)) == (found or [(None,) * 5])
        assert numbers == list(range(len(numbers)))


def test_spans_quote_the_phrase(written):
    quoted = written["open_ended"].drop_nulls("label").select("text", "start", "end", "label")
    assert all(text[start:end].lower() == label for text, start, end, label in quoted.iter_rows())
    (place,) = written["multiple_choice"].filter(text="No evidence of hydropneumothorax.", label="Pneumothorax").rows(named=True)
    assert place["text"][place["start"] : place["end"]] == "hydropneumothorax"
    assert (place["status"], place["probability"]) == (ABSENT, None)


def test_hedges_are_graded(written):
    of = dict(written["multiple_choice"].filter(label="Pneumonia").select("text", "probability").iter_rows())
    assert (of["Pneumonia is likely."], of["Possible pneumonia."], of["Stable pneumonia."]) == (0.75, 0.5, None)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["cold", "tuned"])
def test_there_are_not_too_many(task, name):
    one = taught(task, f"lexicon/{name}")
    assert 10_000 < one.counts["sentences"] == one.written["sentence_id"].n_unique() <= teacher.MOST
    assert one.counts["phrases_left_out"] == 0
    assert one.written.group_by("sentence_id").agg(pl.col("text").n_unique())["text"].max() == 1


@pytest.mark.parametrize("task", TASKS)
def test_they_are_the_same_again(written, tmp_path, task):
    """With `tuned` tests/test_dvc_repository.py shows it."""
    for number, made in enumerate((written[task], teach(task).written)):
        tables.write(Written, made, tmp_path / f"{number}.parquet")
    assert (tmp_path / "0.parquet").read_bytes() == (tmp_path / "1.parquet").read_bytes()


def test_of_too_many_every_phrase_keeps_as_many(monkeypatch):
    monkeypatch.setattr(teacher, "MOST", 12)
    literals = [Literal(text, text, bare=False) for text in ("edema", "effusion", "nodule", "fracture")]
    frames = [Frame(text, bare=False) for text in ("There is {}.", "No {}.", "Possible {}.", "{} is seen.", "Stable {}.")]
    made = compose(literals, frames)
    assert [sum(about == literal.about for _, about in made) for literal in literals] == [3, 3, 3, 3]
    monkeypatch.setattr(teacher, "MOST", 100)
    everything = compose(literals, frames)
    assert len(everything) == 20
    assert [pair for pair in everything if pair in made] == made


def test_a_second_phrase_is_of_another_label():
    frames = [Frame("{} without {}.", bare=False), Frame("{}.", bare=True)]
    two = [Literal("edema", "Edema", bare=False), Literal("pulmonary edema", "Edema", bare=False)]
    assert [text for text, _ in compose(two, frames)] == ["Edema.", "Pulmonary edema."]
    clause = Literal("heart is enlarged", "Cardiomegaly", bare=True)
    made = compose([*two, Literal("effusion", "Pleural Effusion", bare=False), clause], frames)
    assert ("Edema without effusion.", "Edema") in made
    assert [text for text, about in made if about == "Cardiomegaly"] == ["Heart is enlarged."]


@pytest.mark.parametrize(
    ("words", "says", "texts", "bare"),
    [
        ("opacit*", PRESENT, ["opacity", "opacities"], False),
        ("heart .. enlarged", PRESENT, ["heart is enlarged", "heart enlarged"], True),
        ("lungs .. clear", ABSENT, ["lungs are clear", "lungs clear"], True),
        ("enlargement of .. heart", PRESENT, ["enlargement of the heart"], True),
        ("heart is .. enlarged", PRESENT, ["heart is enlarged"], True),
        ("heart is enlarged", PRESENT, ["heart is enlarged"], True),
        ("clear lungs", ABSENT, ["clear lungs"], True),
        ("no such word*", PRESENT, [], False),
    ],
)
def test_phrases_in_whole_words(words, says, texts, bare):
    made = in_whole_words(lexicon.Phrase(tuple(words.split()), "L", says, None), COMPLETIONS)
    assert made == [Literal(text, "L", bare) for text in texts]


def test_a_phrase_without_a_whole_word_is_counted(tmp_path):
    kept = [line for line in paths.COMPLETIONS.read_text(encoding="utf-8").split("\n") if not line.startswith("empyema*")]
    (tmp_path / "completions.csv").write_text("\n".join(kept), encoding="utf-8")
    made = teach("multiple_choice", templates=Templates(paths.FRAMES, tmp_path / "completions.csv"))
    assert made.counts["phrases_left_out"] == 1
    assert not made.written["text"].str.contains("mpyema").any()


def test_nothing_is_written_without_templates():
    made = RulesTeacher("multiple_choice", "lexicon/cold", "findings_and_impression").label(Reports.create_empty(), LABELS)
    assert made.written.is_empty()
    assert made.counts == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("# c\n{}.\n", r"frames\.txt, line 2: a frame before the first section"),
        ("[bare]\n{}.\n[denial]\nNo {}.\n", r"line 3: unknown section; known: \[bare\]"),
        ("[bare]\nEdema.\n", "line 2: a frame holds `{}` once or twice"),
        ("[denied]\nNo {}, {} or {}.\n", "line 2: a frame holds `{}` once or twice"),
        ("[denied]\nNo {0}.\n", "line 2: a frame holds `{}` once or twice, and no other brace"),
        ("[denied]\nNo {} or {x.\n", "line 2: .* no other brace"),
        ("[bare]\n{} and {}.\n", "line 2: a bare frame holds `{}` once"),
        ("[bare]\n{}.\n{}.\n", "line 3: this frame is listed twice"),
        ("# nothing\n", r"frames\.txt: no frame"),
    ],
)
def test_broken_frames_are_refused(tmp_path, content, message):
    (tmp_path / "frames.txt").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_frames(tmp_path / "frames.txt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("opacit*,opacity\n", "first line that is not a comment must be `begins,complete`"),
        ("begins,complete\nopacit*\n", r"completions\.csv, line 2: expected `begins,complete`"),
        ("begins,complete\nopacity,opacity\n", "line 2: expected `begins,complete`"),
        ("begins,complete\nopacit*,opacity\nopacit*,opacities\n", "line 3: .* each once"),
        ("begins,complete\nopacit*,density\n", "line 2: every whole word must begin with"),
        ("begins,complete\nopacit*,opacity|\n", "line 2: every whole word must begin with"),
    ],
)
def test_broken_completions_are_refused(tmp_path, content, message):
    (tmp_path / "completions.csv").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_completions(tmp_path / "completions.csv")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"frames\.txt is missing"):
        teach("multiple_choice", templates=Templates(tmp_path / "frames.txt", paths.COMPLETIONS))
