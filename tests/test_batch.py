"""Batch mode against a real server on loopback: what is submitted, what is paid, and what is left after accidents."""

import asyncio
import hashlib
import json
import multiprocessing
import os
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import openai
import pytest
from batch_server import BatchServer
from hypothesis import given
from hypothesis import strategies as st
from teacher_server import TeacherServer

from raddistill import params
from raddistill.errors import InputError, ParamsError
from raddistill.llm_client import batch_api, rate_limit, request_failures
from raddistill.llm_client.ask import ask_all
from raddistill.llm_client.batch_store import BatchStore
from raddistill.llm_client.batches import Limits, Reading
from raddistill.llm_client.budget import Budget, BudgetReached, Price, Prices
from raddistill.llm_client.messages import Answer
from raddistill.llm_client.run_state import Asked
from raddistill.llm_client.settings import AskingParams
from raddistill.llm_client.store import Store
from raddistill.teachers.llm.questions import Question

MODEL = "mock-1"
PRICES = Prices({MODEL: Price(input=1.0, cached_input=0.5, output=4.0, batch=0.5)})
MARK = "Zebrafish catheter"  # in every prompt, and never in what is said


class Report(NamedTuple):
    id: str
    text: str


def report(n: int) -> Report:
    return Report(f"r{n}", f"FINDINGS:\nNo effusion in study {n}. {MARK} — in place.")


def question(text: str, ask: int = 0, form: str = "text") -> Question:
    body: dict[str, Any] = {
        "model": MODEL,
        "messages": [{"role": "system", "content": f"Read. Ask {ask}."}, {"role": "user", "content": text}],
        "max_completion_tokens": 300,
    }
    return Question(hashlib.sha256(json.dumps(body).encode()).hexdigest(), "", 0, ask, form, body, [])


REPORTS = [report(n) for n in range(40)]
KEYS = [question(each.text).key for each in REPORTS]


def asking(**changes: Any) -> AskingParams:
    usual = {"mode": "batch", "in_flight": 4, "timeout_s": 5, "tries": 4, "budget_usd": -1, "poll_s": 0.005}
    return params.load("asking", AskingParams).model_copy(update=usual | changes)


@contextmanager
def serving(**settings: Any) -> Iterator[tuple[TeacherServer, BatchServer]]:
    batches = BatchServer(**settings)
    with TeacherServer(routes=batches) as server:
        yield server, batches


def ask(
    server: TeacherServer | SimpleNamespace,
    folder: Path,
    reports: Any = REPORTS,
    *,
    cap: float = -1,
    limits: Limits | None = None,
    progress: bool = False,
    asks: int = 1,
    always_open: bool = False,
    form: str = "text",
    client: openai.AsyncOpenAI | None = None,
    **changes: Any,
) -> tuple[Asked, Budget]:
    """A run. `asks`: every answer is followed by another question, so many in all."""
    budget = Budget(cap, PRICES, MODEL)

    async def run() -> Asked:
        with Store(folder / "journal") as journal:

            def still_open(report: Report) -> list[Question]:
                questions = (question(report.text, n, form) for n in range(asks))
                return [each for each in questions if always_open or each.key not in journal][:1]

            async with client or openai.AsyncOpenAI(base_url=server.url, api_key="k", max_retries=0) as used:
                return await ask_all(
                    reports,
                    still_open,
                    client=used,
                    asking=asking(**changes),
                    model=MODEL,
                    store=journal,
                    budget=budget,
                    progress=progress,
                    limits=limits,
                )

    return asyncio.run(run()), budget


def answers(folder: Path, keys: list[str] = KEYS) -> list[Answer]:
    with Store(folder / "journal") as journal:
        found = [journal.get(key) for key in keys]
    return [each for each in found if each is not None]


