"""10,000 reports asked about through a server that fails at every fifth request: undisturbed, killed, by two at once, in batches.

The faults of the wire are drawn anew at each attempt; those of the model by the question alone, as a model at temperature 0 says
the same when asked the same. So a run that was killed must end with the very tables of one that was not, whatever it lost.
"""

import asyncio
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from batch_server import BatchServer
from teacher_answers import share
from teacher_server import TeacherServer
from test_synthesizing import as_reports

from raddistill.llm_client.store import Store
from raddistill.tables import base as tables
from raddistill.tables.reports import Reports

ROOT = Path(__file__).parents[1]
REPORTS = 10_000
IN_FLIGHT = 64
SEED = 4
LATEST_S = 300  # a process that takes longer hangs
LABELLING = ["labels", "evidence", "outcomes", "quarantine"]  # all but what names single requests

WIRE = {
    "429": 0.015, "429_ms": 0.015, "429_bare": 0.01, "408": 0.005, "409": 0.005, "500": 0.02, "502": 0.005, "503": 0.02,
    "reset": 0.015, "reset_mid_body": 0.01, "truncated": 0.01, "malformed": 0.01, "empty_body": 0.007, "not_json": 0.007,
    "hang": 0.0005, "drip": 0.0005,
}  # fmt: skip
MODEL = {
    "wrong_labels": 0.01, "invented_quotes": 0.01, "doubled_labels": 0.005, "refusal": 0.005, "empty": 0.005, "length": 0.005,
    "content_filter": 0.005, "chatter": 0.003, "400": 0.004, "400_filter": 0.001,
}  # fmt: skip
# Of a batch: lines anew in each, and answers by the question alone.
LINES = {
    "missing": 0.05, "malformed": 0.03, "not_an_object": 0.01, "stranger": 0.02, "no_choices": 0.01, "429": 0.02,
    "500": 0.01,
}  # fmt: skip
IN_BATCH = {"wrong_labels": 0.01, "invented_quotes": 0.01, "refusal": 0.005, "empty": 0.005, "length": 0.005, "400": 0.01}

SENTENCES = [
    ["", "The heart is enlarged.", "The heart keeps its usual size.", "Mild cardiomegaly as before.", "Possible cardiomegaly."],
    ["", "Small left effusion.", "No effusion on either side.", "Effusions at both bases.", "An effusion cannot be excluded."],
    ["", "No pneumothorax.", "Tiny apical pneumothorax on the right.", "Questionable apical pneumothorax."],
    ["", "Streaky opacity at the right base.", "Patchy opacities on both sides.", "The lungs are without opacity."],
    ["", "Probable pneumonia.", "No pneumonia.", "Pneumonia of the middle lobe."],
    ["", "Bibasilar atelectasis.", "Some volume loss on the left.", "Atelectasis has resolved."],
    ["", "Vascular congestion.", "No edema.", "Edema might be beginning."],
    ["", "An old fracture of the sixth rib.", "No fracture is seen."],
    ["", "A catheter ends in the right atrium.", "The tube of yesterday is out."],
    ["", "A calcified granuloma sits at the left apex.", "No nodule has grown."],
]


def report(way: int) -> str:
    """One of all the ways to combine the sentences; way 0 is none of them."""
    said = []
    for choices in SENTENCES:
        way, chosen = divmod(way, len(choices))
        said.append(choices[chosen])
    return " ".join(filter(None, said))


WAYS = random.Random(SEED).sample(range(1, math.prod(map(len, SENTENCES))), REPORTS)
PILE = as_reports([report(way) for way in WAYS])


ANSWERS: dict[tuple[str, str | None], dict[str, Any]] = {}  # of all servers: the same to the same question, worked out once


