"""The pipeline as a DVC repository in a clone: what runs, what does not, what is shared with whom."""

import csv
import gzip
import json
import os
import pickle
import re
import shutil
import signal
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from clones import Clone, another, copied, planted, ran, readable
from conftest import DENIALS, FINDINGS
from pipeline_truth import ROOT, declared, dvc_yaml
from ruamel.yaml import YAML
from test_fetching import digest, wheel

from raddistill import paths
from raddistill.params import read
from raddistill.tables import student_settings
from raddistill.tasks.names import TASKS

STAGES = declared(dvc_yaml())
CACHED = {path for stage in STAGES.values() for path, options in stage.outs.items() if options.get("cache", True)}
SHARED = {path for path in CACHED if path.startswith("models/")}
SENTENCES = {sentence for sentence, _ in FINDINGS} | set(DENIALS)
NOTHING = "Data and pipelines are up to date."


@pytest.fixture(scope="module")
def remotes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("remotes")


@pytest.fixture(scope="module")
def project(
    tmp_path_factory: pytest.TempPathFactory,
    remotes: Path,
    small_params: dict[str, Any],
    write_params: Callable[[dict[str, Any], Path], None],
    walked: Path,
) -> Clone:
    """The project in a repository of its own, with what its stages make in one process; a clone below makes it by `dvc repro`."""
    clone = planted(tmp_path_factory.mktemp("repository") / "project", remotes, small_params, write_params)
    for path in {path for stage in STAGES.values() for path in stage.outs}:
        (clone.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (walked / path).is_dir() else shutil.copy)(walked / path, clone.folder / path)
    clone.run("dvc", "commit", "--force")
    clone.commit("run")
    return clone


def test_run_again_runs_nothing_and_leaves_git_clean(project: Clone) -> None:
    output = project.run("dvc", "repro")
    assert NOTHING in output
    assert ran(output) == []
    assert project.run("git", "status", "--porcelain") == ""
    assert project.run("raddistill", "check").splitlines() == ["dvc.lock is up to date"]


def test_git_holds_metrics_and_plots_and_no_data(project: Clone) -> None:
    held = set(project.run("git", "ls-files").splitlines())
    assert {path for stage in STAGES.values() for path in stage.outs if path.startswith("metrics/")} <= held
    assert {name for name in held if name.startswith(("data/", "models/"))} == {"data/.gitignore"}


def test_the_table_of_results_stands_at_the_end(project: Clone) -> None:
    output = project.run("raddistill", "results")
    assert "multiple_choice" in output
    assert "open_ended" in output


def test_a_run_is_kept_as_a_fold_and_scored_as_the_run_is(project: Clone, tmp_path: Path) -> None:
    clone = with_data(project, tmp_path / "clone")
    assert clone.run("raddistill", "folds", "keep", "small") == "folds/small/fold-0.parquet\n"
    shown = clone.run("raddistill", "folds", "show", "small")
    assert "Missing: fold 1, 2, 3, 4\n" in shown
    kept, pooled, final = (
        json.loads((clone.folder / name).read_text(encoding="utf-8"))
        for name in ("folds/small/fold-0.json", "metrics/folds/small.json", "metrics/final.json")
    )
    assert (kept["commit"], kept["clean"]) == (clone.run("git", "rev-parse", "HEAD").strip(), True)
    for task, figures in final.items():
        assert pooled[task]["reports"] == figures["reports"] > 0
        assert pooled[task]["student"]["micro_f1"] == figures["student"]["micro_f1"]
    clone.commit("fold 0")
    held = set(clone.run("git", "ls-files", "folds/small", "metrics/folds/small.json").splitlines())
    assert held == {"folds/small/fold-0.json", "folds/small/fold-0.parquet", "metrics/folds/small.json"}
    assert clone.run("raddistill", "check").splitlines() == ["dvc.lock is up to date"]


def test_the_preset_of_an_hour_is_an_experiment(project: Clone, tmp_path: Path) -> None:
    clone = another(project, tmp_path / "clone")
    words = clone.run("raddistill", "preset", "hour").split()
    clone.run("dvc", "exp", "run", "--queue", "-n", "hour", *words)
    assert re.search(r"\bhour\b.*Queued", clone.run("dvc", "queue", "status"))
    (clone.folder / "queued.yaml").write_text(clone.run("git", "show", "refs/exps/celery/stash:params.yaml"), encoding="utf-8")
    queued = read(clone.folder / "queued.yaml")
    for section, changed in read(clone.folder / "presets/hour.yaml")["params"].items():
        for key, value in changed.items():
            found = queued[section][key]
            assert found == (found | value if isinstance(value, dict) else value), f"{section}.{key}"