def left(folder: Path) -> list[str]:
    """Batches in the store."""
    with Store(folder / "journal") as store:
        names = {name for (name,) in store.read("SELECT name FROM batches")}
        assert names == {name for (name,) in store.read("SELECT batch FROM requests")}
    return sorted(names)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "BACK_OFF_S", 0.001)
    monkeypatch.setattr(rate_limit, "LONGEST_BACK_OFF_S", 0.002)


# ------------------------------------------------------------------------------------------------- the plain course


def test_splits_at_the_number_of_requests_and_clears_everything_away(tmp_path: Path) -> None:
    with serving(polls=2) as (server, batches):
        asked, budget = ask(server, tmp_path, limits=Limits(requests=15))
        assert asked == Asked({}, 40)
        assert [n for n, _ in batches.sizes] == [15, 15, 10]
        assert batches.files == {}
    found = answers(tmp_path)
    assert [each.key for each in found] == KEYS
    assert {each.mode for each in found} == {"batch"}
    assert budget.spent == pytest.approx(sum(each.usd for each in found))
    first = found[0]
    tokens = first.prompt_tokens, first.cached_tokens, first.completion_tokens
    assert first.usd == pytest.approx(((tokens[0] - tokens[1]) * 1.0 + tokens[1] * 0.5 + tokens[2] * 4.0) / 1e6 / 2)
    assert first.request_id == f"req_{first.key[:8]}"
    assert budget.reserved == 0
    assert left(tmp_path) == []


def test_splits_at_the_number_of_bytes(tmp_path: Path) -> None:
    with serving(max_bytes=2000) as (server, batches):
        asked, _ = ask(server, tmp_path, limits=Limits(bytes=2000))
        assert asked == Asked({}, 40)
        assert all(1000 < size <= 2000 for _, size in batches.sizes[:-1])
        assert sum(n for n, _ in batches.sizes) == 40


def test_a_question_larger_than_a_batch_fails_and_the_others_do_not(tmp_path: Path) -> None:
    reports = [REPORTS[0], Report("big", "x" * 3000), REPORTS[1]]
    with serving() as (server, _):
        asked, _ = ask(server, tmp_path, reports, limits=Limits(bytes=2000))
    assert asked == Asked({question(reports[1].text).key: "larger than a batch may be"}, 2)


def test_equal_questions_are_asked_once_and_later_ones_in_later_rounds(tmp_path: Path) -> None:
    with serving() as (server, batches):
        asked, _ = ask(server, tmp_path, [*REPORTS, *REPORTS], asks=3)
        assert asked.answered == 120
        assert [n for n, _ in batches.sizes] == [40, 40, 40]
        assert set(batches.paid.values()) == {1}


def test_a_question_that_stays_open_though_it_is_answered_is_not_paid_again(tmp_path: Path) -> None:
    with serving() as (server, batches):
        assert ask(server, tmp_path, always_open=True)[0] == Asked({}, 40)
        assert set(batches.paid.values()) == {1}


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    with serving() as (server, batches):
        ask(server, tmp_path)
        calls = batches.counts.total()
        assert ask(server, tmp_path)[0] == Asked({}, 0)
        assert batches.counts.total() == calls


def test_what_is_on_disk_meanwhile_is_for_the_user_only(tmp_path: Path) -> None:
    seen: list[int] = []
    folder = tmp_path / "journal"
    with serving() as (server, batches):
        batches.hook = lambda moment: seen.extend(
            stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.iterdir()] if path.name != ".gitignore"
        )
        ask(server, tmp_path)
    assert set(seen) == {0o600, 0o700}


def test_azure_has_its_own_paths(tmp_path: Path) -> None:
    with serving() as (server, batches):
        client = openai.AsyncAzureOpenAI(azure_endpoint=server.origin, api_key="k", api_version="2025-03-01", max_retries=0)
        asked, _ = ask(server, tmp_path, client=client)
        assert asked == Asked({}, 40)
        assert {batch["endpoint"] for batch in batches.batches.values()} == {"/chat/completions"}


