"""Answers of the LLM teacher: what passes, what does not and why; nothing that a model can write raises."""

import json
import subprocess
import sys
import warnings
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from raddistill.labelsets import Label
from raddistill.llm_client.messages import Answer
from raddistill.statuses import STATUSES
from raddistill.teachers.llm import checking
from raddistill.teachers.llm.checking import Checker, locate, section_at
from raddistill.teachers.llm.conversations import check_prompt
from raddistill.teachers.llm.parsing import Fault, split_thoughts
from raddistill.teachers.llm.questions import Question
from raddistill.teachers.llm.settings import LLMParams
from raddistill.teachers.teacher import Finding

LABELS = [Label(name=name, description="d") for name in ("Edema", "Pleural Effusion", "Support Devices")]
NAMES = [label.name for label in LABELS]
FINDINGS = "FINDINGS: The port ends where it should. A layer of fluid lies on the left."
TEXT = FINDINGS + "\nIMPRESSION: Left effusion, possibly with Edema."
REASONS = {
    "answer cut off at max_tokens", "stopped by the content filter", "refused by the model", "empty answer", "not JSON",
    "not of the schema", "line of another form", "label not of the set", "label twice", "label missing", "status unknown",
    "quote without a mention", "no quote", "quote not in the report", "code does not exist", "phrase twice",
    "answer cut off at max_tokens while thinking", "answer cut off at the server's context", "thoughts without an answer",
    "no choices in the reply",
}  # fmt: skip


FILTERS = ["SAFETY", "RECITATION", "content_filtered", "guardrail_intervened", "SPII", "content-filter", "sensitive"]


def params(form: str, logprobs: bool = False) -> LLMParams:
    return LLMParams(
        endpoint="compatible", model="m", answers=form, temperature=None, top_p=None, max_tokens=100, examples=0, seed=1, asks=1,
        samples=1, logprobs=logprobs,
    )  # fmt: skip


def answered(text: str | None, finish: str = "stop", logprobs: list[list[Any]] | None = None) -> Answer:
    return Answer("k", text, finish, "m", None, logprobs, 1, 100, 0, None, 0.0, "direct")


def check(text: str | None, task: str = "multiple_choice", form: str = "text", finish: str = "stop") -> list[Finding] | Fault:
    return Checker(task, LABELS, params(form)).check(answered(text, finish), TEXT)


def found(text: str | None, task: str = "multiple_choice", form: str = "text") -> list[Finding]:
    findings = check(text, task, form)
    assert isinstance(findings, list), findings
    return findings


def fault(text: str | None, task: str = "multiple_choice", form: str = "text", finish: str = "stop") -> Fault:
    said = check(text, task, form, finish)
    assert isinstance(said, Fault), said
    assert said.reason in REASONS
    return said


def quoted(findings: list[Finding]) -> list[tuple[str, str, str | None, str | None]]:
    """Label, status, section, and the report's words. A finding has one place at most."""
    rows: list[tuple[str, str, str | None, str | None]] = []
    for f in findings:
        assert len(f.mentions) <= 1
        section, words = next(((m.section, TEXT[m.start : m.end]) for m in f.mentions), (None, None))
        rows.append((f.label, f.status, section, words))
    return rows


def as_json(**changed: Any) -> str:
    entries: dict[str, Any] = {
        "Edema": {"status": "uncertain", "quote": "possibly with edema"},
        "Pleural Effusion": {"status": "present", "quote": "Left effusion"},
        "Support Devices": {"status": "unmentioned", "quote": ""},
    }
    entries |= {name.replace("_", " "): entry for name, entry in changed.items()}
    return json.dumps({name: entry for name, entry in entries.items() if entry is not None})


LINES = (
    'Edema | uncertain | "possibly with edema"\nPleural Effusion | present | "Left effusion"\nSupport Devices | unmentioned | ""'
)
READ = [
    ("Edema", "uncertain", "impression", "possibly with Edema"),
    ("Pleural Effusion", "present", "impression", "Left effusion"),
    ("Support Devices", "unmentioned", None, None),
]


