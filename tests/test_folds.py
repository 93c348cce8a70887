"""Folds kept apart and scored as one: the world of test_scoring.py, cut in two, gives the figures of the whole."""

import json

import polars as pl
import pytest
from test_scoring import ASKED, CONCEPTS, LABELS, LEXICON, MC, OE, P, doubted, frame, labels, predictions, score, tables
from typer.testing import CliRunner

from raddistill import cli, paths
from raddistill.apps import folds
from raddistill.errors import InputError, TableError
from raddistill.tables import base
from raddistill.tables.decisions import Decisions
from raddistill.tables.gold import Gold
from raddistill.tables.reports import Reports

PARAMS = {
    "extract": {"fold": 0, "train": 0.4, "validation": 0.1},
    "train": {"seed": 13, "epochs": 1},
    "score": {"bootstrap": 200},
    "runtime": {"threads": 2},
}
HALVES = {0: ["r1", "r2", "r3"], 1: ["r4", "r5", "r6"]}
NAMES = folds.names(P, LABELS, CONCEPTS)
MADE_BY = {"commit": "0" * 40, "clean": True}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Scores of the six reports at once: a teacher with doubts that it grades, and the same on the whole report."""
    lexicon = tmp_path_factory.mktemp("world") / "lexicon.csv"
    lexicon.write_text(LEXICON)
    return score(lexicon, labels={MC: doubted(0.7), OE: labels()[OE]}, whole_labels=labels())


def settings(fold=0, seed=13, **changes):
    train = {"seed": seed} | changes
    return PARAMS | {"extract": PARAMS["extract"] | {"fold": fold}, "train": PARAMS["train"] | train}


def keep(folder, world, fold, reports=None, decisions=None, **changes):
    rows = world.decisions if decisions is None else decisions
    kept = frame(Decisions, rows.filter(pl.col("report_id").is_in(reports or HALVES[fold])).rows())
    return folds.keep(folder, kept, settings(fold, **changes), {"loss": 0.5}, MADE_BY)


def pooled(folder):
    return folds.score(P, folds.read(folder), tables()["gold"], NAMES)


def test_pooled_folds_are_scored_as_all_reports_at_once(world, tmp_path):
    for fold in HALVES:
        keep(tmp_path / "two", world, fold)
    metrics = pooled(tmp_path / "two")
    assert metrics["folds"] == {"0": 3, "1": 3}
    for task in (MC, OE):
        at_once = world.metrics[task]
        gains = {"gain", "gain_over_linear", "gain_over_graded", "gain_over_teacher_whole"}
        arms = {"student", "teacher", "teacher_whole", "linear", "base"}
        found = {"reports", "positives", "gold_budget"} | arms | gains
        assert set(metrics[task]) - {"labels"} == set(at_once) - {"unseen"} == set(at_once) & found
        for part in set(at_once) - {"unseen"}:
            here, there = metrics[task][part], at_once[part]
            assert here == ({key: there[key] for key in here} if isinstance(there, dict) else there)
        for gain in gains & set(at_once):
            assert set(metrics[task][gain]) == set(at_once[gain])
    assert set(metrics[MC]) >= gains
    assert metrics[MC]["teacher"]["uncertain_is_present"] == 0


def test_figures_by_label_are_those_of_all_at_once(world, tmp_path):
    for fold in HALVES:
        keep(tmp_path / "two", world, fold)
    by_label = pooled(tmp_path / "two")[MC]["labels"]
    for row in world.per_label.filter(pl.col("task") == MC).iter_rows(named=True):
        want = {key: value for key, value in row.items() if key not in ("task", "arm", "label") and value is not None}
        assert by_label[row["label"]][row["arm"]] == want


def test_a_kept_run_says_what_made_it_and_holds_no_text(world, tmp_path):
    path = keep(tmp_path / "one", world, 0)
    assert path == tmp_path / "one/fold-0.parquet"
    told = json.loads(path.with_suffix(".json").read_text())
    assert told == {
        "fold": 0, "seed": 13, **MADE_BY, "train": {"loss": 0.5}, "params": {s: PARAMS[s] for s in ("extract", "train")},
    }  # fmt: skip
    words = {"left pleural effusion", "zebra sign", "pleural efusion"}
    assert not words & set(base.read(Decisions, path)["label"])


def test_a_run_of_the_same_fold_and_seed_replaces_the_kept_one(world, tmp_path):
    keep(tmp_path / "one", world, 0, reports=["r1"])
    keep(tmp_path / "one", world, 0)
    assert [len(run.reports) for run in folds.read(tmp_path / "one")] == [3]


def edema_missed(world):
    missed = (pl.col("arm") == "student") & (pl.col("label") == "Edema")
    return world.decisions.filter(~missed)


def test_seeds_of_a_fold_stand_side_by_side_and_are_told_as_mean_and_spread(world, tmp_path):
    folder = tmp_path / "seeds"
    keep(folder, world, 0)
    keep(folder, world, 1)
    assert MC in pooled(folder)
    assert "seeds" not in pooled(folder)[MC]
    path = keep(folder, world, 0, decisions=edema_missed(world), seed=14)
    assert path.name == "fold-0-seed-14.parquet"
    metrics = pooled(folder)[MC]
    # r1 to r3, seed 13: tp r1 Edema, r2 Fracture; seed 14: tp r2 Fracture, fn r1 Edema
    assert metrics["seeds"]["student_mean"] == pytest.approx((1 + 2 / 3) / 2, abs=1e-4)
    assert metrics["seeds"]["student_min"] == 0.6667
    assert (metrics["seeds"]["seeds"], metrics["seeds"]["folds"], metrics["seeds"]["reports"]) == (2, 1, 3)
    assert metrics["student"] == {key: world.metrics[MC]["student"][key] for key in metrics["student"]}  # the first kept


def test_folds_that_do_not_belong_together_are_refused(world, tmp_path):
    keep(tmp_path / "overlap", world, 0)
    keep(tmp_path / "overlap", world, 1, reports=["r3", "r4"])
    with pytest.raises(InputError, match=r"fold-1\.parquet and fold-0\.parquet are of two folds, but share 1 reports"):
        pooled(tmp_path / "overlap")
    keep(tmp_path / "params", world, 0)
    keep(tmp_path / "params", world, 1, epochs=2)
    with pytest.raises(InputError, match=r"fold-1\.json: train\.epochs is 2, but 1 in fold-0\.json"):
        pooled(tmp_path / "params")
    keep(tmp_path / "seeds", world, 0)
    keep(tmp_path / "seeds", world, 0, reports=["r1", "r2"], seed=14)
    with pytest.raises(InputError, match="are of one fold, but differ in 1 reports"):
        pooled(tmp_path / "seeds")


def test_decisions_of_a_run_before_are_not_kept_as_those_of_another(world, tmp_path):
    keep(tmp_path / "one", world, 0)
    with pytest.raises(InputError, match=r"these are the decisions of .*fold-0\.parquet: `dvc repro`"):
        keep(tmp_path / "one", world, 1, reports=HALVES[0])


def test_labels_that_are_not_there_now_are_named(world, tmp_path):
    keep(tmp_path / "one", world, 0)
    fewer = folds.names(P, LABELS[1:], CONCEPTS)
    with pytest.raises(TableError, match="about labels that no longer exist: Edema"):
        folds.score(P, folds.read(tmp_path / "one"), tables()["gold"], fewer)


def test_a_folder_without_runs_and_a_run_without_its_record(world, tmp_path):
    with pytest.raises(InputError, match="holds no runs; `raddistill folds keep none`"):
        folds.read(tmp_path / "none")
    keep(tmp_path / "torn", world, 0).with_suffix(".json").unlink()
    with pytest.raises(InputError, match=r"fold-0\.json is missing or damaged"):
        folds.read(tmp_path / "torn")


def test_a_task_that_nobody_was_asked_has_no_figures(world, tmp_path):
    only = frame(Decisions, world.decisions.filter(pl.col("task") == OE).rows())
    folds.keep(tmp_path / "one", only, settings(), {}, MADE_BY)
    assert pooled(tmp_path / "one")[MC] == {"reports": 0, "positives": 0, "gold_budget": 0, "labels": {}}


@pytest.fixture
def project(world, tmp_path, monkeypatch):
    """A folder in which a run has ended: params, decisions, gold."""
    monkeypatch.chdir(tmp_path)
    names = "".join(f"- name: {label.name}\n  description: of the lung\n" for label in LABELS)
    (tmp_path / "labels.yaml").write_text(names)
    written = settings() | {"label_set": {"path": "labels.yaml"}, "score": P.model_dump()}
    (tmp_path / "params.yaml").write_text(json.dumps(written))
    base.write(Decisions, frame(Decisions, world.decisions.filter(pl.col("report_id").is_in(HALVES[0])).rows()), paths.DECISIONS)
    base.write(Gold, tables()["gold"], paths.GOLD)
    base.write(Reports, tables()["reports"], paths.REPORTS)
    base.write_json({"loss": 0.5}, paths.TRAIN_METRICS)
    paths.CONCEPTS.parent.mkdir()
    rows = "".join(f"{c.concept},{c.code},{c.accept},{c.kind},{c.note}\n" for c in CONCEPTS)
    paths.CONCEPTS.write_text(f"concept,code,accept,kind,note\n{rows}")
    return tmp_path


def told(*words):
    done = CliRunner().invoke(cli.app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_commands_keep_and_show(project):
    assert told("folds", "keep", "default").strip() == "folds/default/fold-0.parquet"
    output = " ".join(told("folds", "show", "default").split())
    assert "pooled folds 0 of default" in output
    assert "Missing: fold 1" in output
    assert "teacher, graded" in output
    assert "metrics/folds/default.json" in output
    metrics = json.loads((project / "metrics/folds/default.json").read_text())
    assert metrics[MC]["reports"] == 3
    assert json.loads(told("folds", "show", "default", "--json")) == metrics
    told_of = json.loads((project / "folds/default/fold-0.json").read_text())
    assert told_of["train"] == {"loss": 0.5}
    with pytest.raises(InputError, match=r"'\.\./x' is no name"):
        cli.keep_fold("../x")


@pytest.mark.parametrize("kind", ["phi", "credentialed"])
def test_folds_of_reports_that_are_not_public_are_not_for_git(project, kind):
    mixed = pl.when(pl.col("report_id") == ASKED[0]).then(pl.lit(kind)).otherwise(pl.lit("public"))
    base.write(Reports, tables()["reports"].with_columns(sensitivity=mixed), paths.REPORTS)
    with pytest.raises(InputError, match=f"kept in git, by report id, and these are {kind}"):
        cli.keep_fold("default")
    assert not (project / "folds").exists()


def test_the_world_is_whole():
    assert sorted([*HALVES[0], *HALVES[1]]) == ASKED == sorted(predictions()["student"]["report_id"].unique())