def test_decisions_are_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with serving() as (server, batches):
        with pytest.raises(ParamsError, match=r"asking\.mode"):
            ask(server, tmp_path, form="decisions")
        assert batches.counts.total() == 0


def test_an_iterator_is_refused(tmp_path: Path) -> None:
    with serving() as (server, _), pytest.raises(AssertionError, match="rounds"):
        ask(server, tmp_path, iter(REPORTS))


def test_progress_tells_counts_and_ids_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lines={"stranger": 0.2, "malformed": 0.2}) as (server, _):
        ask(server, tmp_path, progress=True)
    said = capsys.readouterr().err
    assert "batch_00000000 of 40 questions: submitted" in said
    assert "damaged lines" in said
    assert "lines about what was not asked" in said
    assert MARK not in said


# ------------------------------------------------------------------------------------------------- lines


@pytest.mark.parametrize(
    "fault",
    ["missing", "doubled", "malformed", "not_an_object", "stranger", "error_inside", "separators", "408", "429", "500", "503"],
)
def test_bad_lines_are_asked_again_and_only_they(tmp_path: Path, fault: str) -> None:
    with serving(lines={fault: 0.3}, seed=1) as (server, batches):
        asked, budget = ask(server, tmp_path, tries=9)
        assert asked == Asked({}, 40)
        assert set(batches.asked) == set(KEYS)
        assert set(batches.paid.values()) == {1}
        again = fault not in ("doubled", "stranger", "separators")
        assert (len(batches.sizes) > 1) is again
        assert batches.sizes[-1][0] < 40 or not again
        assert batches.files == {}
    assert len(answers(tmp_path)) == 40
    assert budget.reserved == 0
    assert (budget.lost > 0) is (fault in ("missing", "malformed", "not_an_object"))


def test_a_paid_line_without_choices_is_kept_and_not_paid_again(tmp_path: Path) -> None:
    with serving(lines={"no_choices": 0.3}, seed=1) as (server, batches):
        asked, budget = ask(server, tmp_path)
        assert asked == Asked({}, 40)
        assert set(batches.asked.values()) == set(batches.paid.values()) == {1}
    empty = [each for each in answers(tmp_path) if each.finish == "no_choices"]
    assert 0 < len(empty) < 40
    assert all(each.text is None and each.usd > 0 for each in empty)
    assert budget.lost == 0


def test_characters_that_look_like_ends_of_lines_come_through(tmp_path: Path) -> None:
    with serving(lines={"separators": 1.0}) as (server, _):
        ask(server, tmp_path, REPORTS[:3])
    assert all((each.text or "").endswith(" \u2028 \x85 \u2029") for each in answers(tmp_path, KEYS[:3]))


def test_all_faults_at_once(tmp_path: Path) -> None:
    lines = dict.fromkeys(["missing", "doubled", "malformed", "stranger", "429", "500", "separators", "not_an_object"], 0.05)
    calls = {
        "upload": ["500", None, "reset"],
        "create": ["429", "lost"],
        "retrieve": ["503", "reset", None, "408"],
        "content": ["cut", "short", None, "500"],
        "delete": ["reset", "500"],
    }
    reports = [report(n) for n in range(500)]
    with serving(lines=lines, calls=calls, fates=["expired", None, "cancelled", "bare"], polls=1) as (server, batches):
        asked, _ = ask(server, tmp_path, reports, limits=Limits(requests=150), tries=9)
        assert asked == Asked({}, 500)
        assert set(batches.paid.values()) == {1}
        assert batches.files == {}
    assert len(answers(tmp_path, [question(each.text).key for each in reports])) == 500
    assert left(tmp_path) == []


def test_a_refused_line_fails_at_once(tmp_path: Path) -> None:
    with serving(lines={"400": 0.2}) as (server, batches):
        asked, budget = ask(server, tmp_path)
        assert 0 < len(asked.failed) < 40
        assert set(asked.failed.values()) == {"refused by the server: HTTP 400, context_length_exceeded"}
        assert asked.answered == 40 - len(asked.failed)
        assert len(batches.sizes) == 1
    assert budget.lost == 0


