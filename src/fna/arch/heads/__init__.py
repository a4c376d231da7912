"""Heads as data: one file a kind, with its options as fields. `fna.nn.heads` has their wiring under the same names."""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from fna.arch.arch import Outputs
from fna.arch.heads.convs import grid
from fna.arch.heads.kind import At, DetectorKind, Head, HeadConv, HeadKind, OutsideHead
from fna.arch.heads.parse import kind_from_data, parse_kind
from fna.errors import UserError

__all__ = [
    "HEADS",
    "At",
    "DetectorKind",
    "Head",
    "HeadConv",
    "HeadKind",
    "OutsideHead",
    "describe",
    "grid",
    "head_from_data",
    "parse_head",
]


def _kinds() -> dict[str, type[HeadKind]]:
    """The kinds in the files of this folder: a new file is a new head."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    classes = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    return {kind.name: kind for kind in classes if issubclass(kind, HeadKind) and "name" in vars(kind)}


HEADS = _kinds()
"""Every kind by its name."""


def parse_head(text: str | HeadKind) -> HeadKind:
    """`fpn`, `fpn(width=64, taps=8+16)`, or a kind itself; a UserError for an unknown name, option or value."""
    return text if isinstance(text, HeadKind) else parse_kind(text, HEADS)


def head_from_data(data: Any) -> HeadKind:
    """A kind from its JSON form, such as `{"kind": "fpn", "width": 64}`; a UserError for anything unknown."""
    return kind_from_data(data, HEADS)


def describe(head: str | HeadKind, arch: Outputs, classes: int, output_stride: int) -> Head:
    """The head as data for `arch`; a UserError for an unknown name or an output stride that it cannot have."""
    kind = parse_head(head)
    if output_stride not in kind.output_strides:
        raise UserError(f"the head {kind.name} needs output stride {kind.strides_text}, got {output_stride}")
    return kind.describe(arch, classes, output_stride)
