"""Prompts are pinned as text, the loss covers answers only, slots are where names end."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from raddistill.errors import InputError
from raddistill.labelsets import Label
from raddistill.student.prompts import IGNORED, Renderer, answer_ids, encode, slot_lines

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


@pytest.mark.parametrize("answers", list(ASKED))
def test_prompt_is_this_text(renderer: Renderer, answers: str) -> None:
    expected = f"<|system|>{SYSTEM}<|end|>\n<|user|>{ASKED[answers]}\n\n{REPORT}<|end|>\n<|assistant|>"
    assert renderer.prompt(answers, REPORT) == expected


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


def test_template_hash_follows_the_prompt(tokenizer: Any, renderer: Renderer) -> None:
    assert renderer.template_hash("slots") == Renderer(ROOT / "prompts/student", tokenizer, LABELS).template_hash("slots")
    assert len({renderer.template_hash(a) for a in ASKED}) == 3


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
    encoded = encode(tokenizer, prompt, slot_lines(LABELS), "slots")
    assert set(encoded.labels) == {IGNORED}
    ends = [tokenizer.decode(encoded.input_ids[encoded.prompt_length : slot + 1]) for slot in encoded.slots]
    assert ends == ["Pleural Effusion", "Pleural Effusion\nEdema"]
    assert encoded.slots[-1] == len(encoded.input_ids) - 1


def test_split_answer_words_are_refused(tokenizer: Any) -> None:
    assert len(set(answer_ids(tokenizer))) == 2

    class Letters:
        def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
            return {"input_ids": [ord(c) for c in text]}

    with pytest.raises(InputError, match=r"use merge\.answers: list"):
        answer_ids(Letters())