def test_a_line_that_never_succeeds_fails_after_so_many_tries(tmp_path: Path) -> None:
    with serving(lines={"500": 1.0}) as (server, batches):
        asked, _ = ask(server, tmp_path, tries=3)
        assert asked == Asked(dict.fromkeys(KEYS, "no answer: HTTP 500"), 0)
        assert set(batches.asked.values()) == {3}


def test_a_missing_line_has_its_own_reason(tmp_path: Path) -> None:
    with serving(lines={"missing": 1.0}) as (server, _):
        asked, _ = ask(server, tmp_path, tries=1)
    assert set(asked.failed.values()) == {"no answer: missing from the batch"}


def test_a_model_that_is_not_there_stops_the_run_after_the_rest_was_kept(tmp_path: Path) -> None:
    with serving(lines={"404": 0.2}) as (server, batches):
        with pytest.raises(InputError, match=r"HTTP 404.*check llm\.model") as caught:
            ask(server, tmp_path)
        assert batches.files == {}
        assert batches.paid.total() == len(answers(tmp_path))
    assert MARK not in str(caught.value)
    assert 20 < len(answers(tmp_path)) < 40
    assert left(tmp_path) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    line=st.binary(max_size=80)
    | st.builds(
        lambda *parts: json.dumps(dict(zip(("custom_id", "response", "error"), parts, strict=True))).encode(),
        st.just("a") | JSON,
        st.builds(lambda status, body: {"status_code": status, "body": body}, st.just(200) | JSON, JSON) | JSON,
        JSON,
    )
)
def test_no_line_of_a_server_raises(line: bytes) -> None:
    class Kept:
        def add(self, group: Any) -> None:
            pass

    budget = Budget(-1, PRICES, MODEL)
    budget.reserve(1.0)
    reading = Reading(MODEL, {"a": 1.0}, Kept(), budget)
    reading.take("file", [line], True)
    others = {"no answer: broken reply", "no choices in the reply", ""}
    assert all(
        request_failures.SHOWN.fullmatch(t.reason.removeprefix("no answer: ")) or "HTTP" in t.reason or t.reason in others
        for t in reading.failures.values()
    )


def test_deeply_nested_lines_do_not_raise() -> None:
    reading = Reading(MODEL, {}, None, Budget(-1, PRICES, MODEL))
    reading.take("file", [b"[" * 200_000], True)
    assert reading.odd_lines() == ", 1 damaged lines"


# ------------------------------------------------------------------------------------------------- batches


@pytest.mark.parametrize("fate", ["expired", "cancelled", "bare"])
def test_the_missing_part_of_a_batch_is_asked_again(tmp_path: Path, fate: str) -> None:
    with serving(fates=[fate]) as (server, batches):
        asked, budget = ask(server, tmp_path)
        assert asked == Asked({}, 40)
        assert len(batches.sizes) == 2
        assert 0 < batches.sizes[1][0] < 40
        assert set(batches.paid.values()) == {1}
    assert (budget.lost > 0) is (fate == "bare")


def test_batches_that_keep_expiring_end_as_failed(tmp_path: Path) -> None:
    with serving(fates=["expired"] * 3) as (server, batches):
        asked, _ = ask(server, tmp_path, tries=2)
        assert len(batches.sizes) == 2
    assert asked.failed
    assert set(asked.failed.values()) == {"no answer: batch_expired"}
    assert asked.answered == 40 - len(asked.failed)


def test_a_batch_that_fails_its_validation_is_told_by_its_code(tmp_path: Path) -> None:
    with serving(fates=["failed:invalid_model"]) as (server, batches):
        with pytest.raises(InputError, match=r"batch of 40 questions as a whole \(invalid_model\)") as caught:
            ask(server, tmp_path)
        assert batches.files == {}
    assert "repeated" not in str(caught.value)
    assert left(tmp_path) == []