@pytest.mark.parametrize(
    "text",
    [
        LINES,
        LINES + "\n",
        "\n" + LINES.replace("\n", "\r\n\r\n"),
        "```\n" + LINES + "\n```",
        "```text\r\n" + LINES + "\n```\n",
        "\n".join(reversed(LINES.split("\n"))),
        LINES.replace(" | ", "|"),
    ],
)
def test_lines_are_read_in_any_order_and_with_a_fence_around_all(text: str) -> None:
    assert quoted(found(text)) == READ


def test_json_is_read_with_any_spacing_and_order() -> None:
    assert quoted(found(as_json(), form="json_schema")) == READ
    turned = dict(reversed(json.loads(as_json()).items()))
    assert quoted(found(f" \n{json.dumps(turned, indent=2)}\n", form="json_schema")) == READ
    assert [finding.label for finding in found(json.dumps(turned), form="json_schema")] == NAMES


@pytest.mark.parametrize(
    ("text", "reason", "told"),
    [
        (LINES.replace("Edema |", "Oedema |"), "label not of the set", "Item 1 is none of the labels"),
        (LINES.replace("Edema |", "edema |"), "label not of the set", "Item 1 "),
        (LINES.rsplit("\n", 1)[0], "label missing", "Support Devices: is missing"),
        (LINES + "\n" + LINES.split("\n", maxsplit=1)[0], "label twice", "Edema: stands there twice"),
        (LINES.replace("uncertain", "maybe"), "status unknown", "Edema: the status is one of present, absent"),
        (LINES.replace("present", "Present"), "status unknown", "Pleural Effusion: "),
        (LINES.replace('"Left effusion"', '""'), "no quote", "Pleural Effusion: the words of the report"),
        (LINES.replace('"Left effusion"', '"Right effusion"'), "quote not in the report", "Pleural Effusion: these words"),
        (LINES.replace('""', '"The port"'), "quote without a mention", "Support Devices: an unmentioned label"),
        (
            LINES.replace('"Left effusion"', "Left effusion"),
            "line of another form",
            "Line 2 is not of the form: Label | status |",
        ),
        (LINES.replace('""', '"'), "line of another form", "Line 3 "),
        (LINES.replace(' | ""', ""), "line of another form", "Line 3 "),
        ("Sure, here you are:\n" + LINES, "line of another form", "Line 1 "),
        ("Sure:\n```\n" + LINES + "\n```", "line of another form", "Line 1 "),
        (as_json(), "line of another form", "Line 1 "),
    ],
)
def test_lines_that_are_not_used(text: str, reason: str, told: str) -> None:
    said = fault(text)
    assert said.reason == reason
    assert said.feedback.startswith(told)