def test_an_experiment_runs_train_and_what_follows_up_to_validation(project: Clone, tmp_path: Path) -> None:
    clone = with_data(project, tmp_path / "clone")
    output = clone.run("dvc", "exp", "run", "-n", "slower", "-S", "train.learning_rate=5e-5", "evaluate")
    assert ran(output) == ["train", "predict@student_validation", "calibrate", "evaluate"]
    assert read(clone.folder / "params.yaml")["train"]["learning_rate"] == 5e-05
    assert clone.json("dvc", "params", "diff", "--json") == {
        "params.yaml": {"train.learning_rate": {"old": 0.001, "new": 5e-05, "diff": 5e-05 - 0.001}}
    }
    changed = clone.json("dvc", "metrics", "diff", "--json")
    assert "metrics/train.json" in changed
    assert "metrics/final.json" not in changed
    shown = clone.run("dvc", "exp", "show", "--csv", "--no-pager")
    assert "slower" in shown
    assert "multiple_choice.student.micro_f1" in shown
    clone.run("dvc", "plots", "diff", "HEAD", "-o", str(tmp_path / "plots"))
    page = (tmp_path / "plots/index.html").read_text(encoding="utf-8")
    for title in ("Loss", "Learning rate", "F1 per label with 95 % interval", "Precision and recall", "Reliability"):
        assert title in page
    assert "DVC_METRIC" not in page  # no placeholder of our templates was left open
    assert "per_label.svg" in page
    left = clone.run("raddistill", "check", fails=True).splitlines()[:-1]  # the test split was not looked at
    stale = {line.split(":")[0] for line in left}  # `final` itself only if calibration came out otherwise
    assert {"predict@student_test"} <= stale <= {"predict@student_test", "final"}


def test_interrupted_training_goes_on(
    project: Clone, tmp_path: Path, write_params: Callable[[dict[str, Any], Path], None]
) -> None:
    """Ctrl-C, then kill -9 of the run that goes on; both reach DVC and the stage alike, as a terminal sends Ctrl-C.

    Neither needs a repair: the next `dvc repro` goes on from a step that the one before had reached.
    """
    clone = with_data(project, tmp_path / "clone")
    content = read(clone.folder / "params.yaml")
    content["train"] |= {"epochs": 4, "seed": 1}
    write_params(content, clone.folder / "params.yaml")
    clone.env["PYTHONUNBUFFERED"] = "1"  # as `make repro` does: what a killed stage had said is not lost
    told = [interrupted(clone, sent) for sent in (signal.SIGINT, signal.SIGKILL)]
    told.append(clone.run("dvc", "repro", "train"))
    assert [ran(output) for output in told] == [["train"]] * 3
    first, second, third = (re.findall(r"resuming after step (\d+)", output) for output in told)
    assert first == []
    assert 0 < int(second[0]) < int(third[0])
    assert list((clone.folder / ".checkpoints").iterdir()) == []


def with_data(project: Clone, folder: Path) -> Clone:
    """A clone with the project's data: a copy, since `dvc checkout` in a clone takes longer."""
    clone = copied(project, folder)
    clone.run("git", "remote", "add", "origin", str(project.folder))
    return clone


def interrupted(clone: Clone, sent: signal.Signals) -> str:
    """Output of a training that was sent the signal when it had written another checkpoint."""
    before = checkpoints(clone)
    running = clone.start("dvc", "repro", "train")
    until = time.monotonic() + 120
    while not checkpoints(clone) - before:
        assert running.poll() is None, running.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.05)
    os.killpg(running.pid, sent)
    told = running.communicate()[0]
    assert running.returncode != 0
    return told


def checkpoints(clone: Clone) -> set[str]:
    """Those that are complete."""
    return {file.parent.name for file in clone.folder.glob(".checkpoints/*/checkpoint-*/SHA256SUMS")}


