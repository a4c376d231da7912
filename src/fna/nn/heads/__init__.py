"""Modules of the heads that `fna.arch.heads` describes, in files of the same names."""

from importlib import import_module

from torch import nn

from fna.arch.heads import Head


def build_head(head: Head) -> nn.Module:
    """The module of a head; forward takes the taps and the size of the images."""
    file, _, name = head.kind.module.partition(":")
    module: nn.Module = getattr(import_module(f"{__name__}.{file}"), name)(head)
    return module
