"""A head as data, and its kind: a value with options, a text form (`fpn(width=64)`) and a JSON form.

Every kind is a frozen dataclass whose fields are its options, so an option is one line: the text, the JSON, the
flags and what is wrong with a value follow from the field. A field is a whole number (or one that is left out, `None`:
then it follows from the backbone), a truth value, a text, or whole numbers joined by `+` (`taps=4+8+16`).
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar, get_type_hints

from fna.arch.arch import Outputs, Tap
from fna.arch.convs import Conv
from fna.arch.parsing import LARGEST
from fna.errors import UserError

Numbers = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class At:
    """The resolution at which a convolution of a head runs: that of a tap, halved so many times, or one vector."""

    tap: int = -1
    halvings: int = 0
    pooled: bool = False


@dataclass(frozen=True, slots=True)
class HeadKind:
    """What every kind of head has: a name, its options as fields, and what it is on a backbone."""

    name: ClassVar[str]
    module: ClassVar[str]
    """Where its wiring is, `file:class` under `fna.nn.heads`."""
    gives: ClassVar[str] = "masks"
    """What its outputs are of, and so which tasks it fits: a class for each pixel (masks), boxes, or classes."""
    output_stride: ClassVar[int] = 32
    """That of the backbone, where nothing is said."""
    output_strides: ClassVar[Numbers] = (8, 16, 32)
    """Those that it can read."""
    space: ClassVar[str] = "segmentation"
    """The space of the paper (`fna.arch.space.SPACES`) whose depths a search takes by default."""

    def __post_init__(self) -> None:
        for key, kind in option_types(type(self)).items():
            value = getattr(self, key)
            if not _is(value, kind):
                raise UserError(f"{self.name}: {key} must be {EXPECTED[kind]}, got {value!r}")

    @property
    def strides_text(self) -> str:
        """The output strides that it can read, in a sentence."""
        return " or ".join(map(str, self.output_strides))

    def describe(self, arch: Outputs, classes: int, output_stride: int) -> "Head":
        """The head on a backbone: taps and convolutions. Raises UserError where the backbone lacks what it reads."""
        raise NotImplementedError

    def reads(self, head: "Head") -> dict[str, tuple[str, ...]]:
        """What a convolution's input is made of, by its name: outputs of others, and `tap.0` ... for the taps.

        One that is not here reads the one before it, the first one the deepest tap. Of one that levels share, an output
        for each level. What it costs in memory follows from it (`fna.cost.memory`).
        """
        return {}

    def as_dict(self) -> dict[str, Any]:
        """`kind` and every option, as JSON has them."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"kind": self.name} | {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    def __str__(self) -> str:
        """The name, with the options that are not the kind's own: `fpn(width=64, taps=8+16)`."""
        own = {field.name: field.default for field in fields(self)}
        given = {key: getattr(self, key) for key in own if getattr(self, key) != own[key]}
        options = ", ".join(f"{key}={option_text(value)}" for key, value in given.items())
        return f"{self.name}({options})" if given else self.name


@dataclass(frozen=True, slots=True)
class DetectorKind(HeadKind):
    """What heads for boxes have besides: the rules by which their outputs are meant, and what those need to know."""

    gives: ClassVar[str] = "boxes"
    least_side: ClassVar[int] = 32
    """Pixels a side that images must have at least: one cell at the deepest stride."""
    rules: ClassVar[str]
    """Of `fna.tasks`: `ssd` or `retinanet`."""

    @property
    def anchors(self) -> Numbers:
        """Boxes per cell of every map, fine to coarse."""
        raise NotImplementedError

    @property
    def coarsest_norm(self) -> int:
        """Stride of the coarsest map with a norm (one cell has no variance); 0 where there is none."""
        return 0


@dataclass(frozen=True, slots=True)
class HeadConv:
    """A convolution of a head and where it runs, several times where levels share it; `linear`: fully connected."""

    conv: Conv
    at: tuple[At, ...]
    linear: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """A head on one backbone, as data: `kind` with its options, and `taps`, the places it reads, shallow first.

    A detector also says at which `levels` it predicts, fine to coarse, and how many `anchors` a cell of each has.
    """

    kind: HeadKind
    taps: tuple[Tap, ...]
    convs: tuple[HeadConv, ...]
    levels: tuple[At, ...] = ()
    anchors: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The name of its kind."""
        return self.kind.name

    def conv(self, name: str) -> Conv:
        """The convolution of this name."""
        return next(part.conv for part in self.convs if part.conv.name == name)


@dataclass(frozen=True, slots=True)
class OutsideHead(Head):
    """A head that is another library's module: it has no convolutions as data, and its cost is counted by running it.

    `channels` are those of the taps.
    """

    channels: Numbers = ()
    classes: int = 0
    output_stride: int = 32


def option_types(kind: type[HeadKind]) -> dict[str, Any]:
    """The type of every option of a kind, by name."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


EXPECTED: dict[Any, str] = {
    int: "a whole number of at least 1",
    int | None: "a whole number of at least 1",
    bool: "true or false",
    str: "a name",
    Numbers: "whole numbers of at least 1, such as 4+8+16",
}


def _is(value: object, kind: Any) -> bool:
    if kind == Numbers:
        return isinstance(value, tuple) and bool(value) and all(_is(number, int) for number in value)
    if kind == int | None:
        return value is None or _is(value, int)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST
    return isinstance(value, kind)


def option_text(value: object) -> str:
    """An option as it is written in the text of a head."""
    if isinstance(value, tuple):
        return "+".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
