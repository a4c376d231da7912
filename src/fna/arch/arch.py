"""An architecture is a value: small, frozen, printable, with a JSON round trip."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from operator import mul
from pathlib import Path
from typing import Any, Protocol

from fna.arch.convs import Block
from fna.arch.frame import MOBILENET_V2, Frame
from fna.arch.layers import LayerOp, Op, Skip, parse_op
from fna.arch.parsing import json_object, parse_json, positive, read_arch_file
from fna.errors import UserError

HW = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Stage:
    """Layers of equal output width; the first one has the stride."""

    channels: int
    stride: int
    layers: tuple[LayerOp, ...]

    def __post_init__(self) -> None:
        positive("stage channels", self.channels)
        if positive("stage stride", self.stride) > 2:
            raise UserError(f"stage stride must be 1 or 2, got {self.stride!r}")
        if not self.layers:
            raise UserError("a stage needs at least one layer, got none")
        if any(isinstance(layer, Skip) for layer in self.layers):
            raise UserError("'skip' is a candidate in a space, not a layer: delete it from the architecture")


@dataclass(frozen=True, slots=True)
class Arch:
    """A backbone: the stem's channels, stages, and the width of the last 1x1 convolution; all else is in its frame.

    The last convolution belongs to the classifier; dense heads read the stages and leave it out.
    """

    stem: int
    stages: tuple[Stage, ...]
    last: int = 1280
    frame: Frame = MOBILENET_V2

    def __post_init__(self) -> None:
        positive("stem", self.stem)
        positive("last", self.last)
        if not self.stages:
            raise UserError("an architecture needs at least one stage, got none")

    def __str__(self) -> str:
        return "\n".join(
            f"stage {s}  {stage.channels:>4} channels  stride {stage.stride}  {' '.join(map(str, stage.layers))}"
            for s, stage in enumerate(self.stages)
        )

    def to_json(self) -> str:
        """Readable JSON, one line per stage; `Arch.from_json` reads it back to an equal value.

        A frame other than MobileNetV2's is written as what differs.
        """
        stages = ",\n".join(
            "    " + json.dumps({"channels": s.channels, "stride": s.stride, "layers": list(map(str, s.layers))})
            for s in self.stages
        )
        frame = f',\n  "frame": {json.dumps(self.frame.data)}' if self.frame.data else ""
        return (
            f'{{\n  "format": "fna-arch-1",\n  "stem": {self.stem},\n  "stages": [\n{stages}\n  ],\n'
            f'  "last": {self.last}{frame}\n}}\n'
        )

    @staticmethod
    def from_json(text: str, source: str = "architecture") -> "Arch":
        """Read what `to_json` wrote, strictly: unknown keys and ops, bad strides and wrong types are a UserError."""
        data = parse_json(text, source)
        try:
            return Arch.from_data(data)
        except UserError as error:
            raise UserError(f"{source}: {error}") from error

    @staticmethod
    def from_data(data: Any) -> "Arch":
        """The architecture in parsed JSON."""
        return _arch_from_data(data)

    @staticmethod
    def load(path: str | Path) -> "Arch":
        """The architecture in a JSON file."""
        return Arch.from_json(read_arch_file(path), source=str(path))

    @property
    def channels(self) -> tuple[int, ...]:
        """Output channels of the stages."""
        return tuple(stage.channels for stage in self.stages)

    @property
    def strides(self) -> tuple[int, ...]:
        """Input pixels per output pixel of the stages, before any dilation."""
        return tuple(accumulate((stage.stride for stage in self.stages), mul, initial=self.frame.stem_stride))[1:]


class Outputs(Protocol):
    """What heads need to know of a backbone: the outputs that they can read, shallow first.

    `channels` and `strides` (input pixels per output pixel, before any dilation) have one entry an output; `last` is
    the width of the 1x1 convolution that SSDLite and the classifier put on the deepest one.
    """

    @property
    def channels(self) -> tuple[int, ...]: ...
    @property
    def strides(self) -> tuple[int, ...]: ...
    @property
    def last(self) -> int: ...


def _arch_from_data(data: Any) -> Arch:
    top = json_object("the architecture", data, ("format", "stem", "stages", "last"), ("frame",))
    if top["format"] != "fna-arch-1":
        raise UserError(f"format is {top['format']!r}, this version reads 'fna-arch-1'")
    if not isinstance(top["stages"], list):
        raise UserError(f"stages must be a list, got {type(top['stages']).__name__}")
    stages = tuple(_stage_from_data(f"stage {s}", d) for s, d in enumerate(top["stages"]))
    return Arch(top["stem"], stages, top["last"], Frame.from_data(top.get("frame", {})))


def _stage_from_data(where: str, data: Any) -> Stage:
    stage = json_object(where, data, ("channels", "stride", "layers"))
    if not isinstance(stage["layers"], list):
        raise UserError(f"{where}: layers must be a list of ops, got {type(stage['layers']).__name__}")
    try:
        ops = tuple(parse_op(op) for op in stage["layers"])
        return Stage(stage["channels"], stage["stride"], ops)  # type: ignore[arg-type]  # Stage refuses Skip itself
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


@dataclass(frozen=True, slots=True)
class Place:
    """Where a layer stands: its name, channels, stride, dilation, the size of its input in pixels, and the frame."""

    name: str
    stage: int
    cin: int
    cout: int
    stride: int
    dilation: int
    in_hw: HW
    frame: Frame = MOBILENET_V2

    @property
    def out_hw(self) -> HW:
        """Size of the output in pixels."""
        return shrink(self.in_hw, self.stride)

    def block(self, op: Op) -> Block:
        """What `op` is at this place."""
        return self.frame.styled(op.block(self.cin, self.cout, self.stride, self.dilation))


def parse_imgsz(text: str) -> HW:
    """`360x480` (height x width) or `512` (a square) -> (height, width) in pixels; a UserError for anything else."""
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise UserError(f"image size {text!r} is not HxW: write 360x480, or 512 for a square")
    return (int(parts[0]), int(parts[-1]))


def shrink(hw: HW, stride: int) -> HW:
    """Output size of a "same"-padded convolution: ceil(size / stride)."""
    return (-(-hw[0] // stride), -(-hw[1] // stride))


def places(
    stem: int,
    stages: tuple[tuple[int, int, int], ...],
    imgsz: HW = (224, 224),
    output_stride: int = 32,
    frame: Frame = MOBILENET_V2,
) -> Iterator[Place]:
    """Every layer's place, from (channels, stride, number of layers) per stage.

    Where the accumulated stride reaches `output_stride`, a further stride becomes dilation, in every layer from that
    stage on (the authors' segmentation backbone; facts that reproduce paper Table 1).
    """
    if output_stride not in (8, 16, 32):
        raise UserError(f"output stride must be 8, 16 or 32, got {output_stride!r}")
    reached = frame.stem_stride
    cin, hw, dilation = stem, shrink(imgsz, reached), 1
    for s, (channels, stage_stride, depth) in enumerate(stages):
        stride = stage_stride
        if reached * stride > output_stride:
            dilation, stride = dilation * stride, 1
        reached *= stride
        for i in range(depth):
            place = Place(f"stages.{s}.{i}", s, cin, channels, stride, dilation, hw, frame)
            yield place
            cin, hw, stride = channels, place.out_hw, 1


def placed(arch: Arch, imgsz: HW = (224, 224), output_stride: int = 32) -> list[tuple[Place, LayerOp]]:
    """Every stage layer of `arch` with its place at `imgsz` (height, width)."""
    shape = tuple((stage.channels, stage.stride, len(stage.layers)) for stage in arch.stages)
    layers = [layer for stage in arch.stages for layer in stage.layers]
    return list(zip(places(arch.stem, shape, imgsz, output_stride, arch.frame), layers, strict=True))


@dataclass(frozen=True, slots=True)
class Tap:
    """Where a head reads the backbone: the output of a stage, or the expanded tensor inside of its first layer."""

    stage: int
    expanded: bool = False


def tap_channels(arch: Outputs, tap: Tap) -> int:
    """Channels of the tapped tensor."""
    if not tap.expanded:
        return arch.channels[tap.stage]
    assert isinstance(arch, Arch)  # other backbones have no expanded tensors
    return next(place.block(op).inside_channels for place, op in placed(arch) if place.stage == tap.stage)


def tap_stride(arch: Outputs, tap: Tap, output_stride: int = 32) -> int:
    """Input pixels per pixel of the tapped tensor; an expanded tensor comes before its layer's own stride."""
    if not tap.expanded:
        return min(arch.strides[tap.stage], output_stride)
    assert isinstance(arch, Arch)  # other backbones have no expanded tensors
    return min((arch.frame.stem_stride, *arch.strides)[tap.stage], output_stride)


def deepest(arch: Outputs) -> Tap:
    """The last output of a backbone."""
    return Tap(len(arch.strides) - 1)


def stages_at_stride(arch: Outputs, stride: int) -> list[int]:
    """The stages whose output has this stride (before any dilation); a UserError where there is none."""
    found = [s for s, reached in enumerate(arch.strides) if reached == stride]
    if not found:
        there = ", ".join(map(str, sorted(set(arch.strides))))
        raise UserError(f"the architecture has no stage at stride {stride}, only at {there}")
    return found
