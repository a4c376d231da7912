"""The order of the packages is part of the design: imports go one way, and what needs no torch loads none."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "fna"

# Lowest first. A part imports from levels before its own and, where that makes no circle, from its own. A part is what
# lies directly under `fna`, or a module of such that has a place of its own.
# `__init__` is what users import, `__version__` the one name in it that needs nothing else.
ORDER = [
    "__version__ errors threads",
    "files tasks.score",
    "arch",
    "tasks.kinds",
    "cost families",
    "config",
    "nn weights data",
    "tasks",
    "runs",
    "train",
    "search",
    "use report",
    "jobs",
    "derivation",
    "pipeline flags config_reference",
    "tasks.contract",
    "__init__",
    "demo study",
    "cli",
]
LEVEL = {part: level for level, parts in enumerate(ORDER) for part in parts.split()}


def modules(root: Path) -> dict[str, Path]:
    """Dotted name -> file for every module under `root`; a package goes by the name of its `__init__.py`."""
    return {
        ".".join(file.relative_to(root.parent).with_suffix("").parts).removesuffix(".__init__"): file
        for file in sorted(root.rglob("*.py"))
    }


def imported_by(name: str, file: Path) -> Iterator[str]:
    """Absolute dotted names that `file` imports anywhere: at the top, inside functions and for type checking."""
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            yield from (".".join(filter(None, [*above, node.module, alias.name])) for alias in node.names)


def part_of(name: str) -> str:
    """`fna.nn.heads` -> `nn`, `fna.tasks.kinds` -> itself, for it has a place in ORDER, and `fna` -> `__init__`."""
    inside = name.split(".")[1:] or ["__init__"]
    own = ".".join(inside[:2])
    return own if own in LEVEL else inside[0]


def edges(root: Path) -> set[tuple[str, str]]:
    """(importing part, imported part) for all imports between different parts of the package in `root`."""
    pairs = {
        (part_of(name), part_of(target))
        for name, file in modules(root).items()
        for target in imported_by(name, file)
        if target.split(".")[0] == root.name
    }
    return {(importing, imported) for importing, imported in pairs if importing != imported}


def module_edges(root: Path) -> set[tuple[str, str]]:
    """(importing module, imported module) for all imports inside the package in `root`; a package around is none."""
    found = modules(root)
    pairs = set()
    for name, file in found.items():
        for target in imported_by(name, file):
            while target and target not in found:  # a name in a module
                target = target.rpartition(".")[0]
            if target and not f"{name}.".startswith(f"{target}."):
                pairs.add((name, target))
    return pairs


def upward_imports(root: Path) -> list[str]:
    """The imports that break the order, one sentence each; a part without a level is one, too."""
    found = edges(root)
    parts = {part_of(name) for name in modules(root)} | {imported for _, imported in found}
    return sorted(
        [f"{part} has no place in ORDER of tests/test_layering.py: give it one" for part in parts - LEVEL.keys()]
        + [f"{a} imports {b}" for a, b in found if a in LEVEL and b in LEVEL and LEVEL[b] > LEVEL[a]]
    )


def circle(pairs: set[tuple[str, str]]) -> list[str]:
    """One circle of names that import each other, or nothing."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for importing, imported in pairs:
        sorter.add(importing, imported)
    try:
        sorter.prepare()
    except ValueError as error:  # CycleError: its second argument is the circle
        return list(error.args[1])
    return []


def test_imports_go_one_way() -> None:
    assert upward_imports(PACKAGE) == []


def test_no_parts_import_each_other_in_a_circle() -> None:
    assert circle(edges(PACKAGE)) == []


def test_no_modules_import_each_other_in_a_circle_not_even_inside_functions_or_for_types() -> None:
    assert circle(module_edges(PACKAGE)) == []


@pytest.mark.parametrize(
    ("file", "line", "complaint"),
    [
        ("arch/space.py", "from fna.nn import heads", "arch imports nn"),
        ("arch/space.py", "def f() -> None:\n    import fna.search", "arch imports search"),
        ("arch/space.py", "from ..weights.remap import fit", "arch imports weights"),
        ("runs/run.py", "from .. import cli", "runs imports cli"),
        ("runs/run.py", "import fna", "runs imports __init__"),
        ("helpers.py", "", "helpers has no place in ORDER of tests/test_layering.py: give it one"),
        ("runs/run.py", "from fna import __version__, errors", None),
        ("runs/run.py", "from ..tasks import segmentation", None),
        ("config.py", "from fna.tasks.kinds import TASKS", None),
        ("config.py", "from fna.tasks import segmentation", "config imports tasks"),
        ("tasks/kinds.py", "from fna.tasks.task import Task", "tasks.kinds imports tasks"),
        ("nn/heads.py", "from .layers import build", None),
    ],
)
def test_an_import_that_breaks_the_order_is_found(tmp_path: Path, file: str, line: str, complaint: str | None) -> None:
    path = tmp_path / "fna" / file
    path.parent.mkdir(parents=True)
    path.write_text(line, encoding="utf-8")
    assert upward_imports(tmp_path / "fna") == ([complaint] if complaint else [])


def test_a_circle_inside_a_level_is_found(tmp_path: Path) -> None:
    root = tmp_path / "fna"
    root.mkdir()
    (root / "report.py").write_text("from fna import use", encoding="utf-8")
    (root / "use.py").write_text("from fna.report import page", encoding="utf-8")
    assert set(circle(edges(root))) == {"report", "use"}


@pytest.mark.parametrize(
    "line",
    [
        "from fna.data.rendering import text",
        "def f() -> None:\n    from .rendering import text",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from fna.data import rendering",
    ],
)
def test_a_circle_of_two_modules_of_one_part_is_found(tmp_path: Path, line: str) -> None:
    root = tmp_path / "fna" / "data"
    root.mkdir(parents=True)
    (root / "__init__.py").write_text("", encoding="utf-8")
    (root / "check.py").write_text(line, encoding="utf-8")
    (root / "rendering.py").write_text("from fna.data.check import check", encoding="utf-8")
    assert circle(edges(root.parent)) == []
    assert set(circle(module_edges(root.parent))) == {"fna.data.check", "fna.data.rendering"}


def test_architectures_need_only_the_standard_library() -> None:
    files = {name: file for name, file in modules(PACKAGE).items() if part_of(name) in ("arch", "families")}
    assert files
    foreign = {
        (name, target)
        for name, file in files.items()
        for target in imported_by(name, file)
        if target.split(".")[0] not in sys.stdlib_module_names | {PACKAGE.name}
    }
    assert foreign == set()


@pytest.mark.parametrize(
    "part", ["__init__", "errors", "threads", "arch", "tasks.kinds", "tasks.score", "config", "config_reference", "cli"]
)
def test_a_part_that_answers_at_once_loads_no_torch(part: str) -> None:
    names = [name for name in modules(PACKAGE) if part_of(name) == part]
    assert names, f"src/fna has no {part}"
    code = f"import sys, {', '.join(names)}; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr or f"importing {', '.join(names)} loads torch"
