"""Flags: parsers whose errors are one line with the nearest flag, and the configuration as flags; without torch."""

import argparse
import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from fna.errors import UserError

PROCESS_KEYS = ("device", "devices", "nodes", "threads", "workers", "cache", "checkpoint_minutes")
"""Keys that a resumed run may change; device and threads can change the last bits of results, the others nothing."""


class Parser(argparse.ArgumentParser):
    """argparse with errors as UserError, and the nearest flag as a suggestion."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog, description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UserError(_with_suggestion(message, [flag for action in self._actions for flag in action.option_strings]))


def _one_line(message: str) -> str:
    """What jsonargparse and pydantic say over several lines about one flag, as one line."""
    key = re.search(r'Parser key "([\w.]+)"', message)
    if not key:
        return message
    found = re.search(r"Value error, (.+?)(?: \[type|\n|$)|(Input should .+?) \[type|(Expected a [^\n]+)", message)
    got = re.search(r"Got value: (.*)", message)
    detail = next(text for text in found.groups() if text) if found else " ".join(message.split())
    return f"--{key[1]}: {detail.removesuffix('.')}" + (f" (got {got[1]})" if got and "Got value" not in detail else "")


def _with_suggestion(message: str, flags: Sequence[str]) -> str:
    wrong = [word.split("=")[0] for word in message.split() if word.startswith("--")]
    near = get_close_matches(wrong[0], flags, n=1) if "unrecognized" in message and wrong else []
    return f"{message}; did you mean {near[0]}?" if near else message


def config_parser(prog: str, description: str, out: str, out_help: str) -> Any:
    """A parser of `data`, `--recipe`, `--out` and every key of the configuration; `out` is the default folder."""
    import jsonargparse

    from fna.config.config import Config
    from fna.config.files import recipe_path

    class JobParser(jsonargparse.ArgumentParser):
        """jsonargparse with errors as UserError, and the nearest flag as a suggestion."""

        def error(self, message: str, ex: Exception | None = None) -> NoReturn:
            raise UserError(_with_suggestion(_one_line(message), [f for a in self._actions for f in a.option_strings]))

    class RecipeAction(jsonargparse.ActionConfigFile):  # type: ignore[name-defined]  # untyped there
        """A configuration file, or a recipe of the package by its name."""

        def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
            super().__call__(parser, namespace, str(recipe_path(values)), option_string)

    parser = JobParser(prog=prog, description=description, allow_abbrev=False)
    parser.add_argument("data", nargs="?", help="folder of images with masks, boxes or classes, or a YAML file")
    parser.add_argument("--recipe", action=RecipeAction, help="a recipe's name, or a YAML file; flags after it win")
    parser.add_argument("--out", default=out, help=out_help)
    parser.add_class_arguments(Config, fail_untyped=False)
    return parser
