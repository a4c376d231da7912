"""Configurations from YAML files, recipes and nested dicts, and back."""

from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from fna.config.config import Config
from fna.errors import UserError, unknown


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    folder = resources.files("fna") / "recipes"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def recipe_path(name: str) -> Path:
    """The file of a recipe: a name from the package, or a YAML file of the user's."""
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise UserError(f"no recipe file at {name}")
        return Path(name)
    if name not in recipe_names():
        raise unknown("recipe", name, recipe_names())
    return Path(str(resources.files("fna") / "recipes" / f"{name}.yaml"))


def load_config(path: str | Path) -> Config:
    """Read a YAML file, strictly."""
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"cannot read the configuration {path}: {error}") from error
    return from_data(data, str(path))


def from_data(data: Any, source: str = "configuration") -> Config:
    """A configuration from nested dicts; a UserError names each key that is wrong and the near name."""
    if not isinstance(data, dict):
        raise UserError(f"{source}: a mapping of keys was expected, got {type(data).__name__}")
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{source}: " + "; ".join(_explain(e) for e in error.errors())) from error


def _explain(error: Any) -> str:
    *parents, key = [part for part in error["loc"] if isinstance(part, str)] or ["value"]
    dotted = ".".join([*parents, key])
    if error["type"] == "extra_forbidden":
        section: Any = Config
        for parent in parents:
            section = section.model_fields[parent].annotation
        return str(unknown("key", dotted, [".".join([*parents, name]) for name in section.model_fields]))
    return f"{dotted} is {error['input']!r}: {error['msg']}"


def to_yaml(config: Config) -> str:
    """The resolved configuration; `load_config` reads it back to an equal value."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
