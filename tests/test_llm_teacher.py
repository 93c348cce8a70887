"""The LLM teacher as a whole, on a real server: what is asked, kept, asked again, and what becomes of it in the tables."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from batch_server import BatchServer
from teacher_answers import answer_for
from teacher_server import TeacherServer
from test_synthesizing import as_reports

from raddistill import labelsets, params
from raddistill.errors import InputError
from raddistill.llm_client import ask
from raddistill.llm_client.budget import BudgetReached
from raddistill.llm_client.messages import Answer
from raddistill.llm_client.run_state import Asked
from raddistill.llm_client.settings import AskingParams
from raddistill.llm_client.store import Store
from raddistill.tables import base as tables
from raddistill.tables.answers import Answers
from raddistill.teachers.llm.conversations import Inquiry
from raddistill.teachers.llm.questions import Questioner
from raddistill.teachers.llm.settings import LLMParams
from raddistill.teachers.llm.teacher import Interrupted
from raddistill.teachers.synthesizing import Synthesized, SynthesizeParams, TeacherContext, synthesize

LABELS = labelsets.load_labels("lexicon/label_sets/chest_13.yaml")
# Without examples, which take 50 ms to read: tests/test_questions.py is about them, and two tests here ask with them.
CHANGED = {"endpoint": "compatible", "model": "mock-1", "examples": 0}
SHIPPED = params.load("synthesize.llm", LLMParams).model_copy(update=CHANGED)
TASKS = ["multiple_choice", "open_ended"]
TEXTS = [
    "The heart is enlarged. No effusion.",
    "Small left effusion with atelectasis beside it.",
    "Possible edema. A port ends in the usual place.",
    "Nothing of note on this film.",
    "Small left effusion with atelectasis beside it.",
]
REPORTS = as_reports(TEXTS)  # the last says what the second says
DISTINCT = 4  # the order in which they are asked is drawn anew by each run


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[TeacherServer]:
    with TeacherServer() as running:
        monkeypatch.setenv("RADDISTILL_TEACHER_URL", running.url)
        monkeypatch.delenv("RADDISTILL_TEACHER_KEY", raising=False)
        yield running


Label = Callable[..., Synthesized]


@pytest.fixture
def label(tmp_path: Path) -> Label:
    """Labels REPORTS with params changed by the words given: `llm_...`, `asking_...`, or of the section itself."""

    def run(task: str = "multiple_choice", reports: pl.DataFrame = REPORTS, earlier: Any = None, **changes: Any) -> Synthesized:
        p = params.load(f"synthesize.{task}", SynthesizeParams)
        asking = params.load("asking", AskingParams).model_copy(update={"budget_usd": -1.0, "tries": 4} | _of("asking_", changes))
        llm = SHIPPED.model_copy(update=_of("llm_", changes))
        own = {key: value for key, value in changes.items() if not key.startswith(("llm_", "asking_", "journal"))}
        p = p.model_copy(update={"teacher": "llm", "source": "prompts/teacher"} | own)
        earlier = Answers.create_empty() if earlier is None else earlier
        context = TeacherContext(asking, tmp_path / changes.get("journal", "journal"), earlier, settings=llm)
        return synthesize(task, p, reports, LABELS, context)

    return run


def _of(prefix: str, changes: dict[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(prefix): value for key, value in changes.items() if key.startswith(prefix)}


def said(made: Synthesized, report_id: str) -> dict[str, str]:
    rows = made.labels.filter((pl.col("report_id") == report_id) & (pl.col("status") != "unmentioned"))
    return dict(rows.select("label", "status").iter_rows())


@pytest.mark.parametrize("answers", ["json_schema", "text", "decisions"])
def test_every_form_of_answer_makes_the_same_labels(server: TeacherServer, label: Label, answers: str) -> None:
    made = label(llm_answers=answers, llm_examples=3)
    assert set(made.answers["form"]) == {answers}
    assert said(made, "r1") == {"Atelectasis": "present", "Pleural Effusion": "present"}
    assert said(made, "r3") == {}
    assert made.labels.height == len(TEXTS) * len(LABELS)
    assert server.counts()["requests"] == DISTINCT  # equal reports are one question
    if answers == "decisions":  # probabilities instead of quotes
        assert made.labels["probability"].null_count() == 0
        assert made.evidence.is_empty()
    else:
        assert said(made, "r0") == {"Cardiomegaly": "present", "Pleural Effusion": "absent"}
        assert said(made, "r2") == {"Edema": "uncertain", "Support Devices": "present"}


@pytest.mark.parametrize("task", TASKS)
def test_evidence_is_where_the_quote_stands(server: TeacherServer, label: Label, task: str) -> None:
    made = label(task)
    texts = dict(REPORTS.select("report_id", "text").iter_rows())
    quotes = [texts[row["report_id"]][row["start"] : row["end"]] for row in made.evidence.iter_rows(named=True)]
    assert made.evidence.height >= 6
    assert all(quote.strip() for quote in quotes)
    assert "effusion" in " ".join(quotes)
    assert set(made.evidence["section"]) == {"findings"}
    assert_says_what_the_label_says(made)


def assert_says_what_the_label_says(made: Synthesized) -> None:
    columns = ["report_id", "label", "status", "probability"]
    said = made.evidence.select(columns).join(made.labels.select(columns), columns, "semi", nulls_equal=True)
    assert said.height == made.evidence.height


def test_offsets_count_in_the_whole_text_when_only_the_impression_is_shown(server: TeacherServer, label: Label) -> None:
    findings, impression = "The heart is enlarged.", "Small effusion."
    text = f"FINDINGS: {findings}\nIMPRESSION: {impression}"
    reports = as_reports(["x"]).with_columns(
        findings=pl.lit(findings), impression=pl.lit(impression), text=pl.lit(text)
    )  # fmt: skip
    made = label(reports=reports, sections="impression_else_findings")
    assert said(made, "r0") == {"Pleural Effusion": "present"}
    (place,) = made.evidence.iter_rows(named=True)
    assert "effusion" in text[place["start"] : place["end"]]
    assert place["section"] == "impression"
    assert "enlarged" not in json.dumps(server.bodies[-1]["messages"][-1])


@pytest.mark.parametrize("task", TASKS)
def test_nothing_known_is_asked_again(server: TeacherServer, label: Label, task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = label(task)
    paid = server.counts()["requests"]
    label(task, llm_temperature=0.5)
    assert server.counts()["requests"] == 2 * paid
    again = label(task)  # A to B to A
    assert server.counts()["requests"] == 2 * paid
    assert all(one.equals(other) for one, other in zip(first[:5], again[:5], strict=True))
    monkeypatch.delenv("RADDISTILL_TEACHER_URL")  # a colleague with the table of answers, no journal, no server
    theirs = label(task, earlier=first.answers, journal="theirs")
    assert all(one.equals(other) for one, other in zip(first[:5], theirs[:5], strict=True))
    assert theirs.spending == first.spending
    with pytest.raises(InputError, match="RADDISTILL_TEACHER_URL is not set"):
        label(task, earlier=first.answers, journal="theirs", llm_seed=14)


def test_answers_of_a_colleague_outlast_a_run_of_another_teacher(server: TeacherServer, label: Label) -> None:
    mine = label()
    between = label(journal="another", earlier=mine.answers, teacher="rules", source="lexicon/cold")
    assert between.answers.is_empty()  # their table is overwritten
    again = label(journal="another", earlier=between.answers)
    assert again.labels.equals(mine.labels)
    assert server.counts()["requests"] == DISTINCT


def test_the_table_of_answers_survives_disk(server: TeacherServer, label: Label, tmp_path: Path) -> None:
    made = label(llm_logprobs=True)
    tables.write(Answers, made.answers, tmp_path / "answers.parquet")
    read = tables.read(Answers, tmp_path / "answers.parquet")
    before = server.counts()["requests"]
    again = label(llm_logprobs=True, earlier=read, journal="another")
    assert again.labels.equals(made.labels)
    assert again.labels["probability"].drop_nulls().len() == again.labels.height
    assert server.counts()["requests"] == before


def test_a_fault_is_asked_again_with_the_reason_and_then_put_aside(server: TeacherServer, label: Label) -> None:
    server.faults = ["invented_quotes", *[None] * (DISTINCT - 1)]
    made = label(asking_in_flight=1, reports=REPORTS.head(DISTINCT))
    assert made.metrics["labelled"] == DISTINCT
    assert made.metrics["asked_again"] == 1
    assert made.metrics["faults"] == {"quote not in the report": 1}
    assert server.counts()["requests"] == DISTINCT + 1
    again = server.bodies[1]["messages"]
    assert [message["role"] for message in again[-3:]] == ["user", "assistant", "user"]
    assert "exactly as they stand there" in again[-1]["content"]
    server.faults = {"wrong_labels": 1.0}
    spoilt = label(llm_seed=1, llm_asks=2, max_quarantine=1.0)
    assert spoilt.metrics["quarantined"] == {"label not of the set": len(TEXTS)}
    assert spoilt.quarantine["answer"].null_count() == 0
    assert spoilt.labels.is_empty()
    assert spoilt.spending["answers"] == 2 * DISTINCT


# ------------------------------------------------------------------------------------------------- faults that all answers share

MANY = as_reports([f"Film {n} shows a small effusion." for n in range(60)])
PROSE = "First the heart, which is large. Then the lungs."
Alter = Callable[[dict[str, Any]], dict[str, Any]]


def message(**fields: Any) -> Alter:
    """Replies whose message has these fields; a function makes one of the answer."""

    def alter(whole: dict[str, Any]) -> dict[str, Any]:
        answer = whole["choices"][0]["message"]["content"]
        made = {name: value(answer) if callable(value) else value for name, value in fields.items()}
        return whole | {"choices": [whole["choices"][0] | {"message": {"role": "assistant", "content": None} | made}]}

    return alter


def usage(prompt: int, completion: int, finish: str = "stop") -> Alter:
    def alter(whole: dict[str, Any]) -> dict[str, Any]:
        counted = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        return whole | {"usage": counted, "choices": [whole["choices"][0] | {"finish_reason": finish}]}

    return alter


ELSEWHERE = {
    "reasoning_content": message(reasoning_content=str),
    "reasoning": message(reasoning=str),
    "within the tags": message(content="<think>{}</think>".format),
    "behind thoughts": message(content=f"<think>{PROSE}</think>\n{{}}".format),
    "behind thoughts without a first tag": message(content=f"{PROSE}</think>\n\n{{}}".format),
    "both fields": message(content=str, reasoning_content=PROSE),
    "parts": message(content=lambda answer: [{"type": "text", "text": answer}]),
}


@pytest.mark.parametrize("place", ELSEWHERE)
@pytest.mark.parametrize("answers", ["json_schema", "text"])
def test_an_answer_elsewhere_than_in_content_is_used(
    server: TeacherServer, label: Label, place: str, answers: str, capfd: pytest.CaptureFixture[str]
) -> None:
    plain = label(llm_answers=answers, journal="plain")
    server.alter = ELSEWHERE[place]
    made = label(llm_answers=answers)
    assert made.labels.equals(plain.labels)
    assert server.counts()["requests"] == 2 * DISTINCT
    assert made.metrics["faults"] == {}
    told = capfd.readouterr().err.count("sends answers as thoughts")
    assert told == (place in ("reasoning_content", "reasoning", "within the tags"))


SHARED: dict[str, tuple[Alter | str, str, str]] = {  # what the server does: the reason, and what the user is told to do
    "chatter": ("chatter", "not JSON", "set llm.answers"),
    "empty": ("empty", "empty answer", "chat template"),
    "length": ("length", "answer cut off at max_tokens", "Raise llm.max_tokens"),
    "refusal": ("refusal", "refused by the model", "take another model"),
    "content_filter": ("content_filter", "stopped by the content filter", "A content filter"),
    "no choices": (lambda whole: whole | {"choices": []}, "no choices in the reply", "A content filter"),
    "no message": (
        lambda whole: whole | {"choices": [{"finish_reason": "content_filter"}]},
        "stopped by the content filter",
        "A content filter",
    ),
    "thoughts": (message(reasoning_content=PROSE), "thoughts without an answer", "thinking off"),
    "open thoughts": (message(content=f"<think>{PROSE}"), "thoughts without an answer", "thinking off"),
    "long thoughts": (
        lambda whole: usage(1900, 1500, "length")(message(reasoning=PROSE)(whole)),
        "answer cut off at max_tokens while thinking",
        "thinking off",
    ),
    "short length": (
        lambda whole: usage(3740, 356, "length")(message(content=lambda answer: answer[: len(answer) // 2])(whole)),
        "answer cut off at the server's context",
        "prompt had 3,740.*--max-model-len",
    ),
    "small context": (usage(128, 300), "question cut to the server's context", r"read 128 of at least [\d,]+ tokens.*--ctx-size"),
}
FINAL = ["no choices", "no message", "thoughts", "open thoughts", "long thoughts", "short length", "small context"]


def spoil(server: TeacherServer, how: Alter | str | None) -> None:
    server.faults = {how: 1.0} if isinstance(how, str) else {}
    server.alter = how if callable(how) else lambda whole: whole


@pytest.mark.parametrize("fault", SHARED)
def test_a_fault_that_all_answers_share_is_told_after_a_few(server: TeacherServer, label: Label, fault: str) -> None:
    how, reason, advice = SHARED[fault]
    spoil(server, how)
    with pytest.raises(InputError, match=rf"10 answers in a row cannot be used \({reason}: 10\)\. .*{advice}.*kept") as caught:
        label(reports=MANY, asking_in_flight=4)
    assert not any(words in str(caught.value) for words in ("effusion", "Film", PROSE))
    assert server.counts()["requests"] <= 10 + 4
    spoil(server, None)
    assert label(reports=MANY, asking_in_flight=4).metrics["labelled"] == 60
    assert server.counts()["paid_twice"] == 0


@pytest.mark.parametrize("fault", FINAL)
def test_what_asking_again_cannot_mend_is_paid_once(server: TeacherServer, label: Label, fault: str) -> None:
    spoil(server, SHARED[fault][0])
    made = label(max_quarantine=1.0)
    assert made.metrics["quarantined"] == {SHARED[fault][1]: len(TEXTS)}
    assert server.counts()["requests"] == server.counts()["paid"] == DISTINCT
    for asked in (2, 3, 3):  # no answer was ever of use: each run asks once more, until llm.asks
        label(max_quarantine=1.0)
        assert server.counts()["requests"] == asked * DISTINCT


def test_what_asking_again_cannot_mend_stays_so_where_other_answers_are_of_use(server: TeacherServer, label: Label) -> None:
    good = label(reports=REPORTS.head(2))
    spoil(server, SHARED["thoughts"][0])
    for _ in range(2):
        made = label(max_quarantine=1.0, reports=REPORTS.head(DISTINCT))
        assert made.metrics["labelled"] == good.metrics["labelled"] == 2
        assert server.counts()["requests"] == DISTINCT


def test_a_user_who_takes_any_share_of_quarantine_is_not_stopped(server: TeacherServer, label: Label) -> None:
    spoil(server, "chatter")
    made = label(reports=MANY, max_quarantine=1.0, llm_asks=1)
    assert made.metrics["quarantined"] == {"not JSON": 60}


def test_faults_of_content_end_a_run_once_ten_reports_have_used_up_their_questions(server: TeacherServer, label: Label) -> None:
    spoil(server, "wrong_labels")
    with pytest.raises(InputError, match=r"10 answers in a row.*label not of the set: 10.*edit the prompts"):
        label(reports=MANY, asking_in_flight=2, llm_asks=2)
    assert 20 <= server.counts()["requests"] <= 22


def test_a_server_that_fails_later_is_noticed_after_thirty_first_answers(server: TeacherServer, label: Label) -> None:
    assert label().metrics["labelled"] == len(TEXTS)
    server.faults = [None, *["empty"] * 500]
    with pytest.raises(InputError, match=r"30 answers in a row cannot be used \(empty answer: 30\)"):
        label(reports=MANY, asking_in_flight=1, llm_asks=1)
    assert server.counts()["requests"] == DISTINCT + 31
    server.faults = ["empty", None] * 200
    assert label(reports=MANY, asking_in_flight=1, llm_asks=3).metrics["labelled"] == 60


def test_first_answers_that_fail_but_not_in_a_row_end_no_run(server: TeacherServer, label: Label) -> None:
    server.faults = ["empty", None] * 60
    made = label(reports=MANY, asking_in_flight=1, llm_asks=3)
    assert made.metrics["labelled"] == 60
    assert made.answers.filter(pl.col("ask") == 0, fault="empty answer").height >= 30


def test_in_batches_a_shared_fault_ends_the_run_after_the_first_round(label: Label, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = BatchServer(lines={"chatter": 1.0})
    with TeacherServer(routes=batches) as server:
        monkeypatch.setenv("RADDISTILL_TEACHER_URL", server.url)
        with pytest.raises(InputError, match=r"answers in a row cannot be used \(not JSON: 10\)"):
            label(reports=MANY, asking_mode="batch", asking_poll_s=0.01)
        assert [n for n, _ in batches.sizes] == [60]
        batches.lines = {}
        assert label(reports=MANY, asking_mode="batch", asking_poll_s=0.01).metrics["labelled"] == 60
    assert set(batches.asked.values()) == {1}  # the second question is another


def test_answers_that_an_earlier_version_paid_for_keep_their_keys(server: TeacherServer, label: Label) -> None:
    """It asked again after thoughts without an answer, and was answered."""
    report = REPORTS.head(1)
    p = params.load("synthesize.multiple_choice", SynthesizeParams)
    inquiry = Inquiry("multiple_choice", Path("prompts/teacher"), LABELS, p.sections, SHIPPED)
    (excerpt,) = inquiry.excerpts(report, {})
    thoughts = f"<think>{PROSE}</think>"
    told = "The answer was not JSON. Answer with JSON of the form asked for and nothing else."
    questioner = Questioner("multiple_choice", Path("prompts/teacher"), LABELS, SHIPPED)
    first = questioner.question("r0", excerpt.text)
    second = questioner.follow_up(first, thoughts, told)
    good = answer_for(second.body)["choices"][0]["message"]["content"]
    assert server.counts()["requests"] == 0
    known = {
        question.key: Answer(question.key, text, "stop", "m", None, None, 2000, 9, 0, None, 0.0, "direct")
        for question, text in ((first, thoughts), (second, good))
    }
    (conversation,) = inquiry.conversations(excerpt, known.get)
    assert conversation.findings is not None
    assert [turn.fault is None for turn in conversation.turns] == [False, True]


def test_a_router_that_falls_back_to_another_model_is_told(
    server: TeacherServer, label: Label, capfd: pytest.CaptureFixture[str]
) -> None:
    assert label().metrics["models"] == 1
    assert "more than one model" not in capfd.readouterr().err
    names = iter(["mock-1", "other/model@main", "mock-1", "other/model@main"])
    server.alter = lambda whole: whole | {"model": next(names)}
    made = label(llm_seed=2)
    assert made.metrics["models"] == made.answers["model"].n_unique() == 2
    assert capfd.readouterr().err.count("more than one model") == 1


def test_a_report_without_an_answer_is_put_aside_and_asked_the_next_time(server: TeacherServer, label: Label) -> None:
    server.faults = ["400", *[None] * (DISTINCT - 1)]
    made = label(asking_in_flight=1, max_quarantine=0.5, reports=REPORTS.head(DISTINCT))
    assert made.metrics["labelled"] == DISTINCT - 1
    (reason,) = made.metrics["quarantined"]
    assert "HTTP 400" in reason
    assert label().metrics["labelled"] == len(TEXTS)
    assert server.counts()["requests"] == DISTINCT + 1


def test_what_another_process_was_answered_meanwhile_is_no_trouble(
    server: TeacherServer, label: Label, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer to what failed here is faulty, so that a question is open that this run never asked."""

    async def ask_all(*args: Any, **kwargs: Any) -> Asked:
        asked = await ask.ask_all(*args, **kwargs)
        with Store(tmp_path / "journal") as other:
            other.add(Answer(key, "no JSON", "stop", "m", None, None, 1, 1, 0, None, 0.0, "direct") for key in asked.failed)
        return asked

    monkeypatch.setattr("raddistill.teachers.llm.teacher.ask_all", ask_all)
    server.faults = ["400", *[None] * (DISTINCT - 1)]
    made = label(asking_in_flight=1, max_quarantine=0.5, reports=REPORTS.head(DISTINCT))
    assert made.metrics["quarantined"] == {"no answer: asked by another run at the same time": 1}