def test_a_changed_param_is_named_by_check(project: Clone, tmp_path: Path) -> None:
    clone = another(project, tmp_path / "clone")
    text = (clone.folder / "params.yaml").read_text(encoding="utf-8")
    (clone.folder / "params.yaml").write_text(text.replace("learning_rate: 0.001", "learning_rate: 0.002"), encoding="utf-8")
    told = clone.run("raddistill", "check", fails=True)
    assert told.splitlines() == [
        "train: params.yaml: train.learning_rate modified",
        "InputError: dvc.lock is out of date: `dvc repro`, then commit dvc.lock and metrics/",
    ]


def test_a_clone_that_cannot_pull_makes_the_same_anew(project: Clone, tmp_path: Path) -> None:
    """As `make repro` does after `git clone`, a process per stage: dvc.lock, metrics and plots stay those of the one process."""
    clone = another(project, tmp_path / "clone")
    # else DVC skips `evaluate`: what it writes is in git, and what it reads is as before
    (clone.folder / paths.VALIDATION_METRICS).unlink()
    assert set(ran(clone.run("dvc", "repro"))) == set(STAGES)
    assert clone.run("git", "status", "--porcelain") == ""


def test_of_text_the_adapter_holds_the_phrases_that_the_teacher_listed(project: Clone) -> None:
    """And no others, nor sentences: those that the teacher found in reports, or wrote itself. They go where the adapter goes."""
    phrases = student_settings.load(project.folder / paths.ADAPTER / "student_settings.json").codes.keys()
    tables = [pl.read_parquet(project.folder / paths.table(name, "open_ended"))["label"] for name in ("labels", "written")]
    assert "small left pleural effusion" in phrases
    assert phrases <= set(pl.concat(tables).str.to_lowercase())


def leaked(sentence: str, folder: Path, kind: str) -> Path:
    import torch
    from safetensors.torch import save_file

    file = folder / "leak"
    if kind == "parquet":
        pl.DataFrame({"parts": [[sentence]]}).write_parquet(file)
    elif kind == "torch":
        torch.save({"name": sentence}, file)
    elif kind == "safetensors":
        save_file({"weights": torch.zeros(1)}, file, {"note": sentence})
    else:
        file.write_bytes(pickle.dumps([sentence]) if kind == "pickle" else gzip.compress(sentence.encode()))
    return file


@pytest.mark.parametrize("kind", ["parquet", "torch", "safetensors", "pickle", "gzip"])
def test_a_sentence_is_found_in_any_file(kind: str, tmp_path: Path) -> None:
    sentence = min(SENTENCES)
    assert sentences_in([leaked(sentence, tmp_path, kind).read_bytes()]) == {sentence}


def test_no_way_of_pushing_takes_text_to_the_shared_remote(project: Clone, tmp_path: Path) -> None:
    """Nor tables that are in no lock any more, nor a file of one's own that DVC was told to keep (docs/cohorts.md: one way)."""
    clone = with_data(project, tmp_path / "clone")
    for remote in ("shared", "private"):
        clone.run("dvc", "remote", "modify", "--local", remote, "url", str(tmp_path / remote))
    lock = YAML().load(clone.folder / "dvc.lock")
    del lock["stages"]["merge"]
    YAML().dump(lock, clone.folder / "dvc.lock")
    clone.run("dvc", "exp", "save", "-n", "kept")
    clone.run("dvc", "push", "-r", "shared")
    clone.run("dvc", "exp", "push", "-r", "shared", "origin", "kept")
    (clone.folder / "mine.csv").write_text(f"report_id,text\n1,{FINDINGS[0][0]}\n", encoding="utf-8")
    clone.run("dvc", "add", "mine.csv")  # names no remote, so `-r shared` would take it there
    clone.run("dvc", "push", "-A", "--run-cache")
    assert objects(tmp_path / "shared") == hashes(project, SHARED)  # no records of runs, either
    assert read_in(tmp_path / "shared") == set()
    assert any(FINDINGS[0][0].encode() in file.read_bytes() for file in files_in(tmp_path / "private"))


