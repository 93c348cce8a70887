"""What dvc.yaml says of a stage beside what the stage's code does; tests/test_pipeline.py compares the two.

`declared` takes dvc.yaml as parsed YAML, so that a test can spoil it and see that the difference is found.
"""

import ast
import functools
import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dvc.parsing import DataResolver
from dvc.repo import Repo
from pydantic import BaseModel
from ruamel.yaml import YAML

from raddistill import params, paths
from raddistill.teachers import synthesizing

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"
UNTRACKED = {"store", "checkpoints", "journal"}  # paths.py: kept outside of DVC, read only through files that are tracked
UNLISTED = {"runtime", "asking"}  # sections that shape no result: speed, money, permission
# Sections that are listed as one: all of their keys are the stage's, and some are left out where not needed.
WHOLE = ("teachers.", *(f"synthesize.{teacher}" for teacher in synthesizing.TEACHERS))
TEACHER_PACKAGES = tuple(f"src/raddistill/teachers/{teacher}/" for teacher in synthesizing.TEACHERS)
TRANSPORT = SRC / "raddistill/llm_client"  # answers are kept by their question and paid once: how they came shapes no label
VERSIONED = {"train", "predict"}  # another torch may mean another adapter or other answers


@dataclass
class Stage:
    """One stage: as declared in dvc.yaml, or as its code has it."""

    cmd: str
    code: set[str]
    files: set[str]  # data read or written: deps, outs, metrics and plots
    params: set[str]
    outs: dict[str, dict[str, Any]] = field(default_factory=dict)  # declared only: path to cache, remote, ...


@functools.cache
def dvc_yaml() -> dict[str, Any]:
    """Returns dvc.yaml, parsed once: copy it before changing it."""
    return YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))


# Of several teachers there is none by default; two that stand for all, so that the stage `teach` is seen.
TEACHERS = {
    f"rules_{task}": {
        "task": task, "teacher": "rules", "source": "lexicon/tuned", "sections": "findings_and_impression", "max_quarantine": 0.05
    }
    for task in ("multiple_choice", "open_ended")
}  # fmt: skip


def declared(content: dict[str, Any], teachers: dict[str, Any] | None = None) -> dict[str, Stage]:
    """Every stage of a parsed dvc.yaml, templates filled in from params.yaml, and from `teachers`, by DVC itself."""
    with Repo(str(ROOT)) as repo:
        resolved = DataResolver(repo, ".", content | {"vars": [{"teachers": teachers or {}}]}).resolve()["stages"]
    stages = {}
    for name, stage in resolved.items():
        outs = dict(entry(out) for kind in ("outs", "metrics", "plots") for out in stage.get(kind, []))
        deps = set(stage.get("deps", []))
        code = {dep for dep in deps if dep.endswith(".py")}
        stages[name] = Stage(stage["cmd"], code, deps - code | set(outs), set(stage.get("params", [])), outs)
    return stages