class Faulty(TeacherServer):
    """The server of this file; `strike` is told, after each paid answer, how many there are."""

    def __init__(self) -> None:
        super().__init__(faults={**WIRE, **MODEL}, seed=SEED, latency=0.003, retry_after=0.01)
        self.keep = 0
        self.strike: Callable[[int], None] = lambda paid: None

    def fault_of(self, digest: str) -> str | None:
        return drawn(WIRE, digest, self.requests[digest]) or drawn(MODEL, digest)

    async def reply(self, request: Any, body: Any, digest: str, fault: str | None, answering: Callable[..., Any]) -> Any:
        def once(body: Any, spoilt: str | None) -> dict[str, Any]:
            if (digest, spoilt) not in ANSWERS:
                ANSWERS[digest, spoilt] = answering(body, spoilt)
            return ANSWERS[digest, spoilt]

        return await super().reply(request, body, digest, fault, once)

    async def send(self, *given: Any) -> Any:
        response = await super().send(*given)
        self.strike(self.paid.total())
        return response

    def settle(self) -> None:
        """Waits until what a dead client had sent is answered, and counted."""
        seen = -1
        while self.in_flight or seen != self.requests.total():
            seen = self.requests.total()
            time.sleep(0.1)


class FaultyBatches(BatchServer):
    """Batches for the teacher server; `strike` is told, before each call, how many there were."""

    def __init__(self) -> None:
        super().__init__(fates=["expired"], polls=1, seed=SEED)
        self.called = 0
        self.strike: Callable[[int], None] = lambda called: None
        self.hook = self._count

    def _count(self, moment: str) -> None:
        if moment.startswith("before"):
            self.called += 1
            self.strike(self.called)

    def _fault(self, key: str) -> str | None:
        return drawn(IN_BATCH, key) or drawn(LINES, key, self.asked[key])


def kill_at(server: Faulty | FaultyBatches, count: int, delay_s: float, process: "subprocess.Popen[bytes]") -> None:
    """Kills the process so long after the server has counted so far. To be called while the process still starts."""

    def strike(now: int) -> None:
        if now >= count:
            server.strike = lambda now: None
            asyncio.get_running_loop().call_later(delay_s, process.kill)

    server.strike = strike


def drawn(faults: dict[str, float], *by: object) -> str | None:
    point = share(SEED, *by)
    for fault, part in faults.items():
        if point < part:
            return fault
        point -= part
    return None


class Run:
    """A process that labels a part of PILE with a journal in `folder`."""

    def __init__(self, folder: Path, name: str, server: TeacherServer, reports: slice, **asking: Any) -> None:
        self.out = folder / name
        table = folder / f"{name}_reports.parquet"
        tables.write(Reports, Reports.validate(PILE[reports]), table)
        asking = {"in_flight": IN_FLIGHT, "timeout_s": 5.0, "tries": 10, "budget_usd": -1.0, "poll_s": 0.05} | asking
        llm = {"endpoint": "compatible", "model": "mock-1", "examples": 0}
        given = {"task": "multiple_choice", "reports": str(table), "asking": asking, "llm": llm}
        (folder / f"{name}.json").write_text(json.dumps(given))
        environment = os.environ | {"RADDISTILL_TEACHER_URL": server.url, "PYTHONPATH": str(ROOT / "src")}
        environment.pop("RADDISTILL_TEACHER_KEY", None)
        self._said = folder / f"{name}.txt"
        command = [sys.executable, ROOT / "tests" / "teacher_run.py", folder, name]
        with open(self._said, "ab") as said:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=said, stderr=said)

    def finish(self) -> "Run":
        assert self.process.wait(LATEST_S) == 0, self._said.read_text()[-2000:]
        assert_tells_nothing(self._said.read_text())
        return self

    def die(self) -> None:
        assert self.process.wait(LATEST_S) == -signal.SIGKILL, self._said.read_text()[-2000:]
        assert_tells_nothing(self._said.read_text())

    def table(self, name: str) -> pl.DataFrame:
        return pl.read_parquet(self.out / f"{name}.parquet")

    @property
    def metrics(self) -> dict[str, Any]:
        return json.loads((self.out / "metrics.json").read_text())