def test_no_way_of_pushing_takes_a_student_of_private_text_to_the_shared_remote(project: Clone, tmp_path: Path) -> None:
    """remotes.models binds weights, phrases and calibration alike. An edit of it is named by `raddistill check`."""
    clone = with_data(project, tmp_path / "clone")
    for remote in ("shared", "private"):
        clone.run("dvc", "remote", "modify", "--local", remote, "url", str(tmp_path / remote))
    params_file = clone.folder / "params.yaml"
    params_file.write_text(params_file.read_text(encoding="utf-8").replace("models: shared", "models: private"), encoding="utf-8")
    assert "extract: params.yaml: remotes.models modified" in clone.run("raddistill", "check", fails=True)
    clone.run("dvc", "push", "-r", "shared")
    clone.run("dvc", "push")
    assert objects(tmp_path / "shared") == set()
    assert objects(tmp_path / "private") == hashes(project, CACHED)


def test_the_first_day_of_a_team(project: Clone, tiny_base: Path, tmp_path: Path) -> None:
    """What docs/share.md says, as written but for addresses. A folder stands for a bucket, or for a file server."""
    origin, shared = tmp_path / "origin.git", tmp_path / "team/raddistill/shared"
    private = tmp_path / "hospital/raddistill/private"
    project.run("git", "init", "-q", "--bare", "-b", "main", str(origin))

    def typed(place: Clone, text: str) -> str:
        """Runs the block of the guide in which the text is, all but what installs."""
        script = block_of("docs/share.md", text)
        for named, ours in {"ADDRESS": "origin.git", "/mnt/team": "team", "/mnt/hospital": "hospital"}.items():
            script = script.replace(named, str(tmp_path / ours))
        return place.run("bash", "-ec", f"make() {{ :; }}; source() {{ :; }}\n{script}")

    # The first has run the pipeline. She says where data lies, once, in git, and pushes data and code.
    first = copied(project, tmp_path / "first")
    first.run("git", "remote", "add", "origin", str(origin))
    first.run("git", "push", "-q", "-u", "origin", "main")
    typed(first, "dvc remote modify shared url")
    typed(first, "git tag -a adapter@v1.0.0")

    assert objects(shared) == hashes(project, SHARED)
    assert objects(private) == hashes(project, CACHED - SHARED)
    assert read_in(private) == SENTENCES
    assert read_in(shared) == set()

    # The second pulls without editing anything. Nothing is left to run, so neither GPU nor key is needed.
    (tmp_path / "second").mkdir()
    told = typed(Clone(tmp_path / "second", {"PYTHONPATH": str(tmp_path / "second/raddistill/src")}), "all that you may read")
    assert NOTHING in told
    second = Clone(tmp_path / "second/raddistill")
    # Four experiments: what do 2, 3, 4 or 5 reports that people annotated buy?
    settings = ("-S", "calibrate.against=gold", "-S", "calibrate.gold_reports=2,3,4,5")
    second.run("dvc", "exp", "run", "--queue", "--name", "budget", *settings, "evaluate")
    second.run("dvc", "exp", "run", "--run-all", "--jobs", "2")
    assert second.run("dvc", "queue", "status").count("Success") == 4
    columns = r"Experiment|State|metrics/validation.*student\.micro_f1$|calibrate\.gold_reports"
    shown = second.run("dvc", "exp", "show", "--csv", "--no-pager", "--drop", ".*", "--keep", columns)
    rows = [row for row in csv.DictReader(shown.splitlines()) if row["State"] == "Success"]
    assert sorted(row["calibrate.gold_reports"] for row in rows) == ["2", "3", "4", "5"]
    assert all(float(row[f"metrics/validation.json:{task}.student.micro_f1"]) >= 0 for row in rows for task in TASKS)
    assert "student.micro_f1" in second.run("dvc", "metrics", "diff", "main", "budget-4")
    second.run("dvc", "exp", "push", "origin", "budget-4")

    # The first takes it over.
    first.run("dvc", "exp", "pull", "origin", "budget-4")
    first.run("dvc", "exp", "apply", "budget-4")
    calibration = json.loads((first.folder / paths.CALIBRATION).read_text(encoding="utf-8"))
    assert (calibration["against"], calibration["reports"]) == ("gold", 5)
    assert read_in(shared) == set()

    # The third may not read text.
    private.rename(tmp_path / "closed")
    third = another(Clone(origin, dict(project.env)), tmp_path / "third")
    third.run("dvc", "pull", fails=True)
    typed(third, "dvc pull -r shared --allow-missing")
    assert {f"models/{path.name}" for path in (third.folder / "models").iterdir()} >= SHARED

    # The fourth has an empty folder, and takes the adapter by its name, with the thresholds of the same version.
    fourth = Clone(tmp_path / "fourth", {"DVC_NO_ANALYTICS": "1", "PYTHONPATH": str(ROOT / "src")})
    fourth.folder.mkdir()
    reports = pl.read_parquet(project.folder / paths.REPORTS).filter(pl.col("split") == "test")
    reports.select("report_id", "findings", "impression").write_csv(fourth.folder / "reports.csv")
    typed(fourth, "dvc artifacts get ADDRESS")
    assert len((fourth.folder / "labels.csv").read_text(encoding="utf-8").splitlines()) == reports.height + 1
    predicts_without_the_base(fourth, project, tiny_base, tmp_path)