def test_all_problems_are_told_at_once_and_none_repeats_the_report_or_the_answer() -> None:
    said = fault('Edema | present | "secret"\nSecret | gone | "x"\nPleural Effusion | odd | "Left effusion"')
    assert said.reason == "quote not in the report"
    assert [line.split(":")[0].split(" is none")[0] for line in said.feedback.split("\n")] == [
        "Edema", "Item 2", "Pleural Effusion", "Support Devices"
    ]  # fmt: skip
    assert not any(word in said.feedback for word in ("secret", "Secret", "gone", "odd", "Left effusion"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (as_json(Edema=None), "label missing"),
        (as_json(Gout={"status": "absent", "quote": "Left effusion"}), "label not of the set"),
        (as_json(Edema={"status": "present"}), "not of the schema"),
        (as_json(Edema={"status": "present", "quote": None}), "not of the schema"),
        (as_json(Edema={"status": 1, "quote": "Left effusion"}), "not of the schema"),
        (as_json(Edema={"status": "present", "quote": "Left effusion", "why": "x"}), "not of the schema"),
        (as_json(Edema="present"), "not of the schema"),
        (as_json(Pleural_Effusion={"status": "absent", "quote": "No effusion"}), "quote not in the report"),
        (as_json(Support_Devices={"status": "unmentioned", "quote": "The port"}), "quote without a mention"),
        ("[]", "not of the schema"),
        ("null", "not of the schema"),
        (as_json()[:-1], "not JSON"),
        (as_json() + "}", "not JSON"),
        ("Here: " + as_json(), "not JSON"),
        ("```json\n" + as_json() + "\n```", "not JSON"),
        (as_json()[:-1] + ', "Edema": {"status": "present", "quote": "Left effusion"}}', "label twice"),
        ('{"Edema": NaN}', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("1" * 10_000, "not JSON"),
        (LINES, "not JSON"),
    ],
)
def test_json_that_is_not_used(text: str, reason: str) -> None:
    assert fault(text, form="json_schema").reason == reason


@pytest.mark.parametrize(
    ("text", "finish", "reason"),
    [
        (LINES, "length", "answer cut off at max_tokens"),
        (LINES, "content_filter", "stopped by the content filter"),
        (LINES, "refusal", "refused by the model"),
        (None, "stop", "empty answer"),
        ("", "stop", "empty answer"),
        (" \n\t", "stop", "empty answer"),
        (LINES, "MAX_TOKENS", "answer cut off at max_tokens"),  # Gemini's word
        (None, "length", "answer cut off at max_tokens while thinking"),  # thoughts that a service keeps to itself
        ("<think>First the heart", "length", "answer cut off at max_tokens while thinking"),
        (None, "no_choices", "no choices in the reply"),
        *((LINES, finish, "stopped by the content filter") for finish in FILTERS),
        *((LINES, finish, "answer cut off at max_tokens") for finish in ("max_output_tokens", "incomplete", "error_limit")),
    ],
)
def test_an_answer_that_did_not_come_whole(text: str | None, finish: str, reason: str) -> None:
    assert fault(text, finish=finish).reason == reason


def test_a_filter_that_leaves_no_message_is_not_asked_again() -> None:
    said = fault(None, finish="no_message")
    assert (said.reason, said.final) == ("stopped by the content filter", True)
    assert not fault(None, finish="content_filter").final


@pytest.mark.parametrize("finish", ["length", "max_tokens", "incomplete"])
@pytest.mark.parametrize("before", ["", "<think>First the heart.</think>"])
def test_complete_json_is_read_though_it_ended_by_its_length(finish: str, before: str) -> None:
    checker = Checker("multiple_choice", LABELS, params("json_schema"))

    def read(text: str) -> list[Finding] | Fault:
        """Far from max_tokens, as at the end of a context."""
        return checker.check(answered(before + text, finish)._replace(prompt_tokens=3740, completion_tokens=60), TEXT)

    said = read(as_json() + 20 * "\n ")
    assert isinstance(said, list)
    assert quoted(said) == READ
    wrong = [read(as_json(Edema=None)), read(as_json(Edema={"status": "present", "quote": "Zanzibar"}))]
    assert [each.reason for each in wrong if isinstance(each, Fault)] == ["label missing", "quote not in the report"]
    for cut in (as_json()[:-1], as_json()[:40], "12", as_json() + "{"):
        said = read(cut)
        assert isinstance(said, Fault)
        assert said.reason == "answer cut off at the server's context"


THOUGHTS = 'First the heart. {"Edema": maybe}\nThen | the | lungs.'
BEFORE = [
    f"<think>\n{THOUGHTS}\n</think>\n\n", "<think>\n\n</think>\n", f"{THOUGHTS}</think>", f"<thinking>{THOUGHTS}</thinking>",
    f"[THINK]{THOUGHTS}[/THINK]", f"<seed:think>{THOUGHTS}</seed:think>", f"<unused94>thought\n{THOUGHTS}<unused95>",
    f"<|channel|>analysis<|message|>{THOUGHTS}<|end|><|start|>assistant<|channel|>final<|message|>",
    f"<think>{THOUGHTS}</think> Once more. <think>{THOUGHTS}</think>",
]  # fmt: skip


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("form", ["json_schema", "text"])
def test_thoughts_before_the_answer_are_passed_over(before: str, form: str) -> None:
    assert quoted(found(before + (LINES if form == "text" else as_json()), form=form)) == READ


@pytest.mark.parametrize("form", ["json_schema", "text"])
def test_an_answer_within_the_tags_of_thoughts_is_read(form: str) -> None:
    answer = LINES if form == "text" else as_json()
    assert quoted(found(f"<think>{answer}</think>", form=form)) == READ
    assert quoted(found(f"<think>\n{answer}\n", form=form)) == READ
    assert found(f"<think>{THOUGHTS}</think>\nNone", "open_ended") == []


def test_what_follows_thoughts_is_checked_as_strictly() -> None:
    assert fault(f"<think>{THOUGHTS}</think>Sure:\n{as_json()}", form="json_schema").reason == "not JSON"
    assert fault(f"<think>{THOUGHTS}</think>{as_json(Edema=None)}", form="json_schema").reason == "label missing"
    assert not fault(f"<think>{THOUGHTS}</think>{as_json(Edema=None)}", form="json_schema").final


@pytest.mark.parametrize(
    "text", [f"<think>{THOUGHTS}</think>", f"<think>{THOUGHTS}", f"<think>{THOUGHTS}</think>\n \n", "<think></think>"]
)
def test_thoughts_without_an_answer_are_not_asked_about_again(text: str) -> None:
    said = fault(text, form="json_schema")
    assert (said.reason, said.final) == ("thoughts without an answer", True)
    assert "thinking off" in said.advice


def test_a_quote_that_holds_such_a_tag_is_part_of_the_answer() -> None:
    text = "FINDINGS: A mark </think> over the heart."
    silent = {"status": "unmentioned", "quote": ""}
    answer = json.dumps(dict.fromkeys(NAMES, silent) | {"Edema": {"status": "absent", "quote": "mark </think> over"}})
    said = Checker("multiple_choice", LABELS, params("json_schema")).check(answered(answer), text)
    assert isinstance(said, list)
    assert split_thoughts("no tags") == ("", "no tags")


def test_probabilities_are_those_of_the_answer_behind_the_thoughts() -> None:
    text = f"<think>{LINES}</think>\n{LINES}"
    checker = Checker("multiple_choice", LABELS, params("text", logprobs=True))
    plain = checker.check(answered(LINES, logprobs=tokens(LINES)), TEXT)
    assert checker.check(answered(text, logprobs=tokens(text)), TEXT) == plain
    assert isinstance(plain, list)
    assert all(finding.probability is not None for finding in plain)


# A context of 4,096 tokens is full; no room was left at all; the server counts nothing, or counts no prompts.
@pytest.mark.parametrize(
    ("text", "prompt", "completion", "context"),
    [(LINES, 3740, 60, True), (None, 4096, 0, True), (LINES, 3740, 99, False), (LINES, 0, 0, False), (LINES, 3740, 0, False)],
)
def test_an_answer_cut_off_well_before_max_tokens_met_the_end_of_the_context(
    text: str | None, prompt: int, completion: int, context: bool
) -> None:
    cut = answered(text, "length")._replace(prompt_tokens=prompt, completion_tokens=completion)
    said = Checker("multiple_choice", LABELS, params("text")).check(cut, TEXT)
    assert isinstance(said, Fault)
    assert (said.reason == "answer cut off at the server's context") is said.final is context
    assert not context or ("llm.max_tokens allows 100" in said.advice and "--max-model-len" in said.advice)


def test_a_prompt_that_the_server_cut_is_known_by_its_count() -> None:
    words = "The left lung's base isn't clear: an effusion, 12 mm, (small). "
    messages = [{"role": "system", "content": words * 5}, {"role": "user", "content": words * 5}]
    question = Question("k", "r", 0, 0, "text", {"messages": messages}, [])
    least = 10 * 10  # The, left, lung's, base, isn't, clear, an, effusion, mm, small
    advice = check_prompt(question, answered(LINES)._replace(prompt_tokens=least - 1))
    assert f"read {least - 1} of at least {least} tokens" in (advice or "")
    for prompt_tokens in (least, 4 * least, 0, 35):  # the last: no context is so small, so the server counts otherwise
        assert check_prompt(question, answered(LINES)._replace(prompt_tokens=prompt_tokens)) is None
    assert check_prompt(question._replace(body={"input": messages}), answered("[]")) is None


def test_another_finish_word_is_a_whole_answer() -> None:
    assert isinstance(check(LINES, finish="eos_token"), list)


def test_phrases_carry_section_and_code() -> None:
    entries = [
        {"phrase": "layer  of FLUID", "code": "j90", "status": "present"},
        {"phrase": "edema", "code": "J810", "status": "uncertain"},
        {"phrase": "port", "code": " Z95 ", "status": "present"},
    ]
    findings = found(json.dumps({"findings": entries}), "open_ended", "json_schema")
    lines = "\n".join(f"{e['phrase']} | {e['code']} | {e['status']}" for e in entries)
    assert findings == found(lines, "open_ended")
    assert quoted(findings) == [
        ("layer of fluid", "present", "findings", "layer of fluid"),
        ("edema", "uncertain", "impression", "Edema"),
        ("port", "present", "findings", "port"),
    ]
    assert [finding.code for finding in findings] == ["J90", "J81.0", "Z95"]
    assert found('{"findings": []}', "open_ended", "json_schema") == found("None", "open_ended") == []
    assert found("```\nNone\n```", "open_ended") == []


def test_a_phrase_twice_is_merged_only_where_it_says_the_same() -> None:
    assert len(found("port | Z95 | present\nThe port | Z95 | present\nPORT | z95 | present", "open_ended")) == 2
    for other in ("port | Z96 | present", "port | Z95 | uncertain"):
        said = fault(f"port | Z95 | present\n{other}", "open_ended")
        assert (said.reason, said.feedback.split(":")[0]) == ("phrase twice", "Item 2")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("port | J99.999 | present", "code does not exist"),
        ("port |  | present", "code does not exist"),
        ("port | J09-J18 | present", "code does not exist"),
        ("port | 10 | present", "code does not exist"),
        ("port | J.90 | present", "code does not exist"),
        ("port | Z95 | absent", "status unknown"),
        ("port | Z95 | unmentioned", "status unknown"),
        ("tube | Z95 | present", "quote not in the report"),
        (" | Z95 | present", "no quote"),
        ("port | Z95", "line of another form"),
        ("None.", "line of another form"),
        ("None\nport | Z95 | present", "line of another form"),
    ],
)
def test_phrases_that_are_not_used(text: str, reason: str) -> None:
    assert fault(text, "open_ended").reason == reason