PROMPTS = {line for file in ROOT.glob("prompts/teacher/*.jinja") for line in file.read_text().splitlines() if len(line) > 30}


def assert_tells_nothing(said: str) -> None:
    """No text of a report, prompt or answer, and no message of the server, in what a process wrote."""
    assert all(line.startswith("asking: ") for line in said.splitlines()), "something else than progress was written"
    sentences = [sentence for choices in SENTENCES for sentence in choices if sentence]
    answers = ["status", "quote", "unmentioned", "Cardiomegaly", "Alien", "The moon", "I cannot help"]
    leaked = [words for words in [*sentences, *PROMPTS, *answers, "FINDINGS", "Refused:"] if words.lower() in said.lower()]
    assert leaked == []


def times_paid(folder: Path) -> int:
    """How often the answers of a store were paid for; the store is sound."""
    with Store(folder / "journal") as store:
        assert store.read("PRAGMA integrity_check") == [("ok",)]
        return store.read("SELECT sum(times_paid) FROM answers")[0][0]


def assert_same_tables(one: Run, other: Run) -> None:
    for name in LABELLING:
        assert one.table(name).equals(other.table(name)), name
    apart = ["request_id"]
    assert one.table("answers").drop(apart).equals(other.table("answers").drop(apart))
    assert one.metrics == other.metrics


def assert_nothing_lost(run: Run, reports: pl.DataFrame) -> None:
    """Every report is labelled in full, or in quarantine with a reason; none is both."""
    outcomes, quarantine = run.table("outcomes"), run.table("quarantine")
    assert sorted(outcomes["report_id"]) == sorted(reports["report_id"])
    assert set(outcomes["outcome"]) <= {"labelled", "quarantined"}
    aside = outcomes.filter(pl.col("outcome") == "quarantined")
    assert set(aside["report_id"]) == set(quarantine["report_id"])
    assert quarantine.height == aside.height
    assert quarantine["reason"].str.len_chars().min() > 0
    assert aside["reason"].null_count() == 0
    labelled = outcomes.filter(pl.col("outcome") == "labelled")
    of_each = run.table("labels").group_by("report_id").len()
    assert set(of_each["report_id"]) == set(labelled["report_id"])
    assert set(of_each["len"]) == {13}


class Undisturbed:
    """All reports on a server of their own; started at once, so that it may go on beside other runs."""

    def __init__(self, folder: Path, server: Faulty) -> None:
        self.folder, self.server = folder, server
        self._run = Run(folder, "run", server, slice(None))

    def run(self) -> Run:
        return self._run.finish()

    def stop(self) -> None:
        self._run.process.kill()
        self._run.process.wait()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Undisturbed]:
    with Faulty() as server:
        started = Undisturbed(tmp_path_factory.mktemp("undisturbed"), server)
        yield started
        started.stop()


def test_five_kills_cost_what_was_in_flight_and_change_no_table(undisturbed: Undisturbed, tmp_path: Path) -> None:
    draw = random.Random(SEED)
    moments = sorted(draw.sample(range(1, REPORTS), 5))
    lost = 0
    with Faulty() as server:
        for moment in moments:
            run = Run(tmp_path, "run", server, slice(None))
            kill_at(server, moment, draw.uniform(0, 0.2), run.process)
            run.die()
            server.settle()
            with Store(tmp_path / "journal") as journal:
                lost, before = server.paid.total() - len(journal), lost
            assert 0 <= lost - before <= IN_FLIGHT, f"lost by the kill at {moment}"
        run = Run(tmp_path, "run", server, slice(None)).finish()
    whole = undisturbed.run()
    assert_same_tables(run, whole)
    assert set(server.paid) == set(undisturbed.server.paid)
    assert server.paid.total() == undisturbed.server.paid.total() + lost
    assert times_paid(tmp_path) == len(server.paid)