def entry(out: str | dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return (out, {}) if isinstance(out, str) else next(iter(out.items()))


def actual(name: str) -> Stage:
    """The stage as its code has it: import closure, paths named, fields of the sections loaded."""
    file, _, key = name.partition("@")
    source = ROOT / "stages" / f"{file}.py"
    main, known = _main(name)
    functions = list(_functions(main, known))
    sections = {section: into for each in functions for section, into in _loaded(*each)}
    files = {str(path) for each in functions for path in _paths(*each)} | set(_path_params(sections))
    code = closure(source)
    if isinstance(known.get("p"), synthesizing.TeacherParams):
        # Labels depend on the package of the teacher that is chosen, so an edit of how an LLM is asked leaves those of rules.
        code = {path for path in code if not path.startswith(TEACHER_PACKAGES)}
        files.add(f"src/raddistill/teachers/{known['p'].teacher}")
    return Stage(
        cmd=f"python -m stages.{file} {key}".strip(),
        code=code,
        files=files | ({"constraints.txt"} if file in VERSIONED else set()),
        params={leaf for section, into in sections.items() for leaf in _listed(section, into)},
    )


@functools.cache
def values() -> dict[str, Any]:
    """params.yaml, with the teachers that stand for all; read once, nobody changes it."""
    return params.read(ROOT / "params.yaml") | {"teachers": TEACHERS}


def _listed(section: str, into: type[BaseModel]) -> list[str]:
    """The keys of a section that dvc.yaml must list."""
    if section in UNLISTED:
        return []
    return [section] if section.startswith(WHOLE) else list(leaves(section, into))


def sections_of(name: str) -> dict[str, type[params.Section]]:
    """The sections of params.yaml that a stage loads, and the classes that it loads them into."""
    return {section: into for each in _functions(*_main(name)) for section, into in _loaded(*each)}


def closure(source: Path) -> set[str]:
    """The first-party files that importing and running `source` reads, itself included; imports inside functions count.

    What is below TRANSPORT is left out, so that an edit of how requests are paced makes no label stale.
    """
    found: set[Path] = set()
    left = [source]
    while left:
        file = left.pop()
        if file not in found and TRANSPORT not in file.parents:
            found.add(file)
            left += imports(file)
    return {str(file.relative_to(ROOT)) for file in found if file != SRC / "raddistill/paths.py" and file.stat().st_size > 0}


@functools.cache
def imports(file: Path) -> tuple[Path, ...]:
    """The first-party files that `file` imports, packages' `__init__.py` included; in the order of the imports."""
    return tuple(_imports(file))


def _imports(file: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name}: relative import"
            names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            parts = name.split(".")
            for depth in range(1, len(parts) + 1):
                for root in (ROOT, SRC):
                    base = root.joinpath(*parts[:depth])
                    yield from (f for f in (base.with_suffix(".py"), base / "__init__.py") if f.is_file())


def leaves(section: str, into: type[BaseModel]) -> Iterator[str]:
    """`train.epochs`, ...: every field of a section's class, nested ones too."""
    for name, info in into.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from leaves(f"{section}.{name}", info.annotation)
        else:
            yield f"{section}.{name}"


def _main(name: str) -> tuple[ast.FunctionDef, dict[str, Any]]:
    """A stage's `main` as a tree, and the names that are known inside: the module's, and its key for its one argument."""
    file, _, key = name.partition("@")
    tree = ast.parse((ROOT / "stages" / f"{file}.py").read_text(encoding="utf-8"))
    main = next(node for node in tree.body if isinstance(node, ast.FunctionDef))
    return main, vars(importlib.import_module(f"stages.{file}")) | {argument.arg: key for argument in main.args.args}


def _loaded(main: ast.FunctionDef, known: dict[str, Any]) -> Iterator[tuple[str, type[params.Section]]]:
    for statement in main.body:  # in order, as a value of one section may name the next
        for node in ast.walk(statement):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "params.load":
                section, into = (_evaluate(argument, known) for argument in node.args)
                yield section, into
                if isinstance(statement, ast.Assign) and statement.value is node:
                    assert isinstance(statement.targets[0], ast.Name)
                    known[statement.targets[0].id] = into.model_validate(_at(section))


def _paths(function: ast.FunctionDef, known: dict[str, Any]) -> Iterator[Path]:
    called = {id(node.func) for node in ast.walk(function) if isinstance(node, ast.Call)}
    for node, known_there in _walk(function, known):
        attribute = node.func if isinstance(node, ast.Call) else node
        if not isinstance(attribute, ast.Attribute) or ast.unparse(attribute.value) != "paths" or id(node) in called:
            continue
        if attribute.attr not in UNTRACKED:
            assert isinstance(node, ast.expr)
            yield from _flat(_evaluate(node, known_there))


def _flat(found: Any) -> Iterator[Path]:
    """A path, or those of a record's tables."""
    if isinstance(found, dict):
        for part in found.values():
            yield from _flat(part)
    else:
        assert isinstance(found, Path), f"{found} is no path"
        yield found


def _functions(main: ast.FunctionDef, known: dict[str, Any]) -> Iterator[tuple[ast.FunctionDef, dict[str, Any]]]:
    """A stage's `main`, and the functions `read_...` of the package that it calls with literals, with the names known inside."""
    yield main, known
    for node in ast.walk(main):
        if isinstance(node, ast.Call) and (text := ast.unparse(node.func)).partition(".")[2].startswith("read_"):
            if text.startswith("tables."):
                continue  # reads the paths that it is given
            called = _evaluate(node.func, known)
            arguments = inspect.signature(called).bind(*map(ast.literal_eval, node.args)).arguments
            function = ast.parse(inspect.getsource(called)).body[0]
            assert isinstance(function, ast.FunctionDef)
            yield function, vars(inspect.getmodule(called)) | arguments


def _walk(node: ast.AST, known: dict[str, Any]) -> Iterator[tuple[ast.AST, dict[str, Any]]]:
    """Every node below with the names known there: what a comprehension makes comes once for each of its values."""
    yield node, known
    values: list[dict[str, Any]] = [{}]
    if isinstance(node, ast.DictComp):
        values = [{ast.unparse(each.target): value} for each in node.generators for value in _evaluate(each.iter, known)]
    for value in values:
        for child in ast.iter_child_nodes(node):
            yield from _walk(child, known | value)


def _path_params(sections: dict[str, type[params.Section]]) -> Iterator[str]:
    """Values of loaded params that are files or folders of the repository, or what `fetch` brings."""
    for section, into in sections.items():
        for leaf in leaves(section, into) if section not in UNLISTED else ():
            value = _at(leaf)
            if isinstance(value, str) and value and ((ROOT / value).exists() or value == str(paths.RAW)):
                yield value


def _at(name: str) -> Any:
    """The value of a dotted name; None where it is left out."""
    value: Any = values()
    for key in name.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _evaluate(node: ast.expr, known: dict[str, Any]) -> Any:
    return eval(compile(ast.Expression(node), "stage", "eval"), known)  # noqa: S307 - an expression of our own stage files