def test_open_ended_json_that_is_not_used() -> None:
    lists: list[Any] = [{}, ["port"], [{"phrase": "port"}]]
    for content in ([], {}, {"findings": [], "more": 1}, *({"findings": each} for each in lists)):
        assert fault(json.dumps(content), "open_ended", "json_schema").reason == "not of the schema"
    entry = {"phrase": "port", "code": None, "status": "present"}
    assert fault(json.dumps({"findings": [entry]}), "open_ended", "json_schema").reason == "not of the schema"


def decided(*answers: Any) -> str:
    return json.dumps([{"type": "predicate", "name": n, "probability": a} for n, a in zip(NAMES, answers, strict=False)])


def test_decisions_are_probabilities() -> None:
    findings = found(decided(0.5, 0.49, 1), form="decisions")
    assert [(f.status, f.probability) for f in findings] == [("present", 0.5), ("unmentioned", 0.49), ("present", 1.0)]
    assert {(tuple(f.mentions), f.code) for f in findings} == {((), None)}
    unnamed = json.dumps([{"type": "predicate", "name": None, "probability": 0.1}] * 3)
    assert [f.label for f in found(unnamed, form="decisions")] == NAMES


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (decided(0.1, 0.2), "not of the schema"),
        (decided(0.1, 0.2, 1.01), "not of the schema"),
        (decided(0.1, 0.2, -0.01), "not of the schema"),
        (decided(0.1, 0.2, True), "not of the schema"),
        (decided(0.1, 0.2, None), "not of the schema"),
        (decided(0.1, 0.2, "0.3"), "not of the schema"),
        ('[{"type":"predicate","name":"Edema","probability":1e999}, {}, {}]', "not of the schema"),
        (json.dumps(json.loads(decided(0.1, 0.2, 0.3))[::-1]), "not of the schema"),
        (json.dumps([{"type": "refusal", "name": None}, *json.loads(decided(0.1, 0.2, 0.3))[1:]]), "refused by the model"),
        ("[1, 2, 3]", "not of the schema"),
        ("{}", "not of the schema"),
        ("0.5", "not of the schema"),
    ],
)
def test_decisions_that_are_not_used(text: str, reason: str) -> None:
    assert fault(text, form="decisions").reason == reason