def test_a_code_that_is_no_code_is_not_shown(tmp_path: Path) -> None:
    with serving(fates=[f"failed:{MARK}"]) as (server, _), pytest.raises(InputError, match=r"\(no code\)"):
        ask(server, tmp_path)


def test_a_full_queue_makes_batches_wait_for_each_other_then_smaller(tmp_path: Path) -> None:
    with serving(queue=8, polls=1) as (server, batches):
        asked, budget = ask(server, tmp_path, limits=Limits(requests=20))
        assert asked == Asked({}, 40)
        assert set(batches.paid.values()) == {1}
        assert set(batches.asked.values()) == {1}
        assert batches.files == {}
    assert budget.reserved == 0


def test_a_queue_with_no_room_at_all_is_an_error(tmp_path: Path) -> None:
    with serving(fates=["failed:token_limit_exceeded"] * 9) as (server, batches):
        with pytest.raises(InputError, match="token_limit_exceeded"):
            ask(server, tmp_path)
        assert [n for n, _ in batches.sizes] == [40, 20, 20, 10, 5, 2, 1]


# ------------------------------------------------------------------------------------------------- calls


@pytest.mark.parametrize("call", ["upload", "create", "retrieve", "content", "delete"])
@pytest.mark.parametrize("fault", ["500", "429", "408", "reset", "lost"])
def test_a_call_that_goes_wrong_is_made_again_without_doing_things_twice(tmp_path: Path, call: str, fault: str) -> None:
    with serving(calls={call: [fault, fault]}) as (server, batches):
        assert ask(server, tmp_path)[0] == Asked({}, 40)
        assert len(batches.sizes) == 1
        assert batches.counts["ids"] == 2  # the input and the output
        assert batches.files == {}


@pytest.mark.parametrize("call", ["create", "retrieve", "content"])
@pytest.mark.parametrize("faults", [["400"], ["404"], ["400"] * 3, ["404", "400", "404", "400"]])
def test_what_we_hold_the_id_of_may_not_be_found_at_first(tmp_path: Path, call: str, faults: list[str | None]) -> None:
    with serving(calls={call: list(faults)}) as (server, batches):
        assert ask(server, tmp_path, tries=1)[0] == Asked({}, 40)
        assert len(batches.sizes) == 1
        assert batches.counts["upload"] == 1
        assert set(batches.asked.values()) == set(batches.paid.values()) == {1}
        assert batches.files == {}


def test_an_uploaded_file_that_is_pending_may_not_be_found_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Azure's, whose files are pending for a while."""
    looks: list[str | None] = ["404", "400", None]
    with serving(calls={"files": looks}) as (server, batches):
        upload = batches._file

        def pending(*given: Any) -> dict[str, Any]:
            return upload(*given) | {"status": "pending"}  # a copy: the next look finds it processed

        monkeypatch.setattr(batches, "_file", pending)
        monkeypatch.setattr(batch_api, "AZURE_POLL_S", 0.001)
        assert ask(server, tmp_path, REPORTS[:3])[0].answered == 3
        assert (looks, batches.counts["upload"]) == ([], 1)


@pytest.mark.parametrize("status", ["400", "404"])
def test_a_creation_that_is_refused_for_good_ends_the_run_after_a_few_tries(tmp_path: Path, status: str) -> None:
    with serving(calls={"create": [status] * 20}) as (server, batches):
        with pytest.raises(InputError, match=rf"batch mode: .*HTTP {status}.*the next run goes on with it"):
            ask(server, tmp_path)
        assert batches.counts["create"] == 5
        batches.calls = {}
        assert ask(server, tmp_path)[0].answered == 40
        assert set(batches.paid.values()) == {1}
        assert batches.files == {}