def predicts_without_the_base(clone: Clone, project: Clone, tiny_base: Path, index: Path) -> None:
    """The base is in a package, as that of the default is: `predict` says how to get it, and then decides as the pipeline did."""
    from_a_package(clone, tiny_base, index)
    predict = ("raddistill", "predict", "reports.csv", "-o", "labels.parquet", "--model", "student/adapter", "--format", "long")
    assert "`raddistill fetch-base student/adapter` gets it, once, from tiny==1.0" in clone.run(*predict, fails=True)
    clone.run("raddistill", "fetch-base", "student/adapter")
    clone.run(*predict)
    found = pl.read_parquet(clone.folder / "labels.parquet").filter(status="present").select("report_id", "label")
    decided = pl.read_parquet(project.folder / paths.DECISIONS)
    decided = decided.filter(arm="student", task="multiple_choice", kind="present")
    assert set(found.iter_rows()) == set(decided.select("report_id", "label").iter_rows()) != set()


def block_of(page: str, text: str) -> str:
    """The ```bash block of a page that has this text, as written."""
    content = (ROOT / page).read_text(encoding="utf-8")
    found = [block for block in re.findall(r"^```bash\n(.*?)^```", content, re.DOTALL | re.MULTILINE) if text in block]
    assert len(found) == 1, f"{page}: {text}"
    return found[0]


def from_a_package(clone: Clone, model: Path, index: Path) -> None:
    """Makes the base model of the small world, a folder that everybody has, one in a package, as that of the default is."""
    package = wheel(index, (model / "model.safetensors").read_bytes(), "tiny/model.safetensors")
    with zipfile.ZipFile(package, "a") as members:
        for file in model.iterdir():
            if file.name != "model.safetensors":
                members.write(file, f"tiny/{file.name}")
    record = clone.folder / "student/adapter/base.json"
    base = json.loads(record.read_text(encoding="utf-8"))
    base |= {"source": "package", "location": "tiny==1.0", "folder": f"base/{digest(model / 'model.safetensors')[:16]}"}
    record.write_text(json.dumps(base), encoding="utf-8")
    clone.env |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_CONFIG_FILE": "/dev/null"}


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_the_same_through_s3(project: Clone, s3: str, tmp_path: Path) -> None:
    import boto3

    credentials = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "us-east-1"}
    client = boto3.client(
        "s3",
        endpoint_url=s3,
        aws_access_key_id="k",
        aws_secret_access_key="s",  # noqa: S106
        region_name="us-east-1",
    )
    clone = another(project, tmp_path / "first")
    clone.env |= credentials
    clone.run("dvc", "cache", "dir", "--local", str(project.folder / ".dvc/cache"))
    for remote in ("shared", "private"):
        client.create_bucket(Bucket=remote)
        clone.run("dvc", "remote", "modify", remote, "url", f"s3://{remote}/cache")
        clone.run("dvc", "remote", "modify", remote, "endpointurl", s3)
    clone.commit("remotes on S3")
    clone.run("dvc", "checkout")
    clone.run("dvc", "push")
    pulls_all(another(clone, tmp_path / "second"))
    for remote, outs, told in (("shared", SHARED, set()), ("private", CACHED - SHARED, SENTENCES)):
        keys = [item["Key"] for item in client.list_objects_v2(Bucket=remote)["Contents"]]
        assert {"".join(key.split("/")[-2:]) for key in keys} == hashes(project, outs)
        assert sentences_in(client.get_object(Bucket=remote, Key=key)["Body"].read() for key in keys) == told
    # A colleague whom `private` does not let in gets what is shared, without a message that looks like a fault.
    client.delete_objects(Bucket="private", Delete={"Objects": [{"Key": key} for key in keys]})
    client.delete_bucket(Bucket="private")
    third = another(clone, tmp_path / "third")
    assert "does not exist" in third.run("dvc", "pull", fails=True)
    shutil.rmtree(third.folder / "models", ignore_errors=True)
    third.run("dvc", "pull", "-r", "shared", "--allow-missing")
    assert {str(file.relative_to(third.folder)) for file in (third.folder / "models").iterdir()} == SHARED
    assert third.run("raddistill", "check").splitlines() == ["dvc.lock is up to date"]