@pytest.mark.parametrize(
    ("quote", "words"),
    [
        ("port ends", "port ends"),
        ("PORT\n ends", "port ends"),
        ("edema", "Edema"),
        ("on the left. IMPRESSION: Left", "on the left.\nIMPRESSION: Left"),
        ("left", "left"),
        ("fluid lies on the left.", "fluid lies on the left."),
        ("effus", None),
        ("ort ends", None),
        ("port . ends", None),
        ("port ends ... should", None),
        (".", None),
        ("", None),
        ("“port ends”", None),
        (TEXT + "x", None),
        (".*", None),
    ],
)
def test_a_quote_stands_in_the_report_word_by_word(quote: str, words: str | None) -> None:
    span = locate(quote, TEXT)
    assert (None if span is None else TEXT[slice(*span)]) == words


def test_offsets_are_code_points() -> None:
    text = "FINDINGS: 🫁 Größe ist öfter auffällig."
    start, end = locate("AUFFÄLLIG", text) or (0, 0)
    assert text[start:end] == "auffällig"
    assert start == len("FINDINGS: 🫁 Größe ist öfter ")


def test_sections_by_the_header_before() -> None:
    assert section_at(TEXT, 0) == "findings"
    assert section_at(TEXT, len(FINDINGS) - 1) == "findings"
    assert section_at(TEXT, len(FINDINGS) + 1) == "impression"
    assert section_at("IMPRESSION: a FINDINGS: b", 24) == "impression", "a header begins a line"
    assert section_at("Both lungs are clear.", 3) == "text"


