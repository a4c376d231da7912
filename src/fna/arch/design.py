"""A whole network as one value: what it starts from, backbone, head, output stride and image size.

Everything downstream takes a design: `fna.cost` and `fna.nn.cost` count it, `fna.nn.network.build` builds it,
`fna.train.adapt.remapped` starts it from its seed, `fna.weights.checkpoint` writes it beside the weights.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from fna.arch import zoo
from fna.arch.arch import HW, Arch
from fna.arch.heads import DetectorKind, Head, HeadKind, describe, head_from_data
from fna.arch.parsing import json_object, parse_json, positive, read_arch_file
from fna.arch.plain import AnyArch, arch_from_data
from fna.errors import UserError

FORMAT = "fna-design-1"
FILE = "design.json"
KEYS = ("format", "seed", "head", "output_stride", "imgsz", "resize", "arch")


@dataclass(frozen=True, slots=True)
class Design:
    """All that determines a deployed network.

    `seed` names the pretrained network that it starts from (`none`: random weights). `imgsz` is (height, width) in
    pixels, at which costs are counted; with `resize` every image is brought to it, without, images keep their own size
    (or their proportions, see `detection.short_side`) and `imgsz` is the commonest one then.

    Raises UserError for a network that cannot be trained: a backbone without the strides that the head reads, an
    output stride that it cannot have, an image size of no pixels.
    """

    seed: str
    arch: AnyArch
    head: HeadKind
    output_stride: int
    imgsz: HW
    resize: bool = False

    def __post_init__(self) -> None:
        for side in self.imgsz:
            positive("imgsz", side)
        if len(self.imgsz) != 2:
            raise UserError(f"imgsz must be height and width, got {self.imgsz!r}")
        if not self.seed or not self.seed.isprintable():
            raise UserError(f"seed must be the name of a pretrained network, or none, got {self.seed!r}")
        least = self.head.least_side if isinstance(self.head, DetectorKind) else 1
        if min(self.imgsz) < least:
            size = f"{self.imgsz[0]}x{self.imgsz[1]}"
            raise UserError(f"the head {self.head.name} needs images of at least {least} pixels a side, got {size}")
        self.described(1)

    def described(self, classes: int) -> Head:
        """The head on this backbone as data."""
        return describe(self.head, self.arch, classes, self.output_stride)

    def __str__(self) -> str:
        """One line: `mobilenet_v2_w035 [k3_e1 | 2 k3_e6 | ...] + fpn(width=64), OS 32, 360x480`."""
        size = f"{self.imgsz[0]}x{self.imgsz[1]}" + ("" if self.resize else " (images as they are)")
        return f"{self.seed} [{layers_text(self.arch)}] + {self.head}, OS {self.output_stride}, {size}"

    def to_json(self) -> str:
        """Readable JSON; `Design.from_json` reads it back to an equal value. The keys are in docs/files.md."""
        values = {
            "format": FORMAT,
            "seed": self.seed,
            "head": self.head.as_dict(),
            "output_stride": self.output_stride,
            "imgsz": list(self.imgsz),
            "resize": self.resize,
        }
        lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in values.items()]
        arch = self.arch.to_json().rstrip().replace("\n", "\n  ")
        return "{\n" + ",\n".join([*lines, f'  "arch": {arch}']) + "\n}\n"

    @staticmethod
    def from_json(text: str, source: str = "design") -> "Design":
        """Read what `to_json` wrote, strictly; a UserError names `source` and what is wrong."""
        data = parse_json(text, source)
        try:
            return _from_data(data)
        except UserError as error:
            raise UserError(f"{source}: {error}") from error

    @staticmethod
    def load(path: str | Path) -> "Design":
        """The design in a JSON file, or that of a run folder."""
        path = _in_folder(Path(path)) if Path(path).is_dir() else Path(path)
        return Design.from_json(read_arch_file(path), source=str(path))


def _in_folder(folder: Path) -> Path:
    """The design of a run folder; a UserError names others of its networks where there is none."""
    if (folder / FILE).is_file():
        return folder / FILE
    others = sorted(file.name for pattern in ("design-*.json", "arch*.json") for file in folder.glob(pattern))
    hint = f"it has {', '.join(others)}: name one of these files" if others else "is it a run folder?"
    raise UserError(f"{folder} has no {FILE}; {hint}")


def _from_data(data: Any) -> Design:
    if isinstance(data, dict) and data.get("format") != FORMAT:
        raise UserError(f"format is {data.get('format')!r}, a design has {FORMAT!r}")
    top = json_object("the design", data, KEYS)
    for key, kind, expected in (("seed", str, "a name"), ("resize", bool, "true or false")):
        if not isinstance(top[key], kind):
            raise UserError(f"{key} must be {expected}, got {top[key]!r}")
    if not isinstance(top["imgsz"], list) or len(top["imgsz"]) != 2:
        raise UserError(f"imgsz must be [height, width], got {top['imgsz']!r}")
    height, width = top["imgsz"]
    head, stride = head_from_data(top["head"]), positive("output_stride", top["output_stride"])
    return Design(top["seed"], arch_from_data(top["arch"]), head, stride, (height, width), top["resize"])


def layers_text(arch: AnyArch) -> str:
    """The layers of a backbone in one line, stages apart and repetitions counted; the name of a plain one."""
    if not isinstance(arch, Arch):
        return arch.name
    return " | ".join(_repeated(map(str, stage.layers)) for stage in arch.stages)


def _repeated(layers: Iterable[str]) -> str:
    runs = [(text, len(list(same))) for text, same in groupby(layers)]
    return " ".join(text if count == 1 else f"{count} {text}" for text, count in runs)


def find(text: str | Path) -> Design | AnyArch:
    """A design or an architecture: a JSON file of either, a run folder (its design.json) or a zoo name."""
    path = Path(text)
    if not path.is_dir() and path.suffix != ".json" and not path.is_file():
        return zoo.lookup(str(text))
    if path.is_dir():
        return Design.load(path)
    content = read_arch_file(path)
    data = parse_json(content, str(path))
    if isinstance(data, dict) and data.get("format") == FORMAT:
        return Design.from_json(content, str(path))
    try:
        return arch_from_data(data)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def backbone_of(network: Design | AnyArch) -> AnyArch:
    """Of a design its backbone; an architecture itself."""
    return network.arch if isinstance(network, Design) else network


def find_arch(text: str | Path) -> Arch:
    """As `find`, of a design its backbone; a UserError where that is a plain one."""
    return with_layers(backbone_of(find(text)), str(text))


def with_layers(arch: AnyArch, text: str) -> Arch:
    """The architecture; a UserError that names `text`, where it was found, for a plain backbone."""
    if isinstance(arch, Arch):
        return arch
    raise UserError(f"{text} is {arch.name}, which has no layers as data; fna train --backbone {arch.name} trains it")


def is_found(text: str) -> bool:
    """Whether `find` looks for it: a JSON file, a file or folder that exists, or a zoo name."""
    return Path(text).suffix == ".json" or Path(text).exists() or zoo.is_name(text)