def test_every_report_ends_labelled_or_put_aside_and_none_is_paid_twice(undisturbed: Undisturbed) -> None:
    run, counts = undisturbed.run(), undisturbed.server.counts()
    assert PILE["text"].n_unique() == REPORTS
    assert_nothing_lost(run, PILE)
    faults = counts["faults"]
    assert set(faults) == {*WIRE, *MODEL}
    assert sum(faults.values()) / counts["requests"] == pytest.approx(0.2, abs=0.015)
    assert counts["paid_twice"] == 0
    assert counts["paid"] == times_paid(undisturbed.folder)
    answers, metrics = run.table("answers"), run.metrics["metrics"]
    assert answers["key"].is_unique().all()
    assert counts["paid"] == answers.height == run.metrics["spending"]["answers"]
    # The model refuses the same questions for ever, and nothing else keeps a report from its labels but three faults in a row.
    refused = sum(n for reason, n in metrics["quarantined"].items() if reason.startswith("refused by the server: HTTP 400"))
    assert refused == faults["400"] + faults["400_filter"] > 0
    spoilt = answers.filter(pl.col("fault").is_not_null())
    assert set(spoilt["fault"]) == set(metrics["faults"])
    assert len(metrics["faults"]) >= 7
    assert metrics["labelled"] > 0.99 * REPORTS


def test_two_processes_share_a_journal(undisturbed: Undisturbed, tmp_path: Path) -> None:
    parts = slice(0, 600), slice(300, 900)
    with Faulty() as server:
        runs = [Run(tmp_path, f"run{n}", server, part, in_flight=16) for n, part in enumerate(parts)]
        for run in runs:
            run.finish()
        counts = server.counts()
    lines = times_paid(tmp_path)
    assert lines == counts["paid"]
    with Store(tmp_path / "journal") as journal:
        assert len(journal) == counts["paid_bodies"]
    assert counts["paid"] - counts["paid_bodies"] < 100  # of 300: what both had in flight at once; what one has, both have
    whole = undisturbed.run()
    for run, part in zip(runs, parts, strict=True):
        assert_nothing_lost(run, PILE[part])
        for name in LABELLING:
            theirs = whole.table(name).filter(pl.col("report_id").is_in(PILE[part]["report_id"].to_list()))
            assert run.table(name).equals(theirs), name


def test_batches_killed_twice_are_submitted_once(undisturbed: Undisturbed, tmp_path: Path) -> None:
    part = slice(0, 500)
    draw = random.Random(SEED)
    quiet, killed = FaultyBatches(), FaultyBatches()
    folders = [tmp_path / "quiet", tmp_path / "killed"]
    for folder in folders:
        folder.mkdir()
    with TeacherServer(routes=quiet) as server:
        whole = Run(folders[0], "run", server, part, mode="batch").finish()
    with TeacherServer(routes=killed) as server:
        for moment in sorted(draw.sample(range(1, quiet.called), 2)):
            run = Run(folders[1], "run", server, part, mode="batch")
            kill_at(killed, moment, draw.uniform(0, 0.02), run.process)
            run.die()
        run = Run(folders[1], "run", server, part, mode="batch").finish()
    assert killed.paid == quiet.paid
    refused = {key for key in quiet.asked if key not in quiet.paid}  # and so unpaid: asked by each run anew
    assert all(killed.asked[key] == n for key, n in quiet.asked.items() if key not in refused)
    assert set(killed.asked) == set(quiet.asked)
    assert_same_tables(run, whole)
    assert_nothing_lost(run, PILE[part])
    assert times_paid(folders[1]) == run.metrics["spending"]["answers_by_batch"]
    assert killed.files == {}
    with Store(folders[1] / "journal") as store:
        assert store.read("SELECT * FROM batches") == store.read("SELECT * FROM requests") == []
    direct = undisturbed.run()
    both = set(direct.table("labels")["report_id"]) & set(run.table("labels")["report_id"])
    assert len(both) > 0.95 * 500
    same = pl.col("report_id").is_in(list(both))
    assert run.table("labels").filter(same).equals(direct.table("labels").filter(same))
