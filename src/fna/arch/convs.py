"""What a layer is at its place, as data: convolutions, and the named widths that those read and make.

The builder and the super network (`fna.nn`), the counter (`fna.cost`) and the remapper (`fna.weights.remap`) all read a
`Block`, so they cannot disagree about what a layer is. Its widths are named: `in` and `out` are those that it shares
with its neighbours, all others are its own affair.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Conv:
    """One convolution, with or without batch norm and activation.

    `name` is its place inside the layer and in the state dict ("" where the layer is this one convolution). `dilation`
    is that of both axes, or (vertical, horizontal). `reads` and `makes` name the widths that `cin` and `cout` are.
    `same_padding` is TensorFlow's SAME: where a stride leaves an odd number of zeros, one more at the end than at the
    start. `epsilon` is the norm's.
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
    reads: str = "in"
    makes: str = "out"
    same_padding: bool = False
    epsilon: float = 1e-5

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """(out, in / groups, k, k), as in torch."""
        return (self.cout, self.cin // self.groups, self.kernel, self.kernel)

    @property
    def axes(self) -> tuple[str, str | None]:
        """Names of the widths that the weight's first two axes carry; a group's inputs are no width of the layer."""
        return (self.makes, self.reads if self.groups == 1 else None)

    @property
    def padding(self) -> tuple[int, int]:
        """Rows and columns of zeros on each side: "same", so the output is ceil(input / stride) for odd kernels."""
        vertical, horizontal = (self.dilation,) * 2 if isinstance(self.dilation, int) else self.dilation
        return (vertical * (self.kernel // 2), horizontal * (self.kernel // 2))

    @property
    def uneven(self) -> bool:
        """Whether there may be more zeros at the end than at the start; without a stride SAME is symmetric."""
        return self.same_padding and self.stride > 1


@dataclass(frozen=True, slots=True)
class Gate:
    """Squeeze-excite (arXiv 1709.01507): a factor for each channel, two biased 1x1 convolutions of the mean pixel."""

    squeeze: Conv
    excite: Conv


@dataclass(frozen=True, slots=True)
class Block:
    """A layer at its place: `parts` one after the other, then the sum with its input, then an activation.

    `shortcut` says what is added: nothing (False), the input itself (True), or a convolution of it. `inside` names the
    convolution whose output a head may read as the layer's expanded tensor; without it that is the layer's input.
    """

    parts: tuple[Conv | Gate, ...]
    shortcut: Conv | bool = False
    activation: str | None = None
    inside: str = ""

    @property
    def main(self) -> tuple[Conv, ...]:
        """The convolutions that see pixels, in order: all but those of a gate and of the shortcut."""
        return tuple(part for part in self.parts if isinstance(part, Conv))

    @property
    def convs(self) -> tuple[Conv, ...]:
        """All convolutions, in the order of the state dict."""
        parts = [(part,) if isinstance(part, Conv) else (part.squeeze, part.excite) for part in self.parts]
        found = tuple(conv for part in parts for conv in part)
        return (*found, self.shortcut) if isinstance(self.shortcut, Conv) else found

    def changed(self, change: Callable[[Conv], Conv]) -> "Block":
        """The same block with every convolution changed."""
        parts = (
            change(part) if isinstance(part, Conv) else Gate(change(part.squeeze), change(part.excite))
            for part in self.parts
        )
        shortcut = change(self.shortcut) if isinstance(self.shortcut, Conv) else self.shortcut
        return replace(self, parts=tuple(parts), shortcut=shortcut)

    @property
    def inside_channels(self) -> int:
        """Channels of the expanded tensor."""
        return next((conv.cout for conv in self.main if conv.name == self.inside), self.main[0].cin)

    @property
    def ends_in_activation(self) -> bool:
        """Whether its output has passed an activation, through which a channel of zeros gets no gradient."""
        return (self.activation or self.main[-1].activation) is not None