def test_a_lost_creation_is_found_behind_pages_of_other_batches(tmp_path: Path) -> None:
    with serving(calls={"create": ["lost"], "upload": ["lost"]}, page=3) as (server, batches):
        for n in range(7):
            file = batches._file(b"", f"{n}.jsonl", "batch")
            batches.batches[f"other-{n}"] = {
                "id": f"other-{n}",
                "object": "batch",
                "input_file_id": file["id"],
                "status": "failed",
                "lines": [],
            }
        ask(server, tmp_path)
        assert batches.counts["create"] == 1
        assert batches.counts["upload"] == 1


@pytest.mark.parametrize("fault", ["cut", "short"])
def test_an_output_that_breaks_off_is_fetched_again_not_paid_again(tmp_path: Path, fault: str) -> None:
    with serving(calls={"content": [fault]}) as (server, batches):
        assert ask(server, tmp_path)[0] == Asked({}, 40)
        assert len(batches.sizes) == 1
        assert batches.counts["content"] == 2


@pytest.mark.parametrize("call", ["upload", "create", "content"])
def test_a_server_that_stays_away_ends_the_run_and_the_next_goes_on(
    tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_api, "OUTAGE_S", 0.0)
    with serving(calls={call: ["500"] * 4}) as (server, batches):
        with pytest.raises(InputError, match=r"batch mode: no answer: HTTP 500") as caught:
            ask(server, tmp_path)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
        assert ask(server, tmp_path)[0].answered == 40
        assert len(batches.sizes) == 1
        assert set(batches.paid.values()) == {1}
        assert batches.files == {}


def test_the_server_may_be_away_for_long_while_a_batch_is_waited_for(tmp_path: Path) -> None:
    with serving(calls={"retrieve": ["500"] * 20}) as (server, _):
        assert ask(server, tmp_path, tries=2)[0] == Asked({}, 40)


@pytest.mark.parametrize("call", ["upload", "create", "retrieve", "delete"])
def test_an_error_within_http_200_of_a_call_is_what_it_says(tmp_path: Path, call: str) -> None:
    with serving(calls={call: ["error"] * 2}) as (server, batches):
        assert ask(server, tmp_path)[0] == Asked({}, 40)
        assert len(batches.sizes) == 1
    told = "batch mode: no answer: HTTP 200 with error 429"
    with serving(calls={"upload": ["error"] * 4}) as (server, _), pytest.raises(InputError, match=told) as caught:
        ask(server, tmp_path, [report(99)])
    assert "repeated" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "words"),
    [("401", "key"), ("404", "URL"), ("400", "refused by the server: HTTP 400"), ("text", "HTTP 400: .*no money left")],
)
def test_a_refused_upload_says_what_to_check(tmp_path: Path, status: str, words: str) -> None:
    with serving(calls={"upload": [status]}) as (server, _), pytest.raises(InputError, match=words) as caught:
        ask(server, tmp_path)
    assert "repeated" not in str(caught.value)


def test_a_batch_that_the_server_does_not_know_is_an_error(tmp_path: Path) -> None:
    with serving() as (server, batches):
        batches.hook = lambda moment: batches.batches.clear() if moment == "before retrieve" else None
        with pytest.raises(InputError, match="does not know the batch batch_00000000"):
            ask(server, tmp_path)


def test_files_that_cannot_be_deleted_are_told_and_the_run_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(calls={"delete": ["401"]}) as (server, batches):
        assert ask(server, tmp_path)[0] == Asked({}, 40)
        assert list(batches.files) == ["file-00000000"]
    assert "delete them there: file-00000000\n" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------- money


