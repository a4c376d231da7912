"""Plain backbones: networks that are only modules, as data. They can be trained and counted, not searched."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from fna.arch.arch import Arch
from fna.arch.parsing import json_object, positive
from fna.errors import UserError

FORMAT = "fna-plain-1"


@dataclass(frozen=True, slots=True)
class PlainBackbone:
    """A backbone by its name (`timm:resnet18`), and the outputs that heads read, shallow first.

    `channels` and `strides` (input pixels per output pixel, before any dilation) have one entry an output.
    """

    name: str
    channels: tuple[int, ...]
    strides: tuple[int, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise UserError(f"name must be that of a backbone, such as timm:resnet18, got {self.name!r}")
        for key, values in (("channels", self.channels), ("strides", self.strides)):
            for value in values:
                positive(key, value)
        if not self.channels or len(self.channels) != len(self.strides):
            raise UserError(
                f"channels and strides need one entry an output, got {len(self.channels)} and {len(self.strides)}"
            )
        if any(a > b for a, b in pairwise(self.strides)):
            raise UserError(f"strides must not fall, got {commas(self.strides)}")

    @property
    def last(self) -> int:
        """Width of the 1x1 convolution that SSDLite puts on the deepest output: that of MobileNetV2."""
        return 1280

    def __str__(self) -> str:
        return f"{self.name}  {commas(self.channels)} channels at strides {commas(self.strides)}"

    def to_json(self) -> str:
        """Readable JSON; `arch_from_data` reads it back to an equal value."""
        data = {"format": FORMAT, "name": self.name, "channels": self.channels, "strides": self.strides}
        return "{\n" + ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in data.items()) + "\n}\n"


AnyArch = Arch | PlainBackbone


def commas(values: Iterable[int]) -> str:
    """Numbers as a list in a sentence."""
    return ", ".join(map(str, values))


def arch_from_data(data: Any) -> AnyArch:
    """The architecture or plain backbone in parsed JSON, read strictly."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        return Arch.from_data(data)
    top = json_object("the backbone", data, ("format", "name", "channels", "strides"))
    return PlainBackbone(top["name"], _numbers("channels", top), _numbers("strides", top))


def _numbers(key: str, data: dict[str, Any]) -> tuple[int, ...]:
    if not isinstance(data[key], list):
        raise UserError(f"{key} must be a list of numbers, got {type(data[key]).__name__}")
    return tuple(data[key])
