"""Types of values that people write in a form of their own, such as `360x480`, and what reads them."""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PositiveFloat, PositiveInt

from fna.arch.arch import parse_imgsz
from fna.arch.heads import head_from_data, parse_head
from fna.arch.space import GROUPINGS
from fna.cost.budget import Budget
from fna.errors import UserError, unknown
from fna.tasks.kinds import TASKS

PositiveHW = tuple[PositiveInt, PositiveInt]


def parse_hw(value: object) -> object:
    """Text or one number -> (height, width); anything else is passed on to be judged by its type."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value, value)
    return parse_imgsz(value) if isinstance(value, str) else value


ImageSize = Annotated[PositiveHW, BeforeValidator(parse_hw)]


def head_text(value: object) -> object:
    """A head in its shortest text, from a longer one or its JSON form; `auto` and what is neither are passed on."""
    if isinstance(value, dict):
        return str(head_from_data(value))
    return str(parse_head(value)) if isinstance(value, str) and value != AUTO else value


AUTO = "auto"
HeadText = Annotated[str, BeforeValidator(head_text)]


def checked_budgets(value: object) -> object:
    """Texts joined by commas, each of which must be a budget; anything else is passed on to be judged by its type."""
    texts, seen = split_commas(value), dict[str, str]()
    for text in texts if isinstance(texts, (tuple, list)) else ():
        if isinstance(text, str):
            limits = str(Budget.parse(text).as_dict())
            if limits in seen:
                raise UserError(f"budgets {seen[limits]!r} and {text!r} are the same; give each once")
            seen[limits] = text
    return texts


def split_commas(value: object) -> object:
    """`0.5G,0.6G` -> ("0.5G", "0.6G"); a lone number is one item; anything else is passed on."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (str(value),)
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def known_grouping(value: object) -> object:
    """A name of `fna.arch.space.GROUPINGS`; what is no text is passed on to be judged by its type."""
    if isinstance(value, str) and value not in GROUPINGS:
        raise unknown("grouping", value, GROUPINGS)
    return value


Grouping = Annotated[str, BeforeValidator(known_grouping)]
Expansions = tuple[PositiveInt | PositiveFloat, ...]
"""Whole numbers stay such, so that a layer has one name."""
Budgets = Annotated[tuple[str, ...], BeforeValidator(checked_budgets)]
Triple = Annotated[tuple[float, float, float], BeforeValidator(split_commas)]

MEMORY_SUFFIXES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_bytes(text: str) -> int:
    """`1G`, `500M`, `1.5G` (powers of 1024) or a number of them -> bytes."""
    number, suffix = (text[:-1], text[-1].upper()) if text[-1:].upper() in MEMORY_SUFFIXES else (text, "")
    if not re.fullmatch(r"\d+(\.\d+)?", number):
        raise UserError(f"cache {text!r} is not an amount of memory: write 1G, 500M, a number of bytes, or 0 for none")
    return int(float(number) * MEMORY_SUFFIXES.get(suffix, 1))


def _memory_size(value: object) -> object:
    """Text that `parse_bytes` takes; whole numbers become it, anything else is passed on to be judged by its type."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(text, str):
        parse_bytes(text)
    return text


MemorySize = Annotated[str, BeforeValidator(_memory_size)]


def _known_task(value: str) -> str:
    if value not in ("auto", *TASKS):
        raise unknown("task", value, ("auto", *TASKS))
    return value


TaskName = Annotated[str, AfterValidator(_known_task)]
Milestones = Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], BeforeValidator(split_commas)]
