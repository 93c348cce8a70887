"""The store keeps what was paid for: through kill -9, a full disk, damage, and several processes at once."""

import hashlib
import json
import os
import random
import resource
import stat
import subprocess
import sys
import threading
import time
import zlib
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raddistill.errors import InputError
from raddistill.llm_client.batch_store import BatchStore
from raddistill.llm_client.messages import Answer
from raddistill.llm_client.store import FILE, Store


def key(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def answer(name: object, text: str | None = "Edema | absent", usd: float = 0.001) -> Answer:
    logprobs = [["Edema", -0.01, [["Edema", -0.01], [" no", -5.0]]]]
    return Answer(key(name), text, "stop", "mock-1", "fp", logprobs, 500, 20, 128, "req_1", usd, "direct")


# Writes groups of answers for ever and says which ones are safe.
WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_store import answer
from raddistill.llm_client.store import Store
name, groups, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with Store(Path({folder!r})) as journal:
    for group in range(groups):
        journal.add([answer(f"{{name}}-{{group}}-{{n}}", "x" * size) for n in range(20)])
        print(group, flush=True)
"""


def writer(folder: Path, name: str, groups: int, size: int) -> subprocess.Popen[str]:
    code = WRITER.format(tests=str(Path(__file__).parent), folder=str(folder))
    return subprocess.Popen([sys.executable, "-c", code, name, str(groups), str(size)], stdout=subprocess.PIPE, text=True)


def test_an_answer_comes_back_as_it_was(tmp_path: Path) -> None:
    with Store(tmp_path / "j") as journal:
        assert journal.get(key(1)) is None
        assert key(1) not in journal
        journal.add([answer(1), answer(2, None)])
        assert journal.get(key(1)) == answer(1)
        assert key(2) in journal
    with Store(tmp_path / "j") as journal:
        assert [journal.get(key(n)) for n in (1, 2, 3)] == [answer(1), answer(2, None), None]
        assert len(journal) == 2


def test_an_absent_folder_is_made_with_the_first_answer_only(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "journal"
    with Store(folder) as journal:
        journal.add([])
        assert not folder.exists()
        before = os.umask(0)
        try:
            journal.add([answer(1)])
        finally:
            os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / FILE).stat().st_mode) == 0o600


def test_the_first_answer_of_a_key_counts_and_later_ones_are_counted(tmp_path: Path) -> None:
    with Store(tmp_path) as one, Store(tmp_path) as other:
        one.add([answer(1, "first"), answer(1, "again")])
        other.add([answer(1, "late")])
        assert [journal.get(key(1)) for journal in (one, other)] == [answer(1, "first")] * 2
    with Store(tmp_path) as journal:
        assert journal.get(key(1)) == answer(1, "first")
        assert journal.read("SELECT times_paid FROM answers") == [(3,)]


anything = st.text(alphabet=st.characters(), max_size=40)  # lone surrogates included
answers_of_all_kinds = st.builds(
    Answer,
    key=st.binary(min_size=32, max_size=32).map(bytes.hex),
    text=st.none() | anything,
    finish=anything,
    model=anything,
    fingerprint=st.none() | anything,
    logprobs=st.none() | st.lists(st.tuples(anything, st.floats(max_value=0.0, allow_nan=False)).map(list), max_size=3),
    prompt_tokens=st.integers(0, 10**9),
    completion_tokens=st.integers(0, 10**9),
    cached_tokens=st.integers(0, 10**9),
    request_id=st.none() | anything,
    usd=st.floats(0, 1e6),
    mode=st.sampled_from(["direct", "batch"]),
)
quick = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(st.lists(answers_of_all_kinds, max_size=5, unique_by=lambda one: one.key))
def test_any_answer_comes_back(tmp_path_factory: pytest.TempPathFactory, answers: list[Answer]) -> None:
    folder = tmp_path_factory.mktemp("any")
    with Store(folder) as journal:
        journal.add(answers)
    with Store(folder) as journal:
        assert [journal.get(one.key) for one in answers] == answers


def test_kill_9_loses_nothing_that_was_confirmed(tmp_path: Path) -> None:
    """Beside a process that goes on writing; groups of 2 MB so that a kill may hit a write."""
    drawn = random.Random(4)
    steady = writer(tmp_path, "steady", 40, 100)
    for turn in range(3):
        killed = writer(tmp_path, f"killed-{turn}", 10**6, 100_000)
        assert killed.stdout is not None
        assert killed.stdout.readline() == "0\n"
        time.sleep(drawn.uniform(0, 0.05))
        killed.kill()
        confirmed = 1 + len(killed.stdout.read().splitlines())
        killed.wait()
        killed.stdout.close()
        with Store(tmp_path) as journal:
            assert all(key(f"killed-{turn}-{group}-{n}") in journal for group in range(confirmed) for n in range(20))
            journal.add([answer(f"after-{turn}")])
    assert steady.communicate()[1] or steady.returncode == 0
    with Store(tmp_path) as journal:
        assert all(key(f"steady-{group}-{n}") in journal for group in range(40) for n in range(20))
        assert all(journal.get(key(f"after-{turn}")) == answer(f"after-{turn}") for turn in range(3))


def test_several_threads(tmp_path: Path) -> None:
    with Store(tmp_path) as journal:
        threads = [
            threading.Thread(target=lambda t=t: [journal.add([answer(f"{t}-{n}")]) for n in range(20)])  # type: ignore[func-returns-value]
            for t in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(journal.get(key(f"{t}-{n}")) == answer(f"{t}-{n}") for t in range(4) for n in range(20))


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_deleted_while_in_use_takes_no_more_answers(tmp_path: Path, replaced: bool) -> None:
    with Store(tmp_path) as journal:
        journal.add([answer(1)])
        (tmp_path / FILE).unlink()
        if replaced:
            (tmp_path / FILE).touch()
        with pytest.raises(InputError, match="deleted or replaced while it was in use"):
            journal.add([answer(2)])


def test_a_read_only_journal_can_be_read(tmp_path: Path) -> None:
    with Store(tmp_path) as journal:
        journal.add([answer(1)])
    (tmp_path / FILE).chmod(0o400)
    with Store(tmp_path) as journal:
        assert journal.get(key(1)) == answer(1)


def test_another_process_sees_an_answer_at_once(tmp_path: Path) -> None:
    with Store(tmp_path) as one, Store(tmp_path) as other:
        assert key(1) not in other
        one.add([answer(1)])
        assert other.get(key(1)) == answer(1)


def test_several_processes_at_once(tmp_path: Path) -> None:
    names = ["a", "b", "c"]
    writers = [writer(tmp_path, name, 15, 3000) for name in names]
    assert [one.communicate()[1] or one.returncode for one in writers] == [0, 0, 0]
    with Store(tmp_path) as store:
        assert store.read("SELECT count(*), sum(times_paid) FROM answers") == [(900, 900)]
        assert all(key(f"{name}-{group}-{n}") in store for name in names for group in range(15) for n in range(20))


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    """The limit on a file's size stands for the disk."""
    with Store(tmp_path) as store:
        store.add([answer(1)])
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / f"{FILE}-wal").stat().st_size + 2500, limits[1]))
        try:
            with pytest.raises(OSError, match=FILE):
                store.add([answer(n, "z" * 1000) for n in range(2, 60)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert [key(n) in store for n in (1, 2, 3)] == [True, False, False]
        store.add([answer(2)])
        assert store.get(key(2)) == answer(2)


def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 1000)
    with Store(tmp_path) as store, pytest.raises(InputError, match=rf"{FILE}: damaged.*recover.*move the file away"):
        store.get(key(1))


def test_an_answer_of_another_version(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        with store.transaction() as writer:
            writer.execute("INSERT INTO answers (key, answer) VALUES (?, ?)", (key(1), json.dumps({"key": key(1), "words": "x"})))
        with pytest.raises(InputError, match="written by another version"):
            store.get(key(1))


# ------------------------------------------------------------------------------------------------- what older versions left


def old_line(one: Answer) -> bytes:
    body = json.dumps(one._asdict())[1:].encode("ascii")
    return b'{"crc32": "%08x", ' % zlib.crc32(body) + body + b"\n"


def test_a_journal_of_an_older_version_is_brought_in_once(tmp_path: Path) -> None:
    lines = old_line(answer(1)) + old_line(answer(2, None)) + old_line(answer(1, "late"))
    (tmp_path / "answers.jsonl").write_bytes(lines + old_line(answer(3))[:50])  # torn by a kill
    for _ in range(2):
        with Store(tmp_path) as store:
            assert [store.get(key(n)) for n in (1, 2, 3)] == [answer(1), answer(2, None), None]
    assert (tmp_path / "answers.jsonl.imported").read_bytes().startswith(lines)
    assert not (tmp_path / "answers.jsonl").exists()


def test_a_damaged_line_of_an_old_journal_is_named_and_nothing_is_brought_in(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_bytes(
        old_line(answer(1)) + old_line(answer(2)).replace(b"Edema", b"Enema") + old_line(answer(3))
    )
    with pytest.raises(InputError, match=r"answers\.jsonl: line 2 is damaged.*sed -i 2d"):
        Store(tmp_path)
    subprocess.run(["sed", "-i", "2d", tmp_path / "answers.jsonl"], check=True)
    with Store(tmp_path) as store:
        assert [key(n) in store for n in (1, 2, 3)] == [True, False, True]


def test_batches_of_an_older_version_are_brought_in(tmp_path: Path) -> None:
    folder = tmp_path / "batches"
    folder.mkdir()
    state = {
        "server": hashlib.sha256(b"http://s/v1/").hexdigest(),
        "model": "m",
        "requests": 1,
        "file": "file-1",
        "batch": "batch-1",
    }
    (folder / "b1.json").write_text(json.dumps(state))
    (folder / "b1.jsonl").write_text(
        json.dumps({"custom_id": key(1), "method": "POST", "url": "u", "body": {"model": "m"}}) + "\n"
    )
    with Store(tmp_path) as store, closing(BatchStore(store, "http://s/v1/", "m")) as batches:
        (batch,) = batches.all()
        assert batch[3:] == ("m", 1, "file-1", "batch-1")
        assert batches.adopt(batch)
        assert list(batches.bodies("b1")) == [(key(1), '{"model": "m"}')]
    assert sorted(path.name for path in folder.iterdir()) == ["b1.json.imported", "b1.jsonl.imported"]


def test_a_damaged_batch_of_an_older_version_names_its_file_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "batches").mkdir()
    (tmp_path / "batches/b1.json").write_text('{"server": ')
    with pytest.raises(InputError, match=r"b1\.json: damaged\. Delete it and b1\.jsonl"):
        Store(tmp_path)
