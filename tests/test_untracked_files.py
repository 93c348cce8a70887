"""What a queued or temporary experiment would miss is named before it is queued, and again where it runs."""

import os
import subprocess
from pathlib import Path

import pytest
from pipeline_truth import ROOT
from typer.testing import CliRunner

from raddistill import cli, errors, untracked_files
from raddistill.apps import presets
from raddistill.errors import InputError

PARAMS = """
extract: {raw: data/raw, gold: gold/none}
synthesize:
  multiple_choice: {teacher: rules, source: SOURCE, sections: impression}
  open_ended: {teacher: combined, source: data/teachers/open_ended, noise: {missed: 0.0}}
"""
QUESTION = """
about: Mine or theirs?
axis: lexicon
presets: []
shared: {}
points:
  theirs: {synthesize: {multiple_choice: {source: lexicon/tuned}}}
  mine: {synthesize: {multiple_choice: {source: POINT}}}
"""


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with dvc.yaml, two lexicons, prompts and code, all in git; what DVC and editors write beside them is not."""
    folder = tmp_path / "clone"
    texts = {
        "dvc.yaml": (ROOT / "dvc.yaml").read_text(encoding="utf-8"), ".gitignore": "/data/**\n*.pyc\n",
        "params.yaml": PARAMS.replace("SOURCE", "lexicon/tuned"), "lexicon/tuned/cues.csv": "no\n", "gold/none/map.csv": "",
        "prompts/student/system.txt": "Read.", "src/code.py": "", "stages/stage.py": "", "prices.yaml": "",
    }  # fmt: skip
    write(folder, texts)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    git("init", "-q")
    git("add", "-A")
    left = ["data/raw/reports.tgz", "data/teachers/open_ended/one/labels.parquet", "src/code.pyc", "lexicon/tuned/.cues.csv.swp"]
    write(folder, dict.fromkeys([*left, "lexicon/tuned/cues.csv~", "notes.txt", "lexicon/other/cues.csv"], ""))
    return folder


def write(folder: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def git(*words: str) -> None:
    subprocess.run(["git", *words], check=True)


def missed_of(source: str) -> list[str]:
    return untracked_files.missing_files(
        [*untracked_files.strings_of({"teacher": "rules", "fold": 1, "each": [source]}), "data/raw"]
    )


def test_nothing_is_missed_of_what_git_knows_or_dvc_brings(clone: Path) -> None:
    for known in ("lexicon/tuned", "data/raw", "data/raw/reports.tgz", "data/teachers/open_ended", "prices.yaml", "none/such"):
        assert missed_of(known) == [], known
    write(clone, {"lexicon/mine/cues.csv": "no\n"})
    git("add", "lexicon/mine")  # not committed: DVC takes what is staged
    assert missed_of("lexicon/mine") == []
    assert missed_of(str(clone.parent)) == []  # absolute: the same from everywhere


@pytest.mark.parametrize(("written", "source", "message"), [
    ("lexicon/mine/cues.csv", "lexicon/mine", "lexicon/mine/cues.csv is not in git: `git add` it, or, if it holds text"),
    ("lexicon/tuned/more/ours.csv", "lexicon/tuned", "lexicon/tuned/more/ours.csv is not in git: `git add` it"),
    ("prompts/mine/system.txt", "prompts/mine", "prompts/mine/system.txt is not in git"),
    ("prompts/student/new.jinja", "lexicon/tuned", "prompts/student/new.jinja is not in git"),
    ("src/new.py", "lexicon/tuned", "src/new.py is not in git"),
    ("labels.csv", "labels.csv", "labels.csv is not in git"),
    ("data/mine/labels.csv", "data/mine/labels.csv", "data/mine/labels.csv is kept out of git by .gitignore: write its absolute"),
    ("data/mine/labels.csv", "data/mine", "data/mine is kept out of git by .gitignore: write its absolute path"),
    ("../labels.csv", "../labels.csv", "../labels.csv is outside of the clone: write its absolute path"),
])  # fmt: skip
def test_what_an_experiment_elsewhere_would_miss_is_named_with_the_remedy(
    clone: Path, written: str, source: str, message: str
) -> None:
    write(clone, {written: ""})
    lines = missed_of(source)
    assert len(lines) == 1
    assert lines[0].startswith(message)


@pytest.mark.parametrize("point", ["POINT", "[lexicon/tuned, POINT]"])
@pytest.mark.parametrize("name", ["lexicon/mine/cues.csv", "prompts/student/new.jinja", "../mine/cues.csv"])
def test_nothing_is_queued_where_one_point_would_miss_a_file(
    clone: Path, monkeypatch: pytest.MonkeyPatch, name: str, point: str
) -> None:
    question = QUESTION.replace("POINT", point).replace("POINT", str(Path(name).parent))
    write(clone, {name: "", "presets/ablations/q.yaml": question})
    git("add", "presets")
    monkeypatch.setattr(presets.sys, "executable", "no-python")  # `dvc` is not even started
    named = rf"gets the files that git knows, and no others\n{Path(name).parent}.*(git add|absolute)"
    with pytest.raises(InputError, match=named):
        CliRunner().invoke(cli.app, ["ablation", "queue", "q"], catch_exceptions=False)


def test_a_param_that_the_points_replace_need_not_be_in_git(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(clone, {"params.yaml": PARAMS.replace("SOURCE", "lexicon/other")})
    write(clone, {"presets/ablations/q.yaml": QUESTION.replace("POINT", "lexicon/tuned")})
    monkeypatch.setattr(presets.sys, "executable", "no-python")
    with pytest.raises(FileNotFoundError):  # as far as DVC
        CliRunner().invoke(cli.app, ["ablation", "queue", "q"], catch_exceptions=False)


def test_a_stage_that_runs_elsewhere_says_what_it_misses_above_its_own_error(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(clone, {"lexicon/tuned/ours.csv": ""})
    write(clone / ".dvc/tmp/exps/x", {"params.yaml": PARAMS.replace("SOURCE", "lexicon/tuned"), "lexicon/tuned/cues.csv": "no\n"})

    def stage() -> None:
        raise InputError("ours.csv is missing")

    monkeypatch.setattr(errors.sys, "argv", ["stage"])
    for folder, message in ((clone, ""), (clone / ".dvc/tmp/exps/x", "lexicon/tuned/ours.csv is not in git: `git add` it")):
        monkeypatch.chdir(folder)
        monkeypatch.setitem(os.environ, "DVC_ROOT", str(clone))
        with pytest.raises(SystemExit):
            errors.run(stage)
        *first, last = capsys.readouterr().err.splitlines()
        assert last == "InputError: ours.csv is missing"
        assert len(first) == bool(message)
        assert message in "".join(first)


def test_outside_of_git_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(InputError, match="is it a clone"):
        untracked_files.missing_files([])