def test_the_cap_lets_through_what_fits_and_stops_in_time(tmp_path: Path) -> None:
    most = Budget(-1, PRICES, MODEL).most(question(REPORTS[0].text).body, batch=True)
    with serving() as (server, batches):
        with pytest.raises(BudgetReached, match=r"asking\.budget_usd.*answered by this run"):
            ask(server, tmp_path, cap=most * 5)
        first = len(answers(tmp_path))
        assert len(batches.sizes) > 1  # what was reserved and not needed was used for more
        assert 5 <= first < 40
        assert sum(each.usd for each in answers(tmp_path)) <= most * 5
        assert batches.files == {}
        assert ask(server, tmp_path)[0] == Asked({}, 40 - first)
        assert set(batches.paid.values()) == {1}


def test_a_cap_below_one_question_submits_nothing(tmp_path: Path) -> None:
    with serving() as (server, batches):
        with pytest.raises(BudgetReached):
            ask(server, tmp_path, cap=1e-9)
        assert batches.counts.total() == 0


def test_a_batch_of_a_killed_run_counts_against_the_cap(tmp_path: Path) -> None:
    most = Budget(-1, PRICES, MODEL).most(question(REPORTS[0].text).body, batch=True)
    with serving(polls=3) as (server, batches):
        interrupt(server, batches, tmp_path, "after create", REPORTS[:10])
        with pytest.raises(BudgetReached):
            ask(server, tmp_path, cap=most * 10.5)
        assert sum(each.usd for each in answers(tmp_path)) <= most * 10.5
        assert max(batches.asked.values()) == 1


def test_a_batch_of_an_earlier_run_is_read_whatever_the_cap(tmp_path: Path) -> None:
    most = Budget(-1, PRICES, MODEL).most(question(REPORTS[0].text).body, batch=True)
    with serving() as (server, batches):
        interrupt(server, batches, tmp_path, "after create", REPORTS[:10])
        assert ask(server, tmp_path, REPORTS[:10], cap=most * 3.5)[0] == Asked({}, 10)
        assert max(batches.asked.values()) == 1


# ------------------------------------------------------------------------------------------------- interruptions


def interrupt(server: TeacherServer, batches: BatchServer, folder: Path, moment: str, reports: list[Report] = REPORTS) -> None:
    """A run whose task is cancelled, as Ctrl-C does, at its first such moment."""
    seen = threading.Event()
    batches.hook = lambda now: seen.set() if now == moment else None

    async def cancelled() -> None:
        with Store(folder / "journal") as journal:
            async with openai.AsyncOpenAI(base_url=server.url, api_key="k", max_retries=0) as client:
                task = asyncio.create_task(
                    ask_all(
                        reports,
                        lambda each: [q] if (q := question(each.text)).key not in journal else [],
                        client=client, asking=asking(), model=MODEL, store=journal, progress=False,
                        budget=Budget(-1, PRICES, MODEL),
                    )
                )  # fmt: skip
                while not seen.is_set() and not task.done():
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    asyncio.run(cancelled())
    batches.hook = lambda now: None


MOMENTS = [
    "before upload", "after upload", "before create", "after create", "after retrieve", "before content", "after content",
    "before delete", "after delete",
]  # fmt: skip


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_interrupted_run_is_picked_up(tmp_path: Path, moment: str) -> None:
    with serving() as (server, batches):
        interrupt(server, batches, tmp_path, moment)
        ask(server, tmp_path)
        assert len(batches.sizes) == 1
        assert set(batches.paid.values()) == {1}
        assert batches.files == {}
    assert len(answers(tmp_path)) == 40
    assert left(tmp_path) == []


def test_a_run_that_wants_nothing_of_it_clears_an_ended_batch_away_and_waits_for_no_other(tmp_path: Path) -> None:
    with serving() as (server, batches):
        interrupt(server, batches, tmp_path, "after create")
        assert ask(server, tmp_path, [])[0] == Asked({}, 0)  # still validating: left alone
        assert len(left(tmp_path)) == 1
        for batch in batches.batches.values():
            while batch["status"] != "completed":
                batches._move_on(batch)
        assert ask(server, tmp_path, [])[0] == Asked({}, 40)
        assert batches.files == {}
    assert left(tmp_path) == []