WORDS = st.sampled_from(
    [*NAMES, *STATUSES, "port", "Left effusion", "J90", "None", "|", '"', "```", "\n", "\u2028", "{", "}", "x"]
)
ANY = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | WORDS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.sampled_from(["findings", "phrase"]), inner, max_size=4)
    ),
    max_leaves=12,
)
ENTRY = st.fixed_dictionaries({"status": WORDS | ANY, "quote": st.text() | WORDS})
FOUND = st.fixed_dictionaries({"phrase": st.text() | WORDS, "code": st.text() | WORDS, "status": WORDS})
NEARLY = (
    st.fixed_dictionaries(dict.fromkeys(NAMES, ENTRY))
    | st.fixed_dictionaries({"findings": st.lists(FOUND, max_size=3)})
    | st.lists(st.fixed_dictionaries({"type": st.just("predicate"), "probability": ANY}), min_size=3, max_size=3)
)
LOGPROBS = st.none() | st.lists(
    st.tuples(WORDS | st.text(), st.floats(), st.lists(st.tuples(WORDS, st.floats()), max_size=2)).map(list), max_size=5
)


@given(
    text=st.none() | st.text(alphabet=st.characters()) | st.lists(WORDS).map(" ".join) | (ANY | NEARLY).map(json.dumps),
    report=st.just(TEXT) | st.text(),
    task=st.sampled_from(["multiple_choice", "open_ended"]),
    form=st.sampled_from(["json_schema", "text", "decisions"]),
    finish=st.sampled_from(["stop", "length", "", "tool_calls"]),
    logprobs=LOGPROBS,
)
@example(
    '{"findings": [{"phrase": "\\ud800", "code": "\\ud800", "status": "present"}]}', TEXT, "open_ended", "json_schema", "stop", []
)
@example("port | J90 | present", TEXT, "open_ended", "text", "stop", [["port | J90 | present", float("nan"), []]])
@example('{"findings":[]}', TEXT, "open_ended", "json_schema", "length", None)
def test_no_answer_raises_and_what_passes_holds(
    text: str | None, report: str, task: str, form: str, finish: str, logprobs: list[list[Any]] | None
) -> None:
    checker = Checker(task, LABELS, params(form, logprobs=form != "decisions"))
    said = checker.check(answered(text, finish, logprobs), report)
    if isinstance(said, Fault):
        assert said.reason in REASONS
        assert said.feedback
        return
    if finish == "length":  # it was long enough all the same: its JSON is complete
        assert form == "json_schema"
        json.loads(text or "")
    labels = [finding.label for finding in said]
    assert labels == NAMES if task == "multiple_choice" or form == "decisions" else len(set(labels)) == len(labels)
    for finding in said:
        assert finding.probability is None or 0 <= finding.probability <= 1
        for mention in finding.mentions:
            assert 0 <= mention.start < mention.end <= len(report)
            assert mention.section in {"findings", "impression", "text"}
        if not finding.mentions:
            assert finding.status == "unmentioned" or form == "decisions"