def test_reports_that_are_refused_again_stop_no_later_run(server: TeacherServer, label: Label) -> None:
    reports = as_reports([f"Film {n} shows a small effusion." for n in range(40)])
    server.faults = [None, *["400"] * 39]
    first = label(reports=reports, asking_in_flight=1, max_quarantine=1.0)
    assert first.metrics["labelled"] == 1
    server.faults = {"400": 1.0}
    assert label(reports=reports, max_quarantine=1.0).metrics == first.metrics


@pytest.mark.parametrize("task", TASKS)
def test_samples_are_asked_side_by_side_and_voted_on(server: TeacherServer, label: Label, task: str) -> None:
    made = label(task, llm_samples=3, llm_temperature=0.7)
    assert server.counts()["requests"] == 3 * DISTINCT
    assert made.answers.height == 3 * len(TEXTS)
    assert set(made.answers["sample"]) == {0, 1, 2}
    assert set(made.labels.filter(pl.col("status") == "present")["probability"]) == {1.0}
    assert made.metrics["samples_without_answer"] == 0
    assert_says_what_the_label_says(made)


def test_a_sample_without_an_answer_is_counted_and_the_others_vote(server: TeacherServer, label: Label) -> None:
    server.faults = ["400"]
    made = label(reports=REPORTS.head(1), llm_samples=3, llm_temperature=0.7, asking_in_flight=1)
    assert said(made, "r0") == {"Cardiomegaly": "present", "Pleural Effusion": "absent"}
    assert (made.answers.height, made.metrics["samples_without_answer"]) == (2, 1)