def pulls_all(clone: Clone) -> None:
    """Pulls in a new clone, and sees that nothing is left to run."""
    assert clone.run("raddistill", "check").splitlines() == ["dvc.lock is up to date"]
    clone.run("dvc", "pull")
    assert clone.json("dvc", "status", "--json") == {}
    assert NOTHING in clone.run("dvc", "repro")
    assert clone.run("git", "status", "--porcelain") == ""


def hashes(project: Clone, outs: set[str]) -> set[str]:
    """Hashes of the outputs in dvc.lock: of folders, and of the files in them, too."""
    import hashlib

    lock = YAML(typ="safe", pure=True).load((project.folder / "dvc.lock").read_text(encoding="utf-8"))
    locked = {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage.get("outs", [])}
    found = {locked[out] for out in outs}
    inside = [file for out in outs for file in (project.folder / out).rglob("*") if file.is_file()]
    return found | {hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() for file in inside}


def files_in(remote: Path) -> list[Path]:
    return [file for file in remote.rglob("*") if file.is_file()]


def objects(remote: Path) -> set[str]:
    return {file.parent.name + file.name for file in files_in(remote)}


def read_in(remote: Path) -> set[str]:
    return sentences_in(file.read_bytes() for file in files_in(remote))


def sentences_in(contents: Iterable[bytes]) -> set[str]:
    """Sentences of the reports that can be read in any of the files."""
    texts = [readable(content).lower() for content in contents]
    return {sentence for sentence in SENTENCES if any(sentence.lower().encode() in text for text in texts)}


def test_outputs_stay_ignored_after_a_later_stage_failed(project: Clone, tmp_path: Path) -> None:
    """DVC rolls its own .gitignore entries back then (dvc #11091)."""
    clone = another(project, tmp_path / "clone")
    (clone.folder / "lexicon/label_sets/chest_13.yaml").write_text("- name: 3\n", encoding="utf-8")
    clone.run("git", "rm", "-q", "--cached", "dvc.lock")
    (clone.folder / "dvc.lock").unlink()
    failed = clone.run("dvc", "repro", fails=True)
    assert ran(failed) == ["fetch", "extract"]
    assert "is not a YAML list of labels" in failed
    assert (clone.folder / "data/raw").is_dir()
    untracked = clone.run("git", "status", "--porcelain", "--untracked-files=all").splitlines()
    assert [line for line in untracked if "data/" in line or "models/" in line] == []
    assert set(clone.run("git", "check-ignore", *sorted(CACHED)).splitlines()) == CACHED


WORKFLOW = YAML(typ="safe", pure=True).load(ROOT / ".github/workflows/pipeline.yml")


def step(job: str, name: str) -> dict[str, Any]:
    [found] = [step for step in WORKFLOW["jobs"][job]["steps"] if step.get("name") == name]
    return found


