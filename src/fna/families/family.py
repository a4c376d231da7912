"""What a family of networks is: published architectures, and how checkpoints become one of them."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from fna.arch.arch import Arch, Stage, placed
from fna.arch.convs import Conv
from fna.arch.frame import Frame
from fna.arch.layers import Skip, parse_op

Names = Iterator[tuple[str, str]]
"""(another library's module, ours) of convolutions and norms, the stem's convolution first."""


@dataclass(frozen=True)
class Library:
    """How another library names the modules of an architecture, and how it pads and normalises."""

    names: Callable[[Arch], Names]
    same_padding: bool = False
    epsilon: float = 1e-5


@dataclass(frozen=True)
class Found:
    """What a checkpoint is by its keys: the library that names it so, and the published architecture of its depth."""

    library: Library
    variant: Arch

    @property
    def table(self) -> dict[str, str]:
        """Ours by the library's names of modules."""
        return dict(self.library.names(self.variant))

    def arch(self, shapes: Mapping[str, tuple[int, ...]]) -> Arch:
        """The variant with the channels, kernels and expansions of these tensors, by our names."""
        stages, cin = [], shapes["stem.conv.weight"][0]
        frame = replace(self.variant.frame, same_padding=self.library.same_padding, epsilon=self.library.epsilon)
        for s, stage in enumerate(self.variant.stages):
            layers = []
            for i, op in enumerate(stage.layers):
                weights = _weights_of(f"stages.{s}.{i}.", shapes)
                layers.append(op.fitted(weights, cin))
                cin = weights[op.block(1, 1).main[-1].name][0]
            stages.append(Stage(cin, stage.stride, tuple(layers)))
        if frame.pooled:
            frame = replace(frame, pooled=shapes["pooled.conv.weight"][0])
        last = shapes.get("last.conv.weight", (self.variant.last,))[0]
        return Arch(shapes["stem.conv.weight"][0], tuple(stages), last, frame)


def _weights_of(layer: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The shapes of a layer's convolution weights, by the convolution's name."""
    ending = ".conv.weight"
    return {
        name.removeprefix(layer).removesuffix(ending): shape
        for name, shape in shapes.items()
        if name.startswith(layer) and name.endswith(ending)
    }


@dataclass(frozen=True)
class Family:
    """Published architectures by name, and the libraries whose checkpoints of them can be read, by name.

    `classifier` are the names that libraries give to the last linear layer.
    """

    name: str
    archs: Mapping[str, Arch]
    libraries: Mapping[str, Library]
    classifier: tuple[str, ...]

    def find(self, keys: Collection[str]) -> Found | None:
        """What a checkpoint with these keys is: most of its names fit; None where the stem's is not among them."""
        candidates = [
            (Found(library, variant), dict(library.names(variant)))
            for library in self.libraries.values()
            for variant in self.archs.values()
        ]
        fitting = [(found, table) for found, table in candidates if f"{next(iter(table))}.weight" in keys]
        modules = {key.rpartition(".")[0] for key in keys}
        best = max(fitting, key=lambda item: 2 * len(modules & item[1].keys()) - len(item[1]), default=None)
        return None if best is None else best[0]


def build(stem: int, stages: tuple[tuple[int, int, str], ...], last: int, frame: Frame) -> Arch:
    """An architecture from (channels, stride, ops in one string) of each stage."""
    return Arch(
        stem,
        tuple(
            Stage(channels, stride, tuple(op for op in map(parse_op, ops.split()) if not isinstance(op, Skip)))
            for channels, stride, ops in stages
        ),
        last,
        frame,
    )


def convs_of(arch: Arch) -> dict[str, Conv]:
    """Every convolution of a seed, by its name in the state dict; the classifier's linear layer is none."""
    found = {"stem": arch.frame.stem(arch.stem)}
    found |= {conv.name: conv for conv in arch.frame.last(arch.stages[-1].channels, arch.last)}
    for place, op in placed(arch):
        found |= {f"{place.name}.{conv.name}": conv for conv in place.block(op).convs}
    return found