def tokens(text: str) -> list[list[Any]]:
    """Every character a token, sure of itself."""
    return [[char, -0.0, []] for char in text]


@pytest.mark.parametrize("form", ["json_schema", "text"])
def test_log_probabilities_become_probabilities(form: str) -> None:
    text = as_json() if form == "json_schema" else LINES
    sure = Checker("multiple_choice", LABELS, params(form, logprobs=True))
    said = sure.check(answered(text, logprobs=tokens(text)), TEXT)
    assert isinstance(said, list)
    assert [finding.probability for finding in said] == [0.5, 1.0, 0.0]
    for without in (sure.check(answered(text), TEXT), Checker("multiple_choice", LABELS, params(form)).check(
        answered(text, logprobs=tokens(text)), TEXT)):  # fmt: skip
        assert isinstance(without, list)
        assert {finding.probability for finding in without} == {None}


def test_a_status_within_a_quote_is_not_taken_for_the_status() -> None:
    report = 'FINDINGS: The sheet says "status": "absent" and {"Edema":{"status":"absent"}}, and the lungs are wet.'
    entries = {name: {"quote": "", "status": "unmentioned"} for name in NAMES}
    entries["Edema"] = {"quote": 'The sheet says "status": "absent" and {"Edema":{"status":"absent"}}', "status": "present"}
    text = json.dumps(entries)
    checker = Checker("multiple_choice", LABELS, params("json_schema", logprobs=True))
    said = checker.check(answered(text, logprobs=tokens(text)), report)
    assert isinstance(said, list)
    assert [finding.probability for finding in said] == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("form", ["json_schema", "text"])
def test_log_probabilities_of_phrases(form: str) -> None:
    entries = [
        {"phrase": "port ends", "code": "Z95", "status": "present"},
        {"phrase": "EDEMA", "code": "J81.0", "status": "uncertain"},
    ]
    text = json.dumps({"findings": entries}) if form == "json_schema" else "port ends | Z95 | present\nEDEMA | J81.0 |  uncertain"
    said = Checker("open_ended", LABELS, params(form, logprobs=True)).check(answered(text, logprobs=tokens(text)), TEXT)
    assert isinstance(said, list)
    assert [(finding.label, finding.probability) for finding in said] == [("port ends", 1.0), ("edema", 0.5)]


@pytest.fixture(scope="module")
def icd() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # its way to read its own data
        import simple_icd_10_cm
    return simple_icd_10_cm


def test_codes_are_those_of_the_package(icd: Any) -> None:
    names = {name for name in icd.get_all_codes(False) if icd.is_category_or_subcategory(name)}
    assert checking.known_codes() == names
    assert len(names) > 90_000
    dotted = {name for name in icd.get_all_codes(True) if icd.is_category_or_subcategory(name)}
    assert {checking.canonical_code(name.replace(".", "").lower()) for name in dotted} == dotted
    assert {checking.canonical_code(name) for name in dotted} == dotted


def test_codes_are_read_without_the_tree_of_descriptions() -> None:
    program = "import sys; from raddistill.teachers.llm.checking import known_codes; known_codes(); "
    program += "print('simple_icd_10_cm' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


@pytest.mark.usefixtures("icd")
def test_codes_where_the_package_keeps_its_list_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = checking.known_codes()
    monkeypatch.setattr(checking.Path, "glob", lambda *_: iter(()))
    assert checking.known_codes.__wrapped__() == listed