def test_what_was_spooled_and_not_submitted_is_not_submitted_for_a_run_that_does_not_want_it(tmp_path: Path) -> None:
    with serving() as (server, batches):
        interrupt(server, batches, tmp_path, "after upload")
        assert len(batches.files) == 1
        ask(server, tmp_path, REPORTS[:5])
        assert batches.sizes == [(5, batches.sizes[0][1])]
        assert batches.files == {}
    assert left(tmp_path) == []


def test_batches_for_another_server_or_model_are_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as (server, batches), serving() as (other, others):
        interrupt(server, batches, tmp_path, "after create")
        assert (
            ask(other, tmp_path, progress=True)[0].answered == 40
        )  # the key does not know the address; it is not asked there yet
        assert "1 batches for another server or model" in capsys.readouterr().err
        assert len(others.sizes) == 1
        assert len(left(tmp_path)) == 1


def test_a_batch_of_a_run_that_died_while_it_collected_is_deleted(tmp_path: Path) -> None:
    with serving() as (server, batches):
        with Store(tmp_path / "journal") as store, closing(BatchStore(store, f"{server.url}/", MODEL)) as dead:
            assert dead.claim(dead.start(), [(KEYS[0], "{}")]) == [True]
        assert ask(server, tmp_path)[0] == Asked({}, 40)
        assert len(batches.sizes) == 1
    assert left(tmp_path) == []


def test_a_full_disk_while_answers_are_journalled_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Store, group: Any) -> None:
        raise OSError(28, "No space left on device", "answers.jsonl")

    with serving() as (server, batches):
        with monkeypatch.context() as patched:
            patched.setattr(Store, "add", full)
            with pytest.raises(OSError, match="No space left"):
                ask(server, tmp_path)
        assert ask(server, tmp_path)[0] == Asked({}, 40)
        assert set(batches.asked.values()) == {1}
        assert batches.files == {}


@pytest.mark.parametrize("overlap", [0, 20, 40])
def test_two_runs_at_once_submit_no_question_twice(tmp_path: Path, overlap: int) -> None:
    """Separate journals and locks, as two processes have them."""
    halves = [REPORTS, [report(n) for n in range(40 - overlap, 80 - overlap)]]
    answered = []
    with serving(polls=5) as (server, batches):
        runs = [
            threading.Thread(target=lambda half=half: answered.append(ask(server, tmp_path, half)[0].answered)) for half in halves
        ]
        for run in runs:
            run.start()
        for run in runs:
            run.join(30)
        assert sum(answered) == 80 - overlap
        assert len(batches.paid) == 80 - overlap
        assert set(batches.asked.values()) == {1}
        assert batches.files == {}
    assert left(tmp_path) == []


def ask_in_another_process(url: str, folder: Path) -> None:
    ask(SimpleNamespace(url=url), folder, REPORTS, limits=Limits(requests=15))


def test_kill_9_at_any_moment_submits_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = ["after upload", *["after create"] * 2, "before retrieve", "before content", "after content", "after delete"]
    processes = multiprocessing.get_context("forkserver")  # its server imports this module once; it is found by PYTHONPATH
    processes.set_forkserver_preload([__name__])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["src", ".", "tests"]))
    with serving(polls=1) as (server, batches):
        for moment in moments:
            process = processes.Process(target=ask_in_another_process, args=(server.url, tmp_path))

            def strike(now: str, moment: str = moment, process: Any = process) -> None:
                if now == moment:
                    process.kill()

            batches.hook = strike
            process.start()
            process.join(60)
            assert process.exitcode == -signal.SIGKILL, moment
        batches.hook = lambda now: None
        ask(server, tmp_path, limits=Limits(requests=15))
        assert set(batches.asked.values()) == {1}
        assert set(batches.paid.values()) == {1}
        assert batches.files == {}
    assert len(answers(tmp_path)) == 40
    assert left(tmp_path) == []
