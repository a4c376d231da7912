"""An architecture is a value: small, frozen, printable, with a JSON round trip."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fna.arch.layers import Conv, MBConv, Op, Skip, parse_op
from fna.errors import UserError, unknown

HW = tuple[int, int]


def _positive(where: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"{where} must be a positive whole number, got {value!r}")
    return value


@dataclass(frozen=True, slots=True)
class Stage:
    """Layers of equal output width; the first one has the stride."""

    channels: int
    stride: int
    layers: tuple[MBConv, ...]

    def __post_init__(self) -> None:
        _positive("stage channels", self.channels)
        if _positive("stage stride", self.stride) > 2:
            raise UserError(f"stage stride must be 1 or 2, got {self.stride!r}")
        if not self.layers:
            raise UserError("a stage needs at least one layer, got none")
        if any(isinstance(layer, Skip) for layer in self.layers):
            raise UserError("'skip' is a candidate in a space, not a layer: delete it from the architecture")


@dataclass(frozen=True, slots=True)
class Arch:
    """A MobileNetV2-like backbone: stem (3x3, stride 2), stages, and the width of the last 1x1 convolution.

    The last convolution belongs to the classifier; dense heads read the stages and leave it out.
    """

    stem: int
    stages: tuple[Stage, ...]
    last: int = 1280

    def __post_init__(self) -> None:
        _positive("stem", self.stem)
        _positive("last", self.last)
        if not self.stages:
            raise UserError("an architecture needs at least one stage, got none")

    def __str__(self) -> str:
        return "\n".join(
            f"stage {s}  {stage.channels:>4} channels  stride {stage.stride}  {' '.join(map(str, stage.layers))}"
            for s, stage in enumerate(self.stages)
        )

    def to_json(self) -> str:
        """Readable JSON, one line per stage; `Arch.from_json` reads it back to an equal value."""
        stages = ",\n".join(
            "    " + json.dumps({"channels": s.channels, "stride": s.stride, "layers": list(map(str, s.layers))})
            for s in self.stages
        )
        return (
            f'{{\n  "format": "fna-arch-1",\n  "stem": {self.stem},\n  "stages": [\n{stages}\n  ],\n'
            f'  "last": {self.last}\n}}\n'
        )

    @staticmethod
    def from_json(text: str, source: str = "architecture") -> "Arch":
        """Read what `to_json` wrote, strictly: unknown keys and ops, bad strides and wrong types are a UserError."""
        try:
            data = json.loads(text, object_pairs_hook=_once)
        except json.JSONDecodeError as error:
            raise UserError(f"{source}: not JSON ({error})") from error
        except UserError as error:
            raise UserError(f"{source}: {error}") from error
        try:
            return _arch_from_data(data)
        except UserError as error:
            raise UserError(f"{source}: {error}") from error

    @staticmethod
    def load(path: str | Path) -> "Arch":
        """The architecture in a JSON file."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read the architecture {path}: {error}") from error
        return Arch.from_json(text, source=str(path))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which no key is written twice (plain `json` would keep the last one silently)."""
    data = dict(pairs)
    if len(data) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise UserError(f"key {twice!r} is written twice in one object; keep one of them")
    return data


def _object(where: str, data: Any, allowed: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise UserError(f"{where} must be an object with {', '.join(allowed)}, got {type(data).__name__}")
    for key in data:
        if key not in allowed:
            raise unknown(f"key in {where}", key, allowed)
    for key in allowed:
        if key not in data:
            raise UserError(f"{where} has no {key!r}; it needs {', '.join(allowed)}")
    return data


def _arch_from_data(data: Any) -> Arch:
    top = _object("the architecture", data, ("format", "stem", "stages", "last"))
    if top["format"] != "fna-arch-1":
        raise UserError(f"format is {top['format']!r}, this version reads 'fna-arch-1'")
    if not isinstance(top["stages"], list):
        raise UserError(f"stages must be a list, got {type(top['stages']).__name__}")
    return Arch(top["stem"], tuple(_stage_from_data(f"stage {s}", d) for s, d in enumerate(top["stages"])), top["last"])


def _stage_from_data(where: str, data: Any) -> Stage:
    stage = _object(where, data, ("channels", "stride", "layers"))
    if not isinstance(stage["layers"], list):
        raise UserError(f"{where}: layers must be a list of ops, got {type(stage['layers']).__name__}")
    try:
        ops = tuple(parse_op(op) for op in stage["layers"])
        return Stage(stage["channels"], stage["stride"], ops)  # type: ignore[arg-type]  # Stage refuses Skip itself
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


@dataclass(frozen=True, slots=True)
class Place:
    """Where a layer stands: its name, channels, stride, dilation and the size of its input in pixels."""

    name: str
    stage: int
    cin: int
    cout: int
    stride: int
    dilation: int
    in_hw: HW

    @property
    def out_hw(self) -> HW:
        """Size of the output in pixels."""
        return shrink(self.in_hw, self.stride)

    def convs(self, op: Op) -> tuple[Conv, ...]:
        """The convolutions of `op` at this place."""
        return op.convs(self.cin, self.cout, self.stride, self.dilation)


def parse_imgsz(text: str) -> HW:
    """`360x480` (height x width) or `512` (a square) -> (height, width) in pixels; a UserError for anything else."""
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise UserError(f"image size {text!r} is not HxW: write 360x480, or 512 for a square")
    return (int(parts[0]), int(parts[-1]))


def shrink(hw: HW, stride: int) -> HW:
    """Output size of a "same"-padded convolution: ceil(size / stride)."""
    return (-(-hw[0] // stride), -(-hw[1] // stride))


def stem_conv(channels: int) -> Conv:
    """The first convolution of every network of this family."""
    return Conv("", 3, channels, 3, stride=2)


def last_conv(cin: int, channels: int) -> Conv:
    """The last 1x1 convolution, part of the classifier."""
    return Conv("", cin, channels, 1)


def places(
    stem: int, stages: tuple[tuple[int, int, int], ...], imgsz: HW = (224, 224), output_stride: int = 32
) -> Iterator[Place]:
    """Every layer's place, from (channels, stride, number of layers) per stage.

    Where the accumulated stride reaches `output_stride`, a further stride becomes dilation, in every layer from that
    stage on (the authors' segmentation backbone; facts that reproduce paper Table 1).
    """
    if output_stride not in (8, 16, 32):
        raise UserError(f"output stride must be 8, 16 or 32, got {output_stride!r}")
    cin, hw, reached, dilation = stem, shrink(imgsz, 2), 2, 1
    for s, (channels, stage_stride, depth) in enumerate(stages):
        stride = stage_stride
        if reached * stride > output_stride:
            dilation, stride = dilation * stride, 1
        reached *= stride
        for i in range(depth):
            place = Place(f"stages.{s}.{i}", s, cin, channels, stride, dilation, hw)
            yield place
            cin, hw, stride = channels, place.out_hw, 1


def placed(arch: Arch, imgsz: HW = (224, 224), output_stride: int = 32) -> list[tuple[Place, MBConv]]:
    """Every stage layer of `arch` with its place at `imgsz` (height, width)."""
    shape = tuple((stage.channels, stage.stride, len(stage.layers)) for stage in arch.stages)
    layers = [layer for stage in arch.stages for layer in stage.layers]
    return list(zip(places(arch.stem, shape, imgsz, output_stride), layers, strict=True))


@dataclass(frozen=True, slots=True)
class Tap:
    """Where a head reads the backbone: the output of a stage, or the expanded tensor inside of its first layer."""

    stage: int
    expanded: bool = False


def tap_channels(arch: Arch, tap: Tap) -> int:
    """Channels of the tapped tensor."""
    if not tap.expanded:
        return arch.stages[tap.stage].channels
    cin = arch.stages[tap.stage - 1].channels if tap.stage else arch.stem
    return cin * arch.stages[tap.stage].layers[0].expansion


def tap_stride(arch: Arch, tap: Tap, output_stride: int = 32) -> int:
    """Input pixels per pixel of the tapped tensor; an expanded tensor comes before its layer's own stride."""
    stride = 2
    for stage in arch.stages[: tap.stage + (not tap.expanded)]:
        stride *= stage.stride
    return min(stride, output_stride)


def stages_at_stride(arch: Arch, stride: int) -> list[int]:
    """The stages whose output has this stride (before any dilation); a UserError where there is none."""
    found = [s for s in range(len(arch.stages)) if tap_stride(arch, Tap(s), 10**9) == stride]
    if not found:
        raise UserError(f"the architecture has no stage at stride {stride}")
    return found