def test_the_budget_stops_before_it_is_passed_and_the_next_run_goes_on(
    server: TeacherServer, label: Label, tmp_path: Path
) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("mock-1: {input: 100, cached_input: 50, output: 200, batch: 0.5}\n")
    with pytest.raises(BudgetReached):
        label(asking_budget_usd=1.5, asking_prices=str(prices), asking_in_flight=1, llm_examples=3)
    assert 0 < server.counts()["paid"] < DISTINCT
    made = label(asking_budget_usd=1000.0, asking_prices=str(prices), llm_examples=3)
    assert server.counts()["paid"] == DISTINCT
    assert server.counts()["paid_twice"] == 0
    assert made.spending["usd"] == pytest.approx(made.answers.unique("key")["usd"].sum(), abs=1e-6)
    assert made.spending["usd"] > 0


def test_ctrl_c_while_batches_are_waited_for_is_told_in_a_line(label: Label, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = BatchServer(polls=3)
    with TeacherServer(routes=batches) as server:
        monkeypatch.setenv("RADDISTILL_TEACHER_URL", server.url)
        batches.hook = lambda moment: signal.raise_signal(signal.SIGINT) if moment == "after create" else None
        with pytest.raises(Interrupted, match="submitted is kept"):
            label(asking_mode="batch", asking_poll_s=0.01)
        batches.hook = lambda moment: None
        assert label(asking_mode="batch", asking_poll_s=0.01).metrics["labelled"] == len(TEXTS)
    assert set(batches.asked.values()) == {1}


def test_text_that_is_not_public_goes_nowhere_unapproved(
    server: TeacherServer, label: Label, monkeypatch: pytest.MonkeyPatch
) -> None:
    patients = REPORTS.with_columns(sensitivity=pl.lit("phi"))
    assert label(reports=patients).metrics["labelled"] == len(TEXTS)  # loopback always may
    monkeypatch.setenv("RADDISTILL_TEACHER_URL", "https://teacher.example.org/v1")
    with pytest.raises(InputError, match=r"teacher\.example\.org.*approved_hosts"):
        label(reports=patients, llm_seed=2)


def test_labels_do_not_depend_on_the_order_of_reports(server: TeacherServer, label: Label) -> None:
    one, other = label(), label(reports=REPORTS.reverse(), journal="other")
    key = ["report_id", "label"]
    assert one.labels.sort(key).equals(other.labels.sort(key))
    assert one.metrics == other.metrics
