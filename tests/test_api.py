"""The names that users import, and the page about them."""

import inspect
import re
from pathlib import Path

import pytest

import fna
from fna.cli.main import VERBS

PAGE = Path(__file__).resolve().parents[1] / "docs/python.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
OF_FILES = re.compile(r"images/|photos/|runs/")
"""What an example names that the reader has to have."""
NO_FUNCTION = {"study"}
"""Verbs of long plans of runs."""


def test_every_verb_is_a_function_of_the_same_name() -> None:
    for verb in VERBS.keys() - NO_FUNCTION - {"figure"}:
        assert inspect.isfunction(getattr(fna, verb)), verb
    for kind in ("architectures", "predictions"):
        assert inspect.isfunction(getattr(fna, f"figure_{kind}"))


def test_the_parts_are_usable_alone() -> None:
    seed = fna.mobilenet_v2()
    space = fna.expand(seed)
    assert space.pick(space.path_of(seed)) == seed


def heading(name: str) -> str:
    """How the page introduces a name: with its parameters and their defaults, where it is called with such."""
    thing = getattr(fna, name)
    if name in ("Config", "UserError"):
        return f"### `fna.{name}`"
    bare = [shown(parameter) for parameter in inspect.signature(thing).parameters.values()]
    return f"### `fna.{name}{inspect.Signature(bare)}`".replace("Ellipsis", "...")


def shown(parameter: inspect.Parameter) -> inspect.Parameter:
    """A parameter without its type; a default that is a value of ours is an ellipsis."""
    ours = type(parameter.default).__module__.startswith("fna.")
    return parameter.replace(annotation=parameter.empty, default=... if ours else parameter.default)


@pytest.mark.parametrize("name", sorted(set(fna.__all__) - {"__version__"}))
def test_every_public_name_has_its_place_on_the_page_with_its_parameters(name: str) -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    assert heading(name) in lines
    after = lines[lines.index(heading(name)) + 1 :]
    section = after[: next((i for i, line in enumerate(after) if line.startswith("#")), None)]
    assert f"fna.{name}" in "\n".join(section).partition("```python")[2], f"{name} has no example"


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_the_page_run(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that need data or a run are only compiled, and the names in them looked up."""
    monkeypatch.chdir(tmp_path)
    code = compile(example, str(PAGE), "exec")
    for name in re.findall(r"\bfna\.(\w+)\(", example):
        assert name in fna.__all__, f"the page uses fna.{name}"
    if not OF_FILES.search(example):
        exec(code, {"fna": fna})
