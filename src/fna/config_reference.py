"""`python -m fna.config_reference FILE`: the page of all configuration keys, written from the types of `fna.config`."""

import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml
from pydantic.fields import FieldInfo

from fna.arch.heads import HEADS, HeadKind
from fna.arch.heads.kind import option_text
from fna.arch.space import GROUPINGS
from fna.config.config import Config
from fna.config.files import recipe_names
from fna.config.sections import Section
from fna.config.types import (
    Budgets,
    Expansions,
    Grouping,
    HeadText,
    ImageSize,
    MemorySize,
    Milestones,
    TaskName,
    Triple,
)
from fna.files import write_text
from fna.tasks.kinds import TASKS

WRITTEN = [
    (ImageSize, "HxW in pixels, or one number for a square"),
    (HeadText, "a head, alone or with options"),
    (Budgets, "budgets, joined by commas"),
    (Triple, "three numbers, joined by commas"),
    (MemorySize, "an amount of memory"),
    (Milestones, "numbers > 0, < 1, joined by commas"),
    (Expansions, "list of numbers > 0"),
    (Grouping, ", ".join(f"`{name}`" for name in GROUPINGS)),
    (TaskName, ", ".join(f"`{name}`" for name in ("auto", *TASKS))),
]
"""How people write the values of types that read text in a form of their own."""
NUMBERS = {int: ("whole number", "whole numbers"), float: ("number", "numbers"), str: ("text", "texts")}
BOUNDS = (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))
INTRO = """\
# Configuration

Written by `make docs` from the types in `src/fna/config/`; changes are made there.

Every key is a flag of `fna adapt`, `fna search` and `fna train` (`--adapt.steps 2000`), a line of a recipe, and an
argument in Python, where a section is a dict (`fna.adapt("images/", adapt={{"steps": 2000}})`). `fna train
--print_config` shows all with their values. The resolved configuration of a run is its `config.yaml`. Unknown keys are
errors that name the nearest. In YAML and in flags `null` is nothing, and a list is `[a, b]`.

`--recipe` takes a YAML file, or the name of a recipe of the package (`src/fna/recipes`), and flags after it win:

{recipes}
"""
HEADS_INTRO = """\
## Heads

The options of every head (`--head`) at their defaults. Those that are not given keep them: `--head fpn(width=64)`.

| head | output stride by itself | output strides | what it is |
| --- | --- | --- | --- |"""


def page() -> str:
    """The whole page, as Markdown."""
    recipes = "\n".join(f"- `{name}`" for name in recipe_names())
    parts = [INTRO.format(recipes=recipes)]
    for section, paths in sections().items():
        title = ", ".join(f"`{path}`" for path in paths) if paths != [""] else "All of a run"
        before = f"{paths[0]}." if len(paths) == 1 and paths[0] else ""
        rows = [f"| `{before}{key}` | {kind} | {default} | {text} |" for key, kind, default, text in keys(section)]
        head = [
            f"## {title}",
            "",
            said(section),
            "",
            "| key | allowed | default | what it is |",
            "| --- | --- | --- | --- |",
        ]
        parts.append("\n".join([*head, *rows]) + "\n")
    return "\n".join([*parts, HEADS_INTRO, *(head_row(kind()) for kind in HEADS.values()), ""])


def head_row(kind: HeadKind) -> str:
    """A head with all its options at their defaults, the output stride that it has by itself, those it can have."""
    options = {field.name: getattr(kind, field.name) for field in fields(kind)}
    texts = [f"{name}={option_text(value)}" for name, value in options.items() if value is not None]
    shown = f"{kind.name}({', '.join(texts)})" if texts else kind.name
    said = "".join(f"; `{name}`: the backbone's own unless given" for name, value in options.items() if value is None)
    return f"| `{shown}` | {kind.output_stride} | {kind.strides_text} | {first_sentence(kind)}{said} |"


def first_sentence(kind: HeadKind) -> str:
    """What a head says of itself, up to the first empty line."""
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split()).rstrip(".")


def sections() -> dict[type[Section], list[str]]:
    """Every section with the dotted keys under which it stands; the whole configuration first, under no key."""
    found: dict[type[Section], list[str]] = {}

    def visit(section: type[Section], path: str) -> None:
        found.setdefault(section, []).append(path)
        for name, hint in get_type_hints(section).items():
            inner = section_in(hint)
            if name in section.model_fields and inner is not None:
                visit(inner, f"{path}.{name}".lstrip("."))

    visit(Config, "")
    return found


def section_in(hint: Any) -> type[Section] | None:
    """The section that a key of this type holds, None where it holds a value."""
    kinds = [kind for kind in (hint, *get_args(hint)) if isinstance(kind, type) and issubclass(kind, Section)]
    return kinds[0] if kinds else None


def keys(section: type[Section]) -> Iterator[tuple[str, str, str, str]]:
    """Name, what is allowed, default and description of every key of a section."""
    hints = get_type_hints(section, include_extras=True)
    for name, field in section.model_fields.items():
        inner = section_in(hints[name])
        kind = allowed(hints[name], field) if inner is None else "a section, below"
        default = "" if inner is not None and field.default is not None else f"`{written(field.default, hints[name])}`"
        yield name, kind, default, described(field, inner)


def described(field: FieldInfo, inner: type[Section] | None) -> str:
    """The description of a key, of a section what it says of itself, as a cell of a table."""
    text = field.description or (said(inner).rstrip(".") if inner else "")
    return text.replace("|", "\\|")


def said(section: type[Section]) -> str:
    """What a section says of itself."""
    return " ".join((section.__doc__ or "").split())


def allowed(hint: Any, field: FieldInfo | None = None) -> str:
    """The values that a key of this type takes, in words; the bounds of its field hold for single numbers."""
    for kind, text in WRITTEN:
        if hint == kind:
            return text
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return allowed(inner[0]) + bounds(inner[1:])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (Union, UnionType):
        return " or ".join(allowed(one, field) for one in inner if one is not type(None))
    if origin is tuple:
        kind, *rest = (one for one in inner if one is not Ellipsis)
        base, limits = (get_args(kind)[0], bounds(get_args(kind)[1:])) if get_origin(kind) is Annotated else (kind, "")
        count = f"{1 + len(rest)} " if rest else ""
        return f"list of {count}{NUMBERS[base][1]}{limits}"
    if hint is bool:
        return "`true`, `false`"
    return NUMBERS[hint][0] + (bounds(field.metadata) if field is not None else "")


def bounds(metadata: Any) -> str:
    """Limits of a number, as they are written after it: ` > 0, < 1`."""
    found = [f"{sign} {getattr(limit, name):g}" for name, sign in BOUNDS for limit in metadata if hasattr(limit, name)]
    return f" {', '.join(found)}" if found else ""


def written(value: Any, hint: Any) -> str:
    """A default as people write it."""
    if isinstance(value, tuple):
        return f"{value[0]}x{value[1]}" if hint == ImageSize else f"[{', '.join(map(str, value))}]"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "null" if value is None else yaml.safe_dump(value).removesuffix("...\n").strip()


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), page())
