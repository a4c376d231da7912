"""Which operations would make this process and a GPU wait for each other."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
FORBIDDEN = {aten.lift_fresh.default, aten._local_scalar_dense.default, aten.nonzero.default}
"""A tensor made of Python's numbers, a number read from a tensor, and a shape that depends on values."""


class Watch(TorchDispatchMode):
    """Keeps the names of such operations while it is entered, and counts all."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        if func in FORBIDDEN:
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))
