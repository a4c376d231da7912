"""Layers as data: each says which convolutions it consists of.

The builder (`fna.nn`), the counter (`fna.cost`) and the remapper (`fna.weights.remap`) all read `convs()`, so they
cannot disagree about what a layer is.
"""

import re
from dataclasses import dataclass

from fna.errors import UserError


@dataclass(frozen=True, slots=True)
class Conv:
    """One convolution, with or without batch norm and activation.

    `name` is its place inside the layer and in the state dict ("" where the layer is this one convolution). `dilation`
    is that of both axes, or (vertical, horizontal).
    """

    name: str
    cin: int
    cout: int
    kernel: int
    stride: int = 1
    groups: int = 1
    dilation: int | tuple[int, int] = 1
    norm: bool = True
    bias: bool = False
    activation: str | None = "relu6"

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """(out, in / groups, k, k), as in torch."""
        return (self.cout, self.cin // self.groups, self.kernel, self.kernel)

    @property
    def padding(self) -> tuple[int, int]:
        """Rows and columns of zeros on each side: "same", so the output is ceil(input / stride) for odd kernels."""
        vertical, horizontal = (self.dilation,) * 2 if isinstance(self.dilation, int) else self.dilation
        return (vertical * (self.kernel // 2), horizontal * (self.kernel // 2))


@dataclass(frozen=True, slots=True)
class MBConv:
    """Inverted residual layer (MobileNetV2, arXiv 1801.04381, table 1); `k5_e6` is kernel 5, expansion 6."""

    kernel: int
    expansion: int

    def __post_init__(self) -> None:
        for key in ("kernel", "expansion"):
            value = getattr(self, key)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UserError(f"MBConv {key} must be a positive whole number, got {value!r}")
        if self.kernel % 2 == 0:
            raise UserError(f"MBConv kernel must be odd, got {self.kernel}")

    def __str__(self) -> str:
        return f"k{self.kernel}_e{self.expansion}"

    def convs(self, cin: int, cout: int, stride: int = 1, dilation: int = 1) -> tuple[Conv, ...]:
        """The convolutions in order: expand (absent for expansion 1), depthwise, project."""
        hidden = cin * self.expansion
        expand = (Conv("expand", cin, hidden, 1),) if self.expansion > 1 else ()
        return (
            *expand,
            Conv("depthwise", hidden, hidden, self.kernel, stride, groups=hidden, dilation=dilation),
            Conv("project", hidden, cout, 1, activation=None),
        )


@dataclass(frozen=True, slots=True)
class Skip:
    """The identity, a candidate in a space only: an architecture simply has no such layer."""

    def __str__(self) -> str:
        return "skip"

    def convs(self, cin: int, cout: int, stride: int = 1, dilation: int = 1) -> tuple[Conv, ...]:
        """No convolutions."""
        return ()


Op = MBConv | Skip


def parse_op(text: object) -> Op:
    """`k3_e6` -> MBConv(3, 6), `skip` -> Skip(); anything else is a UserError."""
    if text == "skip":
        return Skip()
    found = re.fullmatch(r"k(\d+)_e(\d+)", text) if isinstance(text, str) else None
    if not found:
        raise UserError(f"unknown op {text!r}: write kK_eE with kernel K and expansion E, such as 'k5_e6'")
    return MBConv(int(found[1]), int(found[2]))
