"""A wheel of the package, outside of a clone: `label` and `show` work there, and `init` lays out a pipeline that runs."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from clones import Clone, ran
from conftest import report
from pipeline_truth import ROOT, declared, dvc_yaml
from ruamel.yaml import YAML
from typer.testing import CliRunner

from raddistill import cli, params, paths
from raddistill.apps import installed_code, new_pipeline
from raddistill.errors import InputError

BUILD = "from setuptools import build_meta; print(build_meta.build_{}('built'))"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel, built from the source archive of what git would commit, as `python -m build` does."""
    where = tmp_path_factory.mktemp("install")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0"):
        if name and (ROOT / name).is_file() and not name.startswith(("tests/", "docs/", "folds/", "benchmarks/")):
            (where / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, where / "tree" / name)
    (where / "tree/.dvc/cache").mkdir()
    (where / "tree/.dvc/cache/of_reports").touch()
    build("sdist", where / "tree")
    (archive,) = (where / "tree/built").glob("*.tar.gz")
    shutil.unpack_archive(archive, where / "unpacked", filter="data")
    (unpacked,) = (where / "unpacked").iterdir()
    build("wheel", unpacked)
    (wheel,) = (unpacked / "built").glob("*.whl")
    with zipfile.ZipFile(wheel) as members:
        assert not [name for name in members.namelist() if "cache" in name]
    shutil.unpack_archive(wheel, where / "site", "zip")
    return where / "site"


