"""Who may import whom: applications see rooms, rooms see tables and words, never each other; no teacher sees gold; torch only
where it is used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from pipeline_truth import ROOT, SRC, closure, imports

from raddistill.teachers.synthesizing import TEACHERS

PACKAGE = SRC / "raddistill"
ROOMS = ["sources", "teachers", "student", "scoring"]
CLIENT = "llm_client"  # of whoever asks a model: knows no report, no label and no room
WORDS = {
    "agreement_coefficients", "answer_format", "concepts", "errors", "files", "labelsets", "near_duplicates", "params",
    "passages", "paths", "privacy", "reading", "sections", "sentences", "statuses", "tasks", "untracked_files",
}  # fmt: skip
MODULES = sorted(PACKAGE.rglob("*.py"))
# of classes of torch, transformers and TRL; imported late
SUBCLASSES = {"raddistill.student.trainer", "raddistill.student.gpu_layers"}
TORCH = ("torch", "transformers", "peft", "trl", "bitsandbytes", "accelerate", "datasets")


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")


def room_of(file: Path) -> str:
    """A room, `tables`, or the name of a module on the first level."""
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


def test_all_modules_were_walked() -> None:
    assert len(MODULES) >= 40
    assert {room_of(module) for module in MODULES} == {*ROOMS, *WORDS, CLIENT, "tables", "apps", "cli", "__init__"}


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_tables_and_words(room: str) -> None:
    modules = [module for module in MODULES if room_of(module) == room]
    seen = {(name_of(module), room_of(file)) for module in modules for file in imports(module) if PACKAGE in file.parents}
    assert len(modules) >= 4
    allowed = {room, "tables", "__init__", *WORDS} | ({CLIENT} if room == "teachers" else set())
    assert {pair for pair in seen if pair[1] not in allowed} == set()


@pytest.mark.parametrize("teacher", TEACHERS)
def test_a_teacher_does_not_know_the_others(teacher: str) -> None:
    """So its labels depend on its own package alone (pipeline_truth.TEACHER_PACKAGES)."""
    modules = [module for module in MODULES if f"teachers/{teacher}/" in str(module)]
    seen = {
        str(file.relative_to(PACKAGE)) for module in modules for file in imports(module) if PACKAGE / "teachers" in file.parents
    }
    shared = {"teachers/__init__.py", "teachers/teacher.py", "teachers/votes.py"}
    assert len(modules) >= 2
    assert {name for name in seen - shared if not name.startswith(f"teachers/{teacher}/")} == set()


def test_the_client_of_models_knows_no_radiology() -> None:
    """It could be a package of its own: errors and params are all that it shares with the rest."""
    modules = [module for module in MODULES if room_of(module) == CLIENT]
    seen = {(name_of(module), room_of(file)) for module in modules for file in imports(module) if PACKAGE in file.parents}
    assert len(modules) >= 4
    assert {pair for pair in seen if pair[1] not in {CLIENT, "errors", "params", "__init__"}} == set()


def test_an_edit_of_the_client_of_models_makes_no_label_stale() -> None:
    """Answers are kept by their question and paid once, so how they came shapes no label (pipeline_truth.TRANSPORT)."""
    for stage in ("synthesize", "teach"):
        assert not [name for name in closure(ROOT / f"stages/{stage}.py") if CLIENT in name]


def test_tables_and_words_import_no_room() -> None:
    shared = [module for module in MODULES if room_of(module) in {"tables", *WORDS}]
    seen = {(name_of(module), room_of(file)) for module in shared for file in imports(module) if PACKAGE in file.parents}
    assert len(shared) >= 15
    assert {pair for pair in seen if pair[1] in {*ROOMS, CLIENT, "apps", "cli"}} == set()


def test_only_the_command_line_imports_applications() -> None:
    """An application uses the rooms; no room, table or word knows it, and no stage."""
    stages = sorted((ROOT / "stages").glob("*.py"))
    importers = [file for file in (*MODULES, *stages) if any(PACKAGE / "apps" in i.parents for i in imports(file))]
    below = {room_of(module) for module in importers}
    assert len(stages) >= 8
    assert below == {"apps", "cli"}
    apps = [module for module in MODULES if room_of(module) == "apps"]
    assert not [name_of(module) for module in apps if PACKAGE / "cli.py" in imports(module)]


def test_no_teacher_reads_gold_concepts_or_the_scorers_lexicon() -> None:
    """Whoever labels must not know by what the labels are judged, nor with which words answers are read for it."""
    teachers = [module for module in MODULES if room_of(module) == "teachers"]
    reached = closure(ROOT / "stages/synthesize.py") | {str(file.relative_to(ROOT)) for file in teachers}
    forbidden = {"src/raddistill/tables/gold.py", "src/raddistill/concepts.py"}
    assert len(reached) >= 12
    assert not reached & forbidden
    assert not [name for name in reached if name.startswith(("src/raddistill/scoring/", "src/raddistill/sources/"))]
    assert not [module.name for module in teachers if names_of(module) & {"GOLD", "CONCEPTS", "SCORER_LEXICON"}]
    assert not [module.name for module in teachers for text in strings(module) if text.startswith("gold/") or "scorer" in text]


def names_of(module: Path) -> set[str]:
    return {node.attr for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))) if isinstance(node, ast.Attribute)}


def strings(module: Path) -> list[str]:
    """String constants that are no docstrings."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    said = [body[0] for body in bodies if body]
    docs = {id(first.value) for first in said if isinstance(first, ast.Expr)}
    return [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in docs]


def test_files_are_named_in_paths_or_params_only() -> None:
    """A path written elsewhere would be read behind dvc.yaml's back."""
    folders = ("data/", "models/", "metrics/", "plots/", "gold/", "lexicon/", "prompts/")
    modules = [module for module in MODULES if room_of(module) != "paths"]
    assert [(name_of(m), text) for m in modules for text in strings(m) if text.startswith(folders) and " " not in text] == []
    assert [name_of(m) for m in modules if "__file__" in m.read_text(encoding="utf-8")] == []


def test_packages_are_empty_and_no_module_is_a_drawer() -> None:
    packages = [module for module in MODULES if module.name == "__init__.py"]
    assert len(packages) >= 6
    assert [name_of(package) for package in packages if package.read_bytes()] == []
    drawers = {"utils", "helpers", "common", "misc", "manager", "processor"}
    assert [name_of(module) for module in MODULES if module.stem in drawers] == []


def test_no_broad_except() -> None:
    broad = {"Exception", "BaseException"}
    handlers = [
        (name_of(module), handler)
        for module in MODULES
        for handler in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(handler, ast.ExceptHandler)
    ]
    assert len(handlers) >= 8
    assert [name for name, handler in handlers if handler.type is None or ast.unparse(handler.type) in broad] == []


def test_everything_imports_without_torch() -> None:
    """Stages that need no model start in a second, and a machine without torch can label and score."""
    # A finder, not `sys.modules["torch"] = None`: scipy looks there and takes None for torch.
    code = (
        "import sys, importlib\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in {blocked}: raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "for module in {modules}: importlib.import_module(module)"
    )
    names = [name_of(module) for module in MODULES if name_of(module) not in SUBCLASSES]
    assert len(names) == len(MODULES) - len(SUBCLASSES)
    stages = [f"stages.{file.stem}" for file in (ROOT / "stages").glob("*.py")]
    run = subprocess.run(
        [sys.executable, "-c", code.format(blocked=TORCH, modules=names + stages)],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
