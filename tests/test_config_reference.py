"""The page of all configuration keys is complete and is what the types say now."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from fna.config.config import Config
from fna.config.files import to_yaml
from fna.config_reference import page

FILE = Path(__file__).resolve().parents[1] / "docs/configuration.md"


def dotted(values: dict[str, Any], before: str = "") -> Iterator[str]:
    """The dotted names of all values in a configuration as YAML has it."""
    for key, value in values.items():
        yield from dotted(value, f"{before}{key}.") if isinstance(value, dict) else [f"{before}{key}"]


def test_the_committed_page_is_what_the_types_say_now() -> None:
    assert FILE.read_text(encoding="utf-8") == page(), "write it again: make docs"


def test_every_key_of_a_written_configuration_has_its_row() -> None:
    rows = set(re.findall(r"^\| `([\w.]+)` \|", page(), re.MULTILINE))
    names = {re.sub(r"^(adapt|search)\.augment\.", "", name) for name in dotted(yaml.safe_load(to_yaml(Config())))}
    assert "adapt.steps" in names
    assert names <= rows


def test_every_key_is_explained() -> None:
    unexplained = [line for line in page().splitlines() if line.startswith("| `") and re.search(r"\|\s*\|$", line)]
    assert unexplained == []


def test_allowed_values_and_defaults_are_as_people_write_them() -> None:
    text = page()
    assert "| `seed` | whole number >= 0 | `0` | random seed |" in text
    assert "| `remap.kernel` | `centre`, `dilate` | `centre` |" in text
    assert "| `search.alpha_split` | number > 0, < 1 | `0.2` |" in text
    assert "| `crop` | HxW in pixels, or one number for a square | `320x320` |" in text
    assert "| `evaluate.window` | HxW in pixels, or one number for a square | `null` |" in text
    assert "| `search.kernels` | list of whole numbers > 0 | `[3, 5, 7]` |" in text
    assert "| `deeplabv3(width=256, rates=6+12+18)` | 16 | 8 or 16 or 32 |" in text