def build(what: str, tree: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(
        [sys.executable, "-c", BUILD.format(what, "built")], cwd=tree, env=environment, check=True, capture_output=True
    )


@pytest.fixture(scope="module")
def elsewhere(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A folder without a clone, in which the wheel is what Python imports; 30 written reports."""
    folder = tmp_path_factory.mktemp("elsewhere")
    with (folder / "reports.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["study", "mrn", "note"])
        for number in range(1, 31):
            fields = report(number)
            rows.writerow(
                [f"s{number}", f"p{number // 2}", f"FINDINGS: {fields['FINDINGS']}\nIMPRESSION: {fields['IMPRESSION']}"]
            )
    return Clone(folder, {"PYTHONPATH": str(installed)})


def raddistill(place: Clone, *words: str, fails: bool = False) -> str:
    return place.run(sys.executable, "-m", "raddistill.cli", *words, fails=fails)


COLUMNS = ("--id-column", "study", "--text-column", "note")


def test_the_wheel_holds_the_files_of_the_repository(installed: Path) -> None:
    inside = installed / "raddistill/pipeline"
    held = {str(file.relative_to(inside)) for file in inside.rglob("*") if file.is_file()}
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *paths.SHIPPED]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert held == set(names)
    assert all((inside / name).read_bytes() == (ROOT / name).read_bytes() for name in names)


def test_label_and_show_work_outside_of_a_clone(elsewhere: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = raddistill(elsewhere, "label", "reports.csv", "-o", "labels.csv", *COLUMNS)
    lexicon = Path(elsewhere.env["PYTHONPATH"]) / "raddistill/pipeline/lexicon"
    assert told == f"rules: {lexicon}/tuned; labels: {lexicon}/label_sets/chest_13.yaml\n30 of 30 reports labelled: labels.csv\n"
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(cli.app, ["label", str(elsewhere.folder / "reports.csv"), "-o", str(tmp_path / "o.csv"), *COLUMNS])
    assert done.stderr.startswith("rules: lexicon/tuned; labels: lexicon/label_sets/chest_13.yaml\n30 of 30")
    assert (elsewhere.folder / "labels.csv").read_bytes() == (tmp_path / "o.csv").read_bytes()
    assert re.search(r"\[[+-]1 ", raddistill(elsewhere, "show", "s1", "--input", "reports.csv", *COLUMNS))


def test_a_pipeline_for_own_reports_runs(elsewhere: Clone, tiny_base: Path) -> None:
    told = raddistill(
        elsewhere, "init", "chest", "--reports", "reports.csv", "--sensitivity", "phi", "--patient-column", "mrn", *COLUMNS
    )
    assert told.splitlines()[0] == "chest: 30 of the first 30 reports can be used"
    clone = Clone(elsewhere.folder / "chest", elsewhere.env)
    changes = {"fetch.base.source": "folder", "fetch.base.location": str(tiny_base), "merge.max_tokens": 2000}
    new_pipeline.set_params(clone.folder / "params.yaml", changes)
    clone.commit("laid out")
    stages = ["code", "fetch", "extract", "merge", "synthesize@multiple_choice", "synthesize@open_ended"]
    assert sorted(ran(clone.run("dvc", "repro", "merge"))) == sorted(stages)
    extracted = params.read(clone.folder / "metrics/extract.json")
    assert (extracted["reports"], extracted["patients"], extracted["sensitivity"]["phi"]) == (30, 16, 30)
    clone.commit("run")
    held = clone.run("git", "ls-files").splitlines()
    assert [name for name in held if name.startswith(("data/", "models/"))] == ["data/.gitignore"]
    assert "code.yaml" in held
    # an upgrade of the package that changes what `merge` runs, and a word in the folder's own lexicon
    upgraded = elsewhere.folder / "upgraded"
    shutil.copytree(elsewhere.env["PYTHONPATH"], upgraded)
    with (upgraded / "raddistill/student/examples.py").open("a", encoding="utf-8") as file:
        file.write("\n# changed\n")
    clone.env["PYTHONPATH"] = str(upgraded)
    stale = raddistill(clone, "check", fails=True).splitlines()
    assert {line for line in stale if line.startswith("code")} == {"code.yaml: stages.merge modified"}
    assert not [line for line in stale if line.startswith(("fetch", "extract", "synthesize", "merge"))]
    clone.run(sys.executable, "-m", "raddistill.apps.installed_code")  # as the stage `code` does
    status = clone.json("dvc", "status", "--json", "merge")
    assert status == {"merge": [{"changed deps": {"code.yaml": {"stages.merge": "modified"}}}]}
    phrases = clone.folder / "lexicon/tuned/multiple_choice/fracture.txt"
    phrases.write_text(phrases.read_text(encoding="utf-8").replace("[mention]\n", "[mention]\nscoliosis\n"), encoding="utf-8")
    told = raddistill(clone, "label", "../reports.csv", "-o", "data/labels.csv", *COLUMNS)
    assert told.startswith("rules: lexicon/tuned; labels: lexicon/label_sets/chest_13.yaml\n")
    labels = [(folder / "labels.csv").read_bytes() for folder in (elsewhere.folder, clone.folder / "data")]
    assert labels[0] != labels[1]


# ---------------------------------------------------------------- init, in this process


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "reports.csv").write_text("report_id,text\nr1,The heart is enlarged.\nr2,nan\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return Path("reports.csv")


def test_init_writes_the_columns_and_keeps_what_is_there(reports: Path, tmp_path: Path) -> None:
    Path("chest/data").mkdir(parents=True)
    Path("chest/notes.txt").write_text("mine", encoding="utf-8")
    shutil.move("reports.csv", "chest/data")
    new_pipeline.init(Path("chest"), Path("chest/data/reports.csv"), "public", encoding="latin-1", input_format="csv")
    shipped, made = params.read(ROOT / "params.yaml"), params.read(Path("chest/params.yaml"))
    changed = shipped["extract"] | {"source": "files", "raw": str(tmp_path / "chest/data/reports.csv"), "gold": "gold/none"}
    changed["files"] = changed["files"] | {"sensitivity": "public", "encoding": "latin-1", "format": "csv"}
    assert made == shipped | {
        "extract": changed,
        "fetch": shipped["fetch"] | {"reports": shipped["fetch"]["reports"] | {"package": ""}},
    }
    assert Path("chest/params.yaml").read_text().count("#") == (ROOT / "params.yaml").read_text().count("#")
    assert Path("chest/notes.txt").read_text(encoding="utf-8") == "mine"
    before = {file: file.read_bytes() for file in Path("chest").rglob("*") if file.is_file()}
    with pytest.raises(InputError, match=r"chest has .* already, which stays as it is; name a new folder"):
        new_pipeline.init(Path("chest"), Path("chest/data/reports.csv"), "phi")
    assert {file: file.read_bytes() for file in Path("chest").rglob("*") if file.is_file()} == before


def test_sections_instead_of_texts(reports: Path) -> None:
    reports.write_text("id,f,i\n1,The heart is enlarged.,\n", encoding="utf-8")
    new_pipeline.init(Path("chest"), reports, "phi", id_column="id", findings_column="f", impression_column="i")
    files = params.read(Path("chest/params.yaml"))["extract"]["files"]
    assert (files["id"], files["text"], files["findings"], files["impression"]) == ("id", "", "f", "i")
    assert params.read(Path("chest/params.yaml"))["remotes"] == {"models": "private"}


@pytest.mark.parametrize(
    ("folder", "options", "message"),
    [
        ("chest", {"reports": Path("other.csv")}, r"--reports: .*other\.csv does not exist"),
        ("chest", {"text_column": "note"}, r"no column 'note'; name it by --text-column. There are: report_id, text$"),
        (".", {}, r"git would take .*reports\.csv with all else in .*; move it out, or into .*data"),
        (
            "chest",
            {"reports": Path(), "input_format": "folder"},
            r"would hold .*chest, whose files are no reports; name one outside",
        ),
        ("repository/chest", {}, r"chest would lie in the git repository .*repository; name a folder outside of it"),
        ("chest", {"reports": Path("empty.csv")}, r"0 of the first 1 reports can be used: there is no text"),
    ],
    ids=["no-file", "no-column", "beside-the-code", "among-the-reports", "in-a-repository", "no-usable-report"],
)
def test_init_refuses(folder: str, options: dict[str, Any], message: str, reports: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", "repository"], check=True)
    Path("empty.csv").write_text("report_id,text\nr1,\n", encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=message):
        new_pipeline.init(Path(folder), **({"reports": reports, "sensitivity": "phi"} | options))
    assert sorted(tmp_path.rglob("*")) == before


def test_init_quotes_the_folder_in_what_to_type_next(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new_pipeline.init(Path("my chest"), reports, "phi")
    assert "next: cd 'my chest' && git add ." in capsys.readouterr().out


def test_every_stage_depends_on_its_code_and_on_no_file_of_src() -> None:
    text = new_pipeline.for_installed_code((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    stages = YAML(typ="safe", pure=True).load(text)["stages"]
    assert stages.keys() == {"code", *dvc_yaml()["stages"]}
    assert "src/" not in text.replace("in src/", "")
    for name, stage in dvc_yaml()["stages"].items():
        was, made = stage.get("do", stage), stages[name].get("do", stages[name])
        (entries,) = (each["code.yaml"] for each in made["params"] if isinstance(each, dict))
        replaced = {dep for dep in was["deps"] if dep not in made["deps"]}
        assert replaced == {dep for dep in was["deps"] if dep.startswith("src/") or dep == "constraints.txt"}
        wanted = {f"stages.{name}"} | ({"libraries"} if "constraints.txt" in replaced else set())
        wanted |= {"teachers.${item.teacher}"} if "src/raddistill/teachers/${item.teacher}" in replaced else set()
        assert set(entries) == wanted
        assert made | {"deps": was["deps"], "params": was["params"]} == was


def test_what_is_named_relative_to_the_root_is_the_packages_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert paths.here_or_shipped(paths.PROMPTS) == paths.shipped() / "prompts/student"
    monkeypatch.chdir(ROOT)
    assert paths.here_or_shipped(paths.PROMPTS) == Path("prompts/student")


def test_code_yaml_has_every_stage_and_teacher() -> None:
    content = installed_code.code_of_package()
    assert content["stages"].keys() == {name.partition("@")[0] for name in [*declared(dvc_yaml()), "teach"]}
    assert content["teachers"].keys() == {"combined", "imported", "llm", "rules"}
    assert content["libraries"].keys() == set(installed_code.LIBRARIES)
    assert "+" not in content["libraries"]["torch"]


# ---------------------------------------------------------------- the shell


COMMANDS = [
    "", "label", "show", "predict", "init", "doctor", "estimate", "compare-cohorts", "preset", "results", "check", "folds keep",
    "folds show", "ablation list", "ablation queue", "ablation draw", "review make", "review read", "review estimate",
]  # fmt: skip


def exit_code(monkeypatch: pytest.MonkeyPatch, *words: str) -> object:
    monkeypatch.setattr(sys, "argv", ["raddistill", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_command_exits_with_2(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert exit_code(monkeypatch, *command.split(), "--no-such-option") == 2


def test_help_exits_with_0(monkeypatch: pytest.MonkeyPatch) -> None:
    assert exit_code(monkeypatch, "--help") == 0


@pytest.mark.parametrize(
    "command",
    [
        "label no.csv -o o.csv", "predict no.csv -o o.csv", "show r1", "init x --reports no.csv --sensitivity phi", "estimate",
        "compare-cohorts no.parquet", "preset no", "results", "check", "folds keep x", "folds show x", "ablation list",
        "ablation queue no", "ablation draw no", "review estimate no",
    ],
)  # fmt: skip
def test_what_the_user_can_mend_exits_with_1_and_one_line(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert exit_code(monkeypatch, *command.split()) == 1
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1, said
    assert "Error: " in said[0]


def test_ctrl_c_exits_with_130(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "raddistill.cli", "label", "-", "-o", str(tmp_path / "o.csv")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdin
        process.stdin.write("report_id,text\n" + "r,Clear.\n" * 20_000)  # more than a pipe holds: it has started, and reads
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("preset q", {"quick"}),
        ("folds show ", {file.name for file in (ROOT / "folds").iterdir()}),
        ("label r.csv --label-set ", {"chest_13", "padchest", "three"}),
        ("label r.csv --lexicon t", {"tuned"}),
        ("estimate m", {"multiple_choice"}),
        ("doc", {"doctor"}),
    ],
)
def test_the_shell_completes(words: str, completed: set[str], monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(ROOT)
    line = ["raddistill", *words.split(" ")]
    for name, value in {
        "_RADDISTILL_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(line),
        "COMP_CWORD": str(len(line) - 1),
    }.items():
        monkeypatch.setenv(name, value)
    assert exit_code(monkeypatch) == 0
    assert set(capsys.readouterr().out.split()) == completed