def test_the_workflow_for_pull_requests_may_do_no_more_than_it_must() -> None:
    jobs = WORKFLOW["jobs"]
    assert WORKFLOW["permissions"] == {}
    assert {name: job["permissions"] for name, job in jobs.items()} == {
        "compare": {"contents": "read"}, "comment": {"pull-requests": "write"},
    }  # fmt: skip
    used = [step["uses"] for job in jobs.values() for step in job["steps"] if "uses" in step]
    assert len(used) == 2
    assert [action for action in used if not re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", action)] == []
    assert not any("uses" in step for step in jobs["comment"]["steps"])  # so nothing of the pull request runs beside the token
    scripts = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert [script for script in scripts if "${{" in script] == []  # a title or branch name is never pasted into a script
    text = (ROOT / ".github/workflows/pipeline.yml").read_text(encoding="utf-8")
    assert "secrets." not in text
    ids = {step["id"] for step in jobs["compare"]["steps"] if "id" in step}
    assert set(re.findall(r"steps\.(\w+)\.", text)) == ids
    assert set(re.findall(r"needs\.(\w+)\.", text)) <= {jobs["comment"]["needs"]}


def test_the_workflow_says_what_a_pull_request_changes(project: Clone, remotes: Path, tmp_path: Path) -> None:
    project.run("dvc", "push")
    clone = another(project, tmp_path / "clone")
    for file in ("out", "summary"):
        (tmp_path / file).touch()
    clone.env |= {
        "RUNNER_TEMP": str(tmp_path), "GITHUB_OUTPUT": str(tmp_path / "out"), "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "TARGET": "origin/main",
    }  # fmt: skip

    def run(name: str, fails: bool = False) -> None:
        clone.run("bash", "-eo", "pipefail", "-c", step("compare", name)["run"], fails=fails)

    def report() -> str:
        """What the last steps of the job tell."""
        run("report")
        told = (tmp_path / "report.md").read_text(encoding="utf-8")
        output = (tmp_path / "out").read_text(encoding="utf-8")
        *_, (name, end, value) = re.findall(r"^(report)<<(\w+)\n(.*?)^\2\n", output, re.DOTALL | re.MULTILINE)
        assert (name, value) == ("report", told)
        assert end not in told
        assert told in (tmp_path / "summary").read_text(encoding="utf-8")
        return told

    metrics = clone.folder / "metrics/final.json"
    content = json.loads(metrics.read_text(encoding="utf-8"))
    content["multiple_choice"]["student"]["micro_f1"] = 0.123
    metrics.write_text(json.dumps(content), encoding="utf-8")  # by hand
    changed = read(clone.folder / "params.yaml")
    changed["train"]["epochs"] = 7
    YAML().dump(changed, clone.folder / "params.yaml")
    run("lock", fails=True)
    run("pulled")
    clone.env |= {"LOCK": "failure", "PULLED": "success"}
    told = report()
    run("verdict", fails=True)
    assert "final: metrics/final.json modified" in told
    assert "train: params.yaml: train.epochs modified" in told
    assert "- the models are in the remote\n" in told
    assert re.search(r"\| metrics/final.json *\| multiple_choice.student.micro_f1 *\| [\d.]+ *\| 0.123 ", told)
    assert re.search(r"\| params.yaml *\| train.epochs *\| \d+ *\| 7 ", told)
    assert not (clone.folder / "data/reports.parquet").exists()

    clone.run("git", "checkout", "-q", ".")
    run("lock")
    (tmp_path / "dvc").write_text("#!/bin/sh\n", encoding="utf-8")  # here only what the steps found counts
    (tmp_path / "dvc").chmod(0o755)
    clone.env |= {"LOCK": "success", "PULLED": "failure", "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    told = report()
    run("verdict")
    assert "- dvc.lock is up to date\n- the models could not be pulled" in told


@pytest.mark.parametrize(("known", "method"), [("", "POST"), ("12\n345\n", "PATCH")])
def test_the_workflow_writes_one_comment_and_then_mends_it(tmp_path: Path, known: str, method: str) -> None:
    gh = tmp_path / "gh"
    gh.write_text(
        f"#!/bin/sh\ncase $2 in --paginate) printf '{known}';; *) echo \"$@\" >> calls; cat report.md >> calls;; esac\n"
    )
    gh.chmod(0o755)
    place = Clone(tmp_path, {"GITHUB_REPOSITORY": "o/r", "NUMBER": "7", "REPORT": "### Pipeline\n$(no) `command`"})
    place.env["PATH"] = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    place.run("bash", "-eo", "pipefail", "-c", step("comment", "comment")["run"])
    address = {"POST": "repos/o/r/issues/7/comments", "PATCH": "repos/o/r/issues/comments/345"}[method]
    assert (tmp_path / "calls").read_text() == f"api --method {method} {address} -F body=@report.md\n{place.env['REPORT']}"
