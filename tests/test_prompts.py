"""Prompts are pinned as text, the loss covers answers only, slots are where names end."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from raddistill import answer_format
from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.student.prompts import IGNORED, Renderer, answer_ids, encode
from raddistill.tasks.names import PLAIN

ROOT = Path(__file__).parents[1]
LABELS = [Label(name="Pleural Effusion", description="fluid"), Label(name="Edema", description="water")]
REPORT = "FINDINGS: The heart is mildly enlarged.\nIMPRESSION: No acute disease."
SYSTEM = "You read radiology reports and answer exactly in the form asked for."
ASKED = {
    "slots": "Does the report state the finding as present, also if hedged? Judge every line, yes or no.",
    "list": "Which of these labels does the report state as present, also if hedged? Answer with their names, separated by "
    "commas, or Normal if none.\nLabels: Pleural Effusion, Edema",
    "lines": "List every phrase of the report that states a present finding, one a line, as: verbatim phrase | ICD-10-CM code. "
    "Answer None if there is none.",
}


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_base)


@pytest.fixture(scope="module")
def renderer(tokenizer: Any) -> Renderer:
    return Renderer(ROOT / "prompts/student", tokenizer, LABELS)


@pytest.mark.parametrize("form", list(ASKED))
def test_prompt_is_this_text(renderer: Renderer, form: str) -> None:
    expected = f"<|system|>{SYSTEM}<|end|>\n<|user|>{ASKED[form]}\n\n{REPORT}<|end|>\n<|assistant|>"
    assert renderer.prompt(form, REPORT) == expected


def test_report_is_not_a_template(renderer: Renderer) -> None:
    assert "{{ labels }} <b>&" in renderer.prompt("lines", "{{ labels }} <b>&")


def test_missing_template_is_named(tokenizer: Any, tmp_path: Path) -> None:
    (tmp_path / "system.txt").write_text("Hi", encoding="utf-8")
    with pytest.raises(InputError, match=r"open_ended\.jinja: TemplateNotFound"):
        Renderer(tmp_path, tokenizer, LABELS).prompt("lines", REPORT)
    (tmp_path / "system.txt").unlink()
    (tmp_path / "open_ended.jinja").write_text("{{ report }}", encoding="utf-8")
    with pytest.raises(InputError, match=r"system\.txt is missing"):
        Renderer(tmp_path, tokenizer, LABELS).prompt("lines", REPORT)


@pytest.mark.parametrize("form", PLAIN)
def test_head_and_tags_read_the_words_alone(tokenizer: Any, tmp_path: Path, form: str) -> None:
    assert Renderer(tmp_path, tokenizer, LABELS).prompt(form, REPORT) == REPORT


def test_template_hash_follows_the_prompt(tokenizer: Any, renderer: Renderer) -> None:
    others = Renderer(ROOT / "prompts/student", tokenizer, LABELS[:1])
    assert len({renderer.template_hash(form) for form in (*ASKED, *PLAIN)}) == 5
    same = {form: renderer.template_hash(form) == others.template_hash(form) for form in (*ASKED, *PLAIN)}
    assert same == {"slots": True, "list": False, "lines": True, "head": True, "tags": True}


def test_loss_covers_the_answer_and_its_end_only(renderer: Renderer, tokenizer: Any) -> None:
    prompt, completion = renderer.prompt("lines", REPORT), "mildly enlarged heart | I51.7"
    encoded = encode(tokenizer, prompt, completion, "lines")
    trained = [i for i, label in zip(encoded.input_ids, encoded.labels, strict=True) if label != IGNORED]
    assert tokenizer.decode(trained) == completion + tokenizer.eos_token
    assert all(label in (IGNORED, i) for i, label in zip(encoded.input_ids, encoded.labels, strict=True))
    assert tokenizer.decode(encoded.input_ids[: encoded.prompt_length]) == prompt


def test_training_and_prediction_share_the_prefix(renderer: Renderer, tokenizer: Any) -> None:
    prompt = renderer.prompt("lines", REPORT)
    asked = encode(tokenizer, prompt, None, "lines").input_ids
    assert encode(tokenizer, prompt, "None", "lines").input_ids[: len(asked)] == asked


def test_slots_stand_at_the_last_token_of_each_name(renderer: Renderer, tokenizer: Any) -> None:
    prompt = renderer.prompt("slots", REPORT)
    encoded = encode(tokenizer, prompt, answer_format.render_slots(LABELS), "slots")
    assert set(encoded.labels) == {IGNORED}
    ends = [tokenizer.decode(encoded.input_ids[encoded.prompt_length : slot + 1]) for slot in encoded.read_at]
    assert ends == ["Pleural Effusion", "Pleural Effusion\nEdema"]
    assert encoded.read_at[-1] == len(encoded.input_ids) - 1


@pytest.mark.parametrize("begin", [None, "<|system|>"])
def test_head_is_read_at_the_end_token(tiny_base: Path, begin: str | None) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_base, bos_token=begin)
    encoded = encode(tokenizer, REPORT, "", "head")
    assert tokenizer.decode(encoded.input_ids) == (begin or "") + REPORT + "<|end|>"
    assert encoded.read_at == [len(encoded.input_ids) - 1]
    assert encoded == encode(tokenizer, REPORT, None, "head")  # whatever the labels are


@pytest.mark.parametrize("begin", [None, "<|system|>"])
def test_tags_are_read_in_the_second_copy_of_the_words(tiny_base: Path, begin: str | None) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_base, bos_token=begin)
    text = "Fracture of the 7th rib – naïve, no effusion."
    encoded = encode(tokenizer, text, "rib fracture | S22.3", "tags")
    assert tokenizer.decode(encoded.input_ids) == f"{begin or ''}{text}\n{text}"
    assert tokenizer.decode([encoded.input_ids[slot] for slot in encoded.read_at]) == text
    assert len(encoded.offsets) == len(encoded.read_at) == len(set(encoded.read_at))
    for slot, (start, end) in zip(encoded.read_at, encoded.offsets, strict=True):
        told = tokenizer.decode([encoded.input_ids[slot]])
        assert text[start:end] == told or not text[start:end].isascii()  # bytes of one letter share its place
    assert encoded == encode(tokenizer, text, None, "tags")
    assert set(encoded.labels) == {IGNORED}


def test_split_answer_words_are_refused(tokenizer: Any) -> None:
    assert len(set(answer_ids(tokenizer))) == 2

    class Letters:
        def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
            return {"input_ids": [ord(c) for c in text]}

    with pytest.raises(InputError, match=r"use merge\.answers: list"):
        answer_ids(Letters())
