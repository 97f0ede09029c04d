"""The rooms of the library: who may import whom, and what is said where."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import ekd
from ekd.methods import discover

PACKAGE = Path(ekd.__file__).parent
ROOMS = (
    "spec", "streams", "losses", "models", "data", "cost", "methods", "store", "tracking",
    "trainer", "plan", "testing", "engines", "sweep", "report", "cli",
)  # fmt: skip
FILES = sorted(PACKAGE.rglob("*.py"))
IDS = [str(path.relative_to(PACKAGE)) for path in FILES]
HOMES = {
    "optuna": {"sweep"},
    "wandb": {"tracking"},
    "matplotlib": {"report"},
    "sklearn": {"data", "report"},
    "torchvision": {"data"},
}
WITH_DEVICES = {"engines", "trainer", "data", "cli"}
LONGEST_FILE, LONGEST_FUNCTION = 300, 60

every_file = pytest.mark.parametrize("path", FILES, ids=IDS)


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(node: ast.AST) -> Iterator[str]:
    """Full names of the modules that are imported below a node."""
    for child in ast.walk(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            yield from (f"{child.module}.{alias.name}" for alias in child.names)


def at_import_time(node: ast.AST) -> Iterator[ast.AST]:
    """The statements that run when a module is imported."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from at_import_time(child)


def strings(path: Path) -> set[str]:
    """String literals, docstrings left out."""
    nodes = list(ast.walk(tree(path)))
    expressions = {id(n.value) for n in nodes if isinstance(n, ast.Expr)}
    return {
        n.value
        for n in nodes
        if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in expressions
    }


def test_every_file_is_in_a_room() -> None:
    assert {room(path) for path in FILES} - {"__init__"} <= set(ROOMS)
    assert len(FILES) > 40


@every_file
def test_a_room_imports_only_from_rooms_above_it(path: Path) -> None:
    own = room(path)
    if own == "__init__":
        assert not list(imports(tree(path)))
        return
    allowed = ROOMS[: ROOMS.index(own) + 1]
    for name in imports(tree(path)):
        first, _, rest = name.partition(".")
        if first == "ekd" and rest not in ("", "__version__"):
            assert rest.partition(".")[0] in allowed, f"{own} imports {name}"


@every_file
def test_only_the_trainer_runs_a_backward_pass(path: Path) -> None:
    calls = {n.attr for n in ast.walk(tree(path)) if isinstance(n, ast.Attribute)}
    assert "backward" not in calls or room(path) == "trainer"


@every_file
def test_only_four_rooms_know_of_devices(path: Path) -> None:
    if room(path) not in WITH_DEVICES:
        names = {n.attr for n in ast.walk(tree(path)) if isinstance(n, ast.Attribute)}
        assert not [word for word in names | strings(path) if "cuda" in word.lower()]


@every_file
def test_no_method_is_named_outside_methods(path: Path) -> None:
    if room(path) != "methods":
        # "ekd" is the package's name as well: a comparison or a key is what would name the method.
        named = {s for s in strings(path) if s in set(discover()) - {"plain"}}
        compared = {
            constant.value
            for node in ast.walk(tree(path))
            if isinstance(node, ast.Compare | ast.Subscript | ast.MatchValue)
            for constant in ast.walk(node)
            if isinstance(constant, ast.Constant)
        }
        assert not named - {"ekd"}
        assert "ekd" not in compared


@every_file
def test_heavy_packages_stay_in_their_rooms(path: Path) -> None:
    for name in imports(tree(path)):
        homes = HOMES.get(name.partition(".")[0])
        assert homes is None or room(path) in homes, f"{name} is imported in {path}"


@every_file
def test_optional_services_are_imported_only_when_they_are_used(path: Path) -> None:
    top = [n for n in at_import_time(tree(path)) if isinstance(n, ast.Import | ast.ImportFrom)]
    names = {name.partition(".")[0] for node in top for name in imports(node)}
    assert not names & {"wandb", "optuna"}


@every_file
def test_the_command_line_imports_nothing_heavy_before_it_has_to(path: Path) -> None:
    if path.name in ("run.py", "report.py", "sweep.py", "__init__.py") and room(path) == "cli":
        top = [n for n in at_import_time(tree(path)) if isinstance(n, ast.Import | ast.ImportFrom)]
        names = [name for node in top for name in imports(node) if not name.startswith("ekd.cli")]
        assert not [name for name in names if name.startswith(("ekd", "torch"))]


@every_file
def test_files_and_functions_stay_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines"
