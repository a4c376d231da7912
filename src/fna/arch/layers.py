"""Kinds of layers: each says, at its place, which convolutions it consists of (`fna.arch.convs.Block`)."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from fna.arch.convs import Block, Conv, Gate
from fna.errors import UserError

Shapes = Mapping[str, tuple[int, ...]]
"""Of weights, (out, in / groups, k, k), by the name of the convolution inside the layer."""

_NUMBER = r"(\d+(?:\.\d+)?)"

SUFFIXES = {"relu6": "", "relu": "_relu", "hardswish": "_hs"}
"""Activations of an inverted residual layer, and how its name says so."""


@dataclass(frozen=True, slots=True)
class MBConv:
    """Inverted residual layer (MobileNetV2, arXiv 1801.04381, table 1); `k5_e6` is kernel 5, expansion 6.

    The inner width is `expansion` times the input's, to the nearest whole channel. `squeeze` 4, written `_se4`, is a
    gate of a quarter of the inner width, by MobileNetV2's width rule, with ReLU and hard sigmoid, and `hardswish`,
    written `_hs`, an activation (MobileNetV3, arXiv 1905.02244, section 5).
    """

    kernel: int
    expansion: float
    squeeze: int = 0
    activation: str = "relu6"

    def __post_init__(self) -> None:
        _check("MBConv", self.kernel, self.expansion, least=1)
        if self.activation not in SUFFIXES:
            raise UserError(f"MBConv activation must be one of {', '.join(SUFFIXES)}, got {self.activation!r}")
        if not isinstance(self.squeeze, int) or self.squeeze < 0:
            raise UserError(f"MBConv squeeze must be a whole number, 0 for no gate, got {self.squeeze!r}")

    def __str__(self) -> str:
        gate = f"_se{self.squeeze}" if self.squeeze else ""
        return f"k{self.kernel}_e{self.expansion}{gate}{SUFFIXES[self.activation]}"

    @staticmethod
    def parse(text: str) -> "MBConv | None":
        """The inverse of `str`; None for another kind."""
        found = re.fullmatch(rf"k(\d+)_e{_NUMBER}(?:_se([1-9]\d*))?(_relu|_hs)?", text)
        if not found:
            return None
        activation = next(name for name, suffix in SUFFIXES.items() if suffix == (found[4] or ""))
        return MBConv(int(found[1]), _number(found[2]), int(found[3] or 0), activation)

    def fitted(self, shapes: Shapes, cin: int) -> "MBConv":
        """The same with the kernel and expansion of these weights, by the names of its convolutions."""
        hidden, _, kernel, _ = shapes["depthwise"]
        return replace(self, kernel=kernel, expansion=expansion_of(hidden, cin))

    def block(self, cin: int, cout: int, stride: int = 1, dilation: int = 1) -> Block:
        """Expand (absent for expansion 1, whose inner width is the input's), depthwise, gate if any, project."""
        hidden, wide, act = round(cin * self.expansion), "hidden" if self.expansion > 1 else "in", self.activation
        expand = Conv("expand", cin, hidden, 1, activation=act, makes=wide)
        spatial = Conv("depthwise", hidden, hidden, self.kernel, stride, hidden, dilation, True, False, act, wide, wide)
        project = Conv("project", hidden, cout, 1, activation=None, reads=wide)
        parts: list[Conv | Gate] = [expand, spatial] if self.expansion > 1 else [spatial]
        if self.squeeze:
            parts.append(_gate(wide, hidden, divisible_by_8(hidden // self.squeeze)))
        return Block((*parts, project), stride == 1 and cin == cout, inside="expand")


def _gate(wide: str, channels: int, squeezed: int) -> Gate:
    return Gate(
        Conv("squeeze", channels, squeezed, 1, norm=False, bias=True, activation="relu", reads=wide, makes="gate"),
        Conv(
            "excite", squeezed, channels, 1, norm=False, bias=True, activation="hardsigmoid", reads="gate", makes=wide
        ),
    )


@dataclass(frozen=True, slots=True)
class Basic:
    """ResNet's layer of two k x k convolutions (arXiv 1512.03385, figure 5); `basic_k3`.

    The inner width is `expansion` times the output's: `basic_k3_e0.5` has half of it.
    """

    kernel: int = 3
    expansion: float = 1

    def __post_init__(self) -> None:
        _check("basic", self.kernel, self.expansion)

    def __str__(self) -> str:
        return f"basic_k{self.kernel}" + (f"_e{self.expansion}" if self.expansion != 1 else "")

    @staticmethod
    def parse(text: str) -> "Basic | None":
        """The inverse of `str`; None for another kind."""
        found = re.fullmatch(rf"basic_k(\d+)(?:_e{_NUMBER})?", text)
        return Basic(int(found[1]), _number(found[2] or "1")) if found else None

    def fitted(self, shapes: Shapes, cin: int) -> "Basic":
        """The same with the kernel and expansion of these weights, by the names of its convolutions."""
        out, hidden, kernel, _ = shapes["second"]
        return replace(self, kernel=kernel, expansion=expansion_of(hidden, out))

    def block(self, cin: int, cout: int, stride: int = 1, dilation: int = 1) -> Block:
        """Two convolutions, the first one with the stride, and the sum before the last activation."""
        hidden, k = round(cout * self.expansion), self.kernel
        first = Conv("first", cin, hidden, k, stride, dilation=dilation, activation="relu", makes="hidden")
        second = Conv("second", hidden, cout, k, dilation=dilation, activation=None, reads="hidden")
        return Block((first, second), _projected(cin, cout, stride), "relu")


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """ResNet's layer of 1x1, k x k and 1x1 convolutions (arXiv 1512.03385, figure 5); `bottleneck_k3`.

    The inner width is `expansion` times the output's, a quarter unless said: `bottleneck_k3_e0.5_g4`. `group` channels
    form a group of the k x k convolution (ResNeXt, arXiv 1611.05431), 0 for none; the stride is there, too.
    """

    kernel: int = 3
    expansion: float = 0.25
    group: int = 0

    def __post_init__(self) -> None:
        _check("bottleneck", self.kernel, self.expansion)

    def __str__(self) -> str:
        expansion = f"_e{self.expansion}" if self.expansion != 0.25 else ""
        return f"bottleneck_k{self.kernel}{expansion}" + (f"_g{self.group}" if self.group else "")

    @staticmethod
    def parse(text: str) -> "Bottleneck | None":
        """The inverse of `str`; None for another kind."""
        found = re.fullmatch(rf"bottleneck_k(\d+)(?:_e{_NUMBER})?(?:_g([1-9]\d*))?", text)
        return Bottleneck(int(found[1]), _number(found[2] or "0.25"), int(found[3] or 0)) if found else None

    def fitted(self, shapes: Shapes, cin: int) -> "Bottleneck":
        """The same with the kernel, expansion and groups of these weights, by the names of its convolutions."""
        (hidden, group, kernel, _), out = shapes["spatial"], shapes["project"][0]
        return Bottleneck(kernel, expansion_of(hidden, out), group if group < hidden else 0)

    def block(self, cin: int, cout: int, stride: int = 1, dilation: int = 1) -> Block:
        """Reduce, spatial, project; a grouped convolution ties the two inner widths together."""
        hidden = round(cout * self.expansion)
        groups = hidden // self.group if self.group else 1
        if self.group and hidden % self.group:
            raise UserError(f"{self} at {cout} channels: {hidden} inner channels are no whole groups of {self.group}")
        reduced = "hidden" if groups > 1 else "reduced"
        return Block(
            (
                Conv("reduce", cin, hidden, 1, activation="relu", makes=reduced),
                Conv(
                    "spatial",
                    hidden,
                    hidden,
                    self.kernel,
                    stride,
                    groups,
                    dilation,
                    activation="relu",
                    reads=reduced,
                    makes="hidden",
                ),
                Conv("project", hidden, cout, 1, activation=None, reads="hidden"),
            ),
            _projected(cin, cout, stride),
            "relu",
        )


def _projected(cin: int, cout: int, stride: int) -> Conv | bool:
    """The identity where shapes allow, else a 1x1 convolution."""
    if stride == 1 and cin == cout:
        return True
    return Conv("shortcut", cin, cout, 1, stride, activation=None)


def divisible_by_8(exact: float) -> int:
    """MobileNetV2's width rule: the nearest multiple of 8, never less than 90 % of the exact value, at least 8."""
    rounded = max(8, int(exact + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * exact else rounded


def expansion_of(inner: int, width: int) -> float:
    """The expansion that makes `inner` channels of `width`: a whole number, or the shortest decimal that does."""
    if inner % width == 0:
        return inner // width
    return next(e for digits in range(1, 9) if round(width * (e := round(inner / width, digits))) == inner)


def _number(text: str) -> float:
    """A whole number as such."""
    return int(float(text)) if float(text).is_integer() else float(text)


def _check(kind: str, kernel: object, expansion: object, least: float = 0.0) -> None:
    """Refuse even kernels and what is no number; a whole expansion is an int, so that it has one name."""
    if not isinstance(kernel, int) or isinstance(kernel, bool) or kernel < 1:
        raise UserError(f"{kind} kernel must be a positive whole number, got {kernel!r}")
    if kernel % 2 == 0:
        raise UserError(f"{kind} kernel must be odd, got {kernel}")
    number = isinstance(expansion, (int, float)) and not isinstance(expansion, bool)
    if not number or not math.isfinite(expansion) or expansion < least or expansion <= 0:  # type: ignore[arg-type, operator]
        limit = f"of at least {least}" if least else "above 0"
        raise UserError(f"{kind} expansion must be a number {limit}, got {expansion!r}")
    if isinstance(expansion, float) and expansion.is_integer():
        raise UserError(f"{kind} expansion {expansion!r} is a whole number: write {int(expansion)}")


@dataclass(frozen=True, slots=True)
class Skip:
    """The identity, a candidate in a space only: an architecture simply has no such layer."""

    def __str__(self) -> str:
        return "skip"

    def block(self, cin: int, cout: int, stride: int = 1, dilation: int = 1) -> Block:
        """No parts at all."""
        return Block(())


LayerOp = MBConv | Basic | Bottleneck
Op = LayerOp | Skip


def key(op: Op) -> str:
    """The op as a part of a name in a state dict, where a point would begin a new part: `k3_e4.5` is `k3_e4_5`."""
    return str(op).replace(".", "_")


LONGEST = 60
"""Letters of an op."""


def parse_op(text: object) -> Op:
    """`k3_e6` -> MBConv(3, 6), `basic_k3` -> Basic(3), `skip` -> Skip(); anything else is a UserError."""
    if text == "skip":
        return Skip()
    if isinstance(text, str) and len(text) > LONGEST:
        raise UserError(f"op {text[:LONGEST]!r}... has {len(text)} letters; one has at most {LONGEST}")
    for kind in (MBConv, Basic, Bottleneck):
        op = kind.parse(text) if isinstance(text, str) else None
        if op is not None:
            return op
    raise UserError(
        f"unknown op {text!r}: write kK_eE with kernel K and expansion E, such as 'k5_e6' ('k5_e6_se4_hs' with a gate "
        "and hard-swish, _relu for ReLU), 'basic_k3' or 'bottleneck_k3'"
    )
