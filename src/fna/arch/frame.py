"""What stands around the layers of a network, and what all of its convolutions have in common."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from fna.arch.convs import Block, Conv
from fna.arch.parsing import json_object, positive
from fna.errors import UserError

ACTIVATIONS = ("relu6", "relu", "hardswish")


@dataclass(frozen=True, slots=True)
class Frame:
    """A family's stem and last convolution, and the padding and norms of all its convolutions; here MobileNetV2's.

    The stem has stride 2; with `stem_pool` a 3x3 maximum of stride 2 follows. `last_activation` is that of the last 1x1
    convolution, None where the network ends with its stages. `pooled` are the channels of a biased 1x1 convolution of
    the mean pixel after it, with the same activation (MobileNetV3), 0 for none. `same_padding` and `epsilon` are as in
    `Conv`.
    """

    stem_kernel: int = 3
    stem_activation: str = "relu6"
    stem_pool: bool = False
    last_activation: str | None = "relu6"
    pooled: int = 0
    same_padding: bool = False
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        if positive("stem_kernel", self.stem_kernel) % 2 == 0:
            raise UserError(f"stem_kernel must be odd, got {self.stem_kernel}")
        if self.pooled != 0 or isinstance(self.pooled, bool):
            positive("pooled", self.pooled)
        for key in ("stem_pool", "same_padding"):
            if not isinstance(getattr(self, key), bool):
                raise UserError(f"{key} must be true or false, got {getattr(self, key)!r}")
        for key, allowed in (("stem_activation", ACTIVATIONS), ("last_activation", (*ACTIVATIONS, None))):
            if getattr(self, key) not in allowed:
                raise UserError(f"{key} must be one of {', '.join(ACTIVATIONS)}, got {getattr(self, key)!r}")
        if not isinstance(self.epsilon, float) or not 0 < self.epsilon < 1:
            raise UserError(f"epsilon must be a number between 0 and 1, got {self.epsilon!r}")

    @staticmethod
    def from_data(data: Any) -> "Frame":
        """What `data` wrote, strictly."""
        return Frame(**json_object("frame", data, (), tuple(field.name for field in fields(Frame))))

    @property
    def data(self) -> dict[str, Any]:
        """What differs from MobileNetV2's frame, for JSON."""
        default = asdict(Frame())
        return {key: value for key, value in asdict(self).items() if value != default[key]}

    @property
    def stem_stride(self) -> int:
        """Input pixels per pixel that the first stage reads."""
        return 4 if self.stem_pool else 2

    def stem(self, channels: int) -> Conv:
        """The first convolution."""
        return self._in_style(Conv("", 3, channels, self.stem_kernel, 2, activation=self.stem_activation))

    def last(self, cin: int, channels: int) -> tuple[Conv, ...]:
        """The convolutions between the stages and the classifier's linear layer; `pooled` runs on the mean pixel."""
        if self.last_activation is None:
            return ()
        last = self._in_style(Conv("last", cin, channels, 1, activation=self.last_activation))
        pooled = Conv("pooled", channels, self.pooled, 1, norm=False, bias=True, activation=self.last_activation)
        return (last, pooled) if self.pooled else (last,)

    def styled(self, block: Block) -> Block:
        """A layer whose convolutions have this frame's padding and epsilon."""
        return block.changed(self._in_style)

    def _in_style(self, conv: Conv) -> Conv:
        return replace(conv, same_padding=self.same_padding, epsilon=self.epsilon)


MOBILENET_V2 = Frame()
