"""From labels to examples: nobody is lost, held-out texts are not trained on, every part learns what is said in it alone."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError
from transformers import AutoTokenizer

from raddistill import params
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.student import merging
from raddistill.student.examples import BLANKED, Fitter, fraction_of, only, turn
from raddistill.student.merging import Merged, MergeParams, Taught
from raddistill.student.prompts import Renderer, encode
from raddistill.tables import base as tables
from raddistill.tables.examples import Examples

ROOT = Path(__file__).parents[1]
LABELS = [Label(name=name, description="") for name in ("Edema", "Fracture", "Mass")]
LONG = " ".join(["The lungs are clear."] * 200)
REPORTS = [
    ("a", "train", "Edema is possible. Fracture of a left rib.", "Fracture. No mass.", "g1"),
    ("b", "train", "The lungs are clear. No mass.", None, "g2"),
    ("c", "train", "As in the test split.", None, "g3"),
    ("d", "validation", "Mild edema. The lungs are clear.", None, "g4"),
    ("e", "test", "As in the test split.", None, "g3"),
    ("f", "train", LONG, "A small effusion.", "g5"),
]
# report, words, label, status, probability; labels are the strongest mention; the other labels of reports a to e are unmentioned
SAID = [
    ("a", "Edema", "Edema", "uncertain", 0.6),
    ("a", "Fracture", "Fracture", "present", None),
    ("a", "mass", "Mass", "absent", None),
    ("b", "mass", "Mass", "absent", None),
    ("d", "edema", "Edema", "present", None),
]
PHRASES = [
    ("a", "edema", "edema", "uncertain", 0.6),
    ("a", "fracture of a left rib", "fracture of a left rib", "present", None),
    ("d", "mild edema", "mild edema", "present", None),
]
CODES = {"edema": "J81.0", "mild edema": "J81.0", "fracture of a left rib": "S22.3"}
WRITTEN = [("w1", "A mass is seen here.", "Mass"), ("w2", "There is a round mass.", "Mass"), ("w3", "Clear edema.", "Edema")]


def reports(rows: list[tuple[str, str, str, str | None, str]]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=["report_id", "split", "findings", "impression", "text_group"], orient="row")
    found, summed = pl.format("FINDINGS: {}", "findings"), pl.format("IMPRESSION: {}", "impression")
    return frame.with_columns(text=pl.concat_str(found, summed, separator="\n", ignore_nulls=True))


def teacher(said: list[Any], texts: pl.DataFrame, names: list[str], without_places: str = "") -> Taught:
    """Tables of a teacher that labelled all reports but f; of the reports `without_places` it gives no evidence."""
    labelled = [report for report in texts["report_id"] if report != "f"]
    labels = {(report, name): ("unmentioned", None) for report in labelled for name in names}
    labels |= {(report, label): (status, p) for report, _, label, status, p in said}
    text = {report: text.lower() for report, text in texts.select("report_id", "text").iter_rows()}
    places = [(r, label, s, p, text[r].index(w.lower()), len(w)) for r, w, label, s, p in said if r not in without_places]
    found = [(i, t, name, t.lower().index(name.lower())) for i, t, name in WRITTEN]
    written = [(i, t, name, "present", None, CODES.get(name), start, len(name), name) for i, t, name, start in found]
    said_of = {"report_id": pl.String, "label": pl.String, "status": pl.String, "probability": pl.Float64}
    cells = {"orient": "row"}
    of_written = {"sentence_id": pl.String, "text": pl.String, **dict(list(said_of.items())[1:]), "code": pl.String}
    spans, end = {"start": pl.Int64, "n": pl.Int64}, pl.col("start") + pl.col("n")
    return Taught(
        pl.DataFrame([(*k, *v, CODES.get(k[1])) for k, v in labels.items()], said_of | {"code": pl.String}, **cells),
        pl.DataFrame(places, said_of | spans, **cells).with_columns(end=end),
        texts.select("report_id", outcome=pl.when(report_id="f").then(pl.lit("quarantined")).otherwise(pl.lit("labelled"))),
        pl.DataFrame(written, of_written | spans | {"about": pl.String}, **cells).with_columns(end=end),
    )


def settings(**changed: Any) -> MergeParams:
    """The shipped ones with hedges by grade and nothing written or blanked; `choice` and `open`: changes of the tasks."""
    content = params.read(ROOT / "params.yaml")["merge"]
    content |= {"max_tokens": 600, "uncertain": "mask", "soft_labels": True}
    choice = {"sections": "findings_and_impression", "written": 0, "blanked": 0.0} | changed.pop("choice", {})
    content["multiple_choice"] |= choice
    content["open_ended"] |= {"written": 0} | changed.pop("open", {})
    return MergeParams.model_validate(content | changed)


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_base)


@pytest.fixture(scope="module")
def merge(tokenizer: Any) -> Any:
    def made(rows: Any = REPORTS, said: Any = SAID, phrases: Any = PHRASES, without_places: str = "", **changed: Any) -> Merged:
        frame = reports(rows)
        taught = {
            "multiple_choice": teacher(said, frame, [label.name for label in LABELS], without_places),
            "open_ended": teacher(phrases, frame, [], without_places),
        }
        return merging.merge(settings(**changed), frame, taught, LABELS, tokenizer, ROOT / "prompts/student")

    return made


def of(made: Merged, report: str, task: str = "multiple_choice") -> pl.DataFrame:
    return made.examples.filter(report_id=report, task=task).sort("part")


SENTENCES, WHOLE = {"units": "sentences"}, {"units": "reports"}
FORMS = [
    (SENTENCES | {"answers": "head"}, SENTENCES | {"answers": "tags"}),
    (SENTENCES | {"answers": "slots", "blanked": 1.0}, SENTENCES | {"answers": "lines", "written": 1}),
    (WHOLE | {"answers": "head"}, WHOLE | {"answers": "tags"}),
    (WHOLE | {"answers": "slots"}, WHOLE | {"answers": "lines"}),
    (WHOLE | {"answers": "list"}, WHOLE | {"answers": "lines", "examples": 0}),
]


@pytest.mark.parametrize(("choice", "open_ended"), FORMS)
@pytest.mark.parametrize("sections", ["findings_and_impression", "impression_else_findings"])
def test_every_report_stays_asked_whole_whatever_is_taught(merge: Any, choice: Any, open_ended: Any, sections: str) -> None:
    made = merge(choice=choice | {"sections": sections}, open=open_ended | {"sections": sections})
    checked = tables.check(Examples, made.examples, "examples")
    for task, how in (("multiple_choice", choice), ("open_ended", open_ended)):
        asked = dict(checked.filter("asked", task=task).group_by("report_id").len().iter_rows())
        sentences = {"a": 4, "b": 2, "d": 2, "e": 1, "f": 201}
        assert asked == (sentences if how["units"] == "sentences" else dict.fromkeys(sentences, 1))
        assert made.metrics[task]["dropped_text_held_out"] == 1
    assert not checked.filter("selected", split="test").height
    assert not checked.filter(pl.col("selected") & pl.col("completion").is_null()).height


def test_a_part_learns_what_is_said_in_it_and_nothing_else(merge: Any) -> None:
    made = merge()
    told = of(made, "a")
    assert told["prompt"].to_list() == ["Edema is possible", "Fracture of a left rib", "Fracture", "No mass"]
    assert told["targets"].to_list() == [[0.6, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]]  # the evidence names one fracture
    tagged = of(made, "a", "open_ended")
    assert tagged["completion"].to_list() == ["edema | J81.0", "fracture of a left rib | S22.3", "None", "None"]
    spans = [[(s["start"], s["end"], s["worth"]) for s in of_part] for of_part in tagged["spans"]]
    assert spans == [[(0, 5, 0.6)], [(0, 22, 1)], [], []]


@pytest.mark.parametrize("answers", ["head", "slots", "list"])
def test_a_whole_report_learns_its_own_labels(merge: Any, answers: str) -> None:
    row = of(merge(choice=WHOLE | {"answers": answers}, open=WHOLE | {"answers": "lines"}), "a").row(0, named=True)
    assert row["completion"] == {"head": "", "slots": "Edema\nFracture\nMass", "list": "Edema, Fracture"}[answers]
    assert row["targets"] == (None if answers == "list" else [0.6, 1.0, 0.0])


@pytest.mark.parametrize("units", ["sentences", "reports"])
def test_a_teacher_of_impressions_teaches_nothing_of_findings(merge: Any, units: str) -> None:
    """Here the evidence holds mentions of both sections: what lies outside of what the teacher read is not taught."""
    sections = {"units": units, "sections": "impression_else_findings"}
    told = of(merge(choice=sections), "a")
    taught = told.drop_nulls("completion")
    if units == "sentences":
        assert taught["prompt"].to_list() == ["Fracture", "No mass"]
        assert taught["targets"].to_list() == [[0.0, 0.0, 0.0]] * 2
        assert told["asked"].all()
    else:
        assert taught.select("prompt", "asked", "selected").rows() == [("Fracture. No mass.", False, True)]
        assert told.filter("asked")["prompt"].str.starts_with("FINDINGS: Edema is possible.").to_list() == [True]


def test_quarantined_reports_and_other_splits_are_asked_and_not_trained_on(merge: Any) -> None:
    made = merge(choice=WHOLE)
    assert of(made, "f").select("completion", "asked", "selected").rows() == [(None, True, False)]
    assert made.metrics["multiple_choice"] == {
        "train": 2, "written": 0, "validation": 1, "available": 2, "repeated": 0, "not_taught": 1, "reports_without_evidence": 0,
        "shortened": 1, "targets_cut_away": 0, "targets_of_unknown_place": 0, "answer_too_long": 0, "dropped_text_held_out": 1,
    }  # fmt: skip
    assert of(made, "c").is_empty()


def test_labels_that_all_come_without_evidence_are_refused_and_the_way_out_named(merge: Any) -> None:
    with pytest.raises(InputError, match=r"sentences that state them are unknown.*set merge\.multiple_choice\.units: reports$"):
        merge(without_places="abd")
    told = r"set merge\.open_ended\.units: reports and merge\.open_ended\.answers: lines$"
    for units in (SENTENCES, WHOLE):
        with pytest.raises(InputError, match=told):
            merge(without_places="ad", choice=WHOLE, open=units)
    made = merge(without_places="ad", choice=WHOLE, open=WHOLE | {"answers": "lines"})
    assert of(made, "a")["targets"].to_list() == [[0.6, 1.0, 0.0]]


def test_a_report_without_evidence_is_counted_asked_and_not_trained_on(merge: Any) -> None:
    made = merge(without_places="a")
    for task in ("multiple_choice", "open_ended"):
        assert made.metrics[task]["reports_without_evidence"] == 1
        assert of(made, "a", task).select("asked", "completion", "selected").unique().rows() == [(True, None, False)]
        assert made.metrics[task]["not_taught"] == 4 + 201
        assert of(made, "b", task)["selected"].all()


def test_identical_sentences_are_trained_on_once_a_split(merge: Any) -> None:
    rows = [(f"r{n}", split, "The lungs are clear.", None, f"g{n}") for n, split in enumerate(["train"] * 3 + ["validation"] * 2)]
    made = merge(rows, [], [])
    assert made.examples.filter("selected").group_by("task", "split").len()["len"].to_list() == [1] * 4
    assert made.metrics["multiple_choice"]["repeated"] == 2
    assert made.examples.filter("asked").height == 10
    assert made.examples["completion"].null_count() == 0


RARE = [(f"r{n}", "train", f"Film {n}: " + ("a mass" if n >= 190 else "clear"), None, f"h{n}") for n in range(200)]


def test_rare_labels_come_first_and_samples_grow(merge: Any) -> None:
    rows, said = [*RARE, REPORTS[3]], [(f"r{n}", "mass", "Mass", "present", None) for n in range(190, 200)]
    samples = {}
    for n in (0, 10, 40, -1):
        made = merge(rows, said, [], choice={"examples": n})
        chosen = made.examples.filter("selected", task="multiple_choice", split="train")
        samples[n] = set(chosen["report_id"])
        assert made.metrics["multiple_choice"]["train"] == len(samples[n]) == (200 if n == -1 else n)
        assert made.metrics["multiple_choice"]["validation"] == (2 if n else 0)
    assert samples[10] < samples[40] < samples[-1]
    rare = {f"r{n}" for n in range(190, 200)}
    assert len(samples[40] & rare) >= 8  # evenly drawn it would be two


def test_a_turn_is_weighted_by_the_rarest_label() -> None:
    counts = {"Edema": 100, "Mass": 2, "": 500}
    ratio = [turn("key", holds, counts) / turn("key", ["Mass"], counts) for holds in (["Mass", "Edema"], ["Edema"], [])]
    assert ratio == pytest.approx([1, 50, 250])
    draws = [fraction_of(str(n)) for n in range(1000)]
    assert 0 < min(draws) < 0.01
    assert 0.99 < max(draws) <= 1
    assert sum(draws) / 1000 == pytest.approx(0.5, abs=0.03)


def test_order_is_a_hash_of_the_report_in_its_split_and_validation_takes_the_first(merge: Any) -> None:
    rows = [(f"r{n}", ("train", "validation")[n % 2], f"Film {n}.", None, f"g{n}") for n in range(40)]
    one, more, other = merge(rows, [], [], validation_examples=5), merge(rows[:30], [], []), merge(rows, [], [], seed=14)
    for task in ("multiple_choice", "open_ended"):
        of_split = one.examples.filter(task=task, split="validation").sort("order")
        assert of_split["order"].to_list() == list(range(20))
        assert of_split["selected"].to_list() == [True] * 5 + [False] * 15
        fewer = more.examples.filter(task=task, split="validation").sort("order")["report_id"].to_list()
        assert fewer == [report for report in of_split["report_id"] if report in fewer]
        reseeded = other.examples.filter(task=task, split="validation").sort("order")
        assert of_split["report_id"].to_list() != reseeded["report_id"].to_list()


@pytest.mark.parametrize(("examples", "written", "chosen"), [(-1, 1, 1), (-1, 9, 2), (-1, 0, 0), (0, 9, 0), (1, 9, 2)])
def test_written_sentences_are_trained_on_so_many_of_each_label_and_never_asked(
    merge: Any, examples: int, written: int, chosen: int
) -> None:
    made = merge(choice={"examples": examples, "written": written})
    rows = made.examples.filter(pl.col("report_id").str.starts_with("w"))
    assert rows["prompt"].str.contains("mass").sum() == chosen
    assert rows["prompt"].str.contains("edema").sum() == min(1, chosen)
    assert not rows["asked"].any()
    assert rows["selected"].all()
    assert set(rows["split"]) <= {"train"}
    assert {tuple(t) for t in rows.filter(pl.col("prompt").str.contains("mass"))["targets"]} <= {(0.0, 0.0, 1.0)}
    assert made.metrics["multiple_choice"]["written"] == rows.height
    assert made.metrics["multiple_choice"]["available"] == 6  # sentences of reports


def test_written_sentences_are_tagged_with_their_codes(merge: Any) -> None:
    rows = merge(open={"written": 9}).examples.filter(report_id="w3", task="open_ended")
    assert rows["completion"].to_list() == ["Edema |"]
    assert rows["spans"].to_list() == [[{"start": 6, "end": 11, "worth": 1.0}]]


@pytest.mark.parametrize("answers", ["head", "slots"])
def test_blanked_copies_hide_words_of_the_sentence_and_are_never_asked(merge: Any, answers: str) -> None:
    one, again = (merge(choice={"blanked": 1.0, "answers": answers}) for _ in range(2))
    assert one.examples.equals(again.examples)
    copies = one.examples.filter(pl.col("part") >= BLANKED)
    whole = copies.with_columns(pl.col("part") - BLANKED).join(one.examples, on=["report_id", "task", "part"], validate="1:1")
    assert copies.select("report_id", "split", "asked", "selected").unique().rows() == [("a", "train", False, True)]
    assert whole["targets"].equals(whole["targets_right"])
    hidden = [(a.replace("Fracture", "XXXX").replace("Edema", "XXXX")) for a in whole["prompt_right"]]
    assert whole["prompt"].to_list() == hidden  # "No mass" is too short to lose a word; validation is not blanked
    assert one.metrics["multiple_choice"]["train"] == 5 + copies.height == 6  # "No mass" comes twice
    asked = one.examples.filter("asked", task="multiple_choice")
    assert asked.equals(merge(choice={"answers": answers}).examples.filter("asked", task="multiple_choice"))


def test_the_share_of_sentences_that_come_blanked(merge: Any) -> None:
    rows = [(f"r{n}", "train", f"Film {n} shows a mass", None, f"g{n}") for n in range(200)]
    said = [(f"r{n}", "mass", "Mass", "present", None) for n in range(200)]
    made = [merge(rows, said, [], choice={"blanked": share}).examples for share in (0.1, 0.3)]
    few, more = (examples.filter(pl.col("part") >= BLANKED) for examples in made)
    assert 10 < few.height < 35
    assert 45 < more.height < 80
    assert set(few["report_id"]) < set(more["report_id"])


def test_probabilities_that_are_not_used_are_told(merge: Any, capsys: pytest.CaptureFixture[str]) -> None:
    graded = [("d", "edema", "Edema", "present", 0.9) if row[0] == "d" else row for row in SAID]
    merge(said=graded, soft_labels=True)
    assert "probabilities" not in capsys.readouterr().err
    merge(soft_labels=False)  # a hedge alone
    assert "probabilities" not in capsys.readouterr().err
    merge(said=graded, soft_labels=False)
    assert "multiple_choice: 1 probabilities of the teacher are not used; merge.soft_labels: true" in capsys.readouterr().err


def test_lists_are_of_whole_reports_and_unknown_sections_are_named(merge: Any) -> None:
    with pytest.raises(ValidationError, match="set units: reports"):
        settings(choice=SENTENCES | {"answers": "list"})
    with pytest.raises(InputError, match="sections 'impresion' is none of"):
        merge(choice={"sections": "impresion"})


def test_a_long_report_keeps_impression_and_answer(merge: Any, tokenizer: Any) -> None:
    prompt = of(merge(open=WHOLE | {"answers": "lines"}), "f", "open_ended")["prompt"][0]
    assert "IMPRESSION: A small effusion." in prompt
    assert LONG not in prompt
    full = len(encode(tokenizer, prompt, None, "lines").input_ids)
    assert full <= 600
    assert full + 3 * len(tokenizer(" lungs")["input_ids"]) > 600  # as much of the report as there is room for
    with pytest.raises(InputError, match=r"merge\.max_tokens: 70 tokens do not hold"):
        merge(open=WHOLE | {"answers": "lines"}, max_tokens=70)


@pytest.mark.parametrize("form", ["head", "tags"])
def test_what_is_read_without_instruction_is_cut_at_its_end(tokenizer: Any, form: str) -> None:
    renderer = Renderer(ROOT / "prompts/student", tokenizer, LABELS)
    text = "Clear. " + "Bibasilar atelectasis is seen. " * 20
    for limit in (32, 33, 64, 10_000):
        fitted = Fitter(renderer, tokenizer, form, limit).fit(only(text), None)
        assert fitted is not None
        prompt, kept, cut = fitted
        assert kept == [(0, len(prompt))]
        used = len(encode(tokenizer, prompt, None, form).input_ids)
        assert text.startswith(prompt)
        assert cut == (prompt != text)
        assert limit - 2 <= used <= limit or not cut


def test_spans_beyond_the_cut_are_left_out(merge: Any) -> None:
    rows = [("a", "train", "Edema. " + LONG + " Edema.", None, "g1"), REPORTS[3]]
    phrases = [("a", "edema", "edema", "present", None), ("a", "clear. edema", "late edema", "present", None)]
    row = of(merge(rows, [], phrases, open=WHOLE), "a", "open_ended").row(0, named=True)
    assert [(s["start"], s["end"]) for s in row["spans"]] == [(10, 15)]
    assert row["prompt"].startswith("FINDINGS: Edema. The lungs")


# The last word names the only finding; in sentences the report is one that never stops.
LATE = "The lungs and the heart and the bones are clear " * 50 + "Right mass"


SHORTENED = [
    *[("multiple_choice", answers, units, "") for answers in ("head", "slots") for units in ("sentences", "reports")],
    *[("open_ended", answers, units, "") for answers in ("lines", "tags") for units in ("sentences", "reports")],
    ("multiple_choice", "list", "reports", ""),
    *[("multiple_choice", answers, "reports", "r") for answers in ("head", "slots", "list")],
    ("open_ended", "lines", "reports", "r"),
]


@pytest.mark.parametrize(("task", "answers", "units", "without_places"), SHORTENED)
def test_what_a_shortened_text_no_longer_says_is_not_taught(
    merge: Any, tokenizer: Any, task: str, answers: str, units: str, without_places: str
) -> None:
    """Labels without places are looked for by their own words."""
    rows = [("r", "train", LATE, None, "g1"), ("s", "train", "A mass, and edema.", None, "g2"), REPORTS[3]]
    words = [("r", "mass", "Mass"), ("s", "mass", "Mass"), ("s", "edema", "Edema")]
    said = [(*word, "present", None) for word in words]
    phrases = [("r", "right mass", "right mass", "present", None), ("s", "mass", "mass", "present", None)]
    whole = {"choice": WHOLE | {"answers": "head"}, "open": WHOLE | {"answers": "lines"}}
    changed = whole | {"choice" if task == "multiple_choice" else "open": {"units": units, "answers": answers}}
    made = merge(rows, said, phrases, without_places, **changed)
    late, short = (of(made, report, task).row(0, named=True) for report in "rs")
    assert LATE[:500] in late["prompt"]
    assert "Right mass" not in late["prompt"]
    expected: dict[str, tuple[str, Any, Any]] = {
        "head": ("", [0.0, 0.0, None], None),
        "slots": ("Edema\nFracture\nMass", [0.0, 0.0, None], None),
        "list": ("Normal", None, None),
        "lines": ("None", None, None),
        "tags": ("None", None, []),
    }
    assert (late["completion"], late["targets"], late["spans"]) == expected[answers]
    assert made.metrics[task]["targets_cut_away"] == made.metrics[task]["shortened"] == 1
    assert made.metrics[task]["targets_of_unknown_place"] == 0
    assert short["completion"] != expected[answers][0] or short["targets"] == [1.0, 0.0, 1.0]
    for prompt, completion, form in made.examples.filter("selected").select("prompt", "completion", "answers").iter_rows():
        assert len(encode(tokenizer, prompt, completion, form).input_ids) <= 600


def test_a_finding_that_a_shortened_text_still_states_is_taught(merge: Any) -> None:
    """Of two mentions the strongest counts; a label without a place is counted, and taught as it was."""
    unknown = LATE.replace("mass", "lump")
    texts = [("twice", LATE, "A mass."), ("hint", LATE, "Perhaps mass."), ("unknown", unknown, "Clear.")]
    rows = [*((report, "train", findings, summed, report) for report, findings, summed in texts), REPORTS[3]]
    words = {"twice": "mass.", "hint": "Right mass", "unknown": "Right lump"}
    said = [(report, word, "Mass", "present", None) for report, word in words.items()]
    choice = WHOLE | {"answers": "slots"}
    made = merge(rows, said, [], "unknown", choice=choice, open=WHOLE | {"answers": "lines"})
    targets = {report: of(made, report)["targets"].to_list()[0] for report, *_ in rows[:3]}
    assert targets == {"twice": [0.0, 0.0, 1.0], "hint": [0.0, 0.0, None], "unknown": [0.0, 0.0, 1.0]}
    counted = made.metrics["multiple_choice"]
    assert (counted["shortened"], counted["targets_cut_away"], counted["targets_of_unknown_place"]) == (3, 1, 1)


def test_half_a_phrase_that_is_left_is_neither_a_finding_nor_none(merge: Any) -> None:
    phrase = "mass " + "of great size and " * 200 + "of odd shape"
    rows = [("r", "train", f"A {phrase}", None, "g1"), REPORTS[3]]
    made = merge(rows, [], [("r", phrase, phrase, "present", None)], open=WHOLE)
    row = of(made, "r", "open_ended").row(0, named=True)
    assert row["completion"] == "None"
    assert row["spans"] == [{"start": len("FINDINGS: A "), "end": len(row["prompt"]), "worth": None}]


MANY = [(f"nodule number {n}", "R91.1") for n in range(80)]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_an_answer_too_long_sets_its_report_aside_and_no_other(
    merge: Any, capsys: pytest.CaptureFixture[str], split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [("long", split, "Nodules.", None, "g9"), *REPORTS]
    monkeypatch.setattr("test_merging.CODES", CODES | dict(MANY))
    phrases = [*PHRASES, *(("long", "Nodules", phrase, "present", None) for phrase, _ in MANY)]
    how = {"choice": WHOLE, "open": WHOLE | {"answers": "lines"}}
    made, without = merge(rows, SAID, phrases, **how), merge(**how)
    row = of(made, "long", "open_ended").row(0, named=True)
    assert (row["asked"], row["selected"], row["completion"]) == (True, False, None)
    assert "Nodules." in row["prompt"]
    assert made.quarantine.rows() == [("long", 0, "open_ended: the answer is too long for merge.max_tokens", None)]
    assert "1 answers are not trained on, merge.max_tokens: 600 tokens do not hold them: long\n" in capsys.readouterr().err
    assert made.metrics["open_ended"]["answer_too_long"] == 1
    assert made.metrics["multiple_choice"]["answer_too_long"] == 0
    assert not of(made, "long")["completion"].null_count()
    others = pl.col("report_id") != "long"
    same = ["report_id", "task", "prompt", "completion", "targets"]
    assert made.examples.filter(others).select(same).equals(without.examples.select(same))
    assert without.quarantine.is_empty()


def test_settings_that_hold_no_answer_at_all_are_refused(merge: Any) -> None:
    many = [(report, "edema", phrase, "present", None) for report in "ad" for phrase, _ in MANY]
    rows = [REPORTS[0], REPORTS[3]]
    with pytest.raises(InputError, match=r"600 tokens do not hold one answer of open_ended \(lines\); raise it"):
        merge(rows, SAID[:3], many, open=WHOLE | {"answers": "lines"})
    with pytest.raises(InputError, match=r"40 tokens do not hold the instruction of slots"):
        merge(choice=WHOLE | {"answers": "slots"}, max_tokens=40)


def test_a_written_sentence_with_too_long_an_answer_is_set_aside(merge: Any, tokenizer: Any) -> None:
    renderer = Renderer(ROOT / "prompts/student", tokenizer, LABELS)
    instruction = len(encode(tokenizer, renderer.prompt("lines", ""), "None", "lines").input_ids)
    made = merge(open=SENTENCES | {"answers": "lines", "written": 9}, max_tokens=instruction + 2)
    aside = made.quarantine.filter(pl.col("report_id").str.starts_with("w"))
    assert aside.height > 0
    assert not made.examples.filter(pl.col("selected") & pl.col("completion").is_null()).height
    assert not set(aside["report_id"]) & set(made.examples.filter(task="open_ended")["report_id"])
