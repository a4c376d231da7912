"""A space is an architecture with candidates at each layer."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from fna.arch.arch import HW, Arch, Place, Stage, places
from fna.arch.layers import MBConv, Op, Skip
from fna.errors import UserError, unknown

Path = tuple[int, ...]
"""One candidate index per searched layer."""

SPACES: dict[str, tuple[tuple[int, ...], frozenset[str]]] = {
    "segmentation": ((4, 4, 6, 6, 4, 1), frozenset()),  # paper 4.1
    "retinanet": ((4, 4, 4, 4, 4, 1), frozenset()),  # paper 4.2
    # The SSDLite head reads the expanded tensor of the first layer of the 160 stage, whose width must not change.
    "ssdlite": ((4, 4, 4, 4, 4, 1), frozenset({"stages.5.0"})),
}
"""Depths of the searched stages, and the layers that keep the seed's expansion."""
KERNELS = (3, 5, 7)
EXPANSIONS = (3, 6)
"""Candidates of every searched layer, paper 3.2."""


@dataclass(frozen=True, slots=True)
class SpaceStage:
    """A stage whose layers each have one (fixed) or several (searched) candidates."""

    channels: int
    stride: int
    candidates: tuple[tuple[Op, ...], ...]


def largest_op(candidates: Sequence[Op]) -> MBConv:
    """The widest expansion with the largest kernel among the candidates."""
    ops = [op for op in candidates if isinstance(op, MBConv)]
    return MBConv(max(op.kernel for op in ops), max(op.expansion for op in ops))


@dataclass(frozen=True, slots=True)
class Space:
    """Everything the super network can be."""

    stem: int
    stages: tuple[SpaceStage, ...]
    last: int

    @property
    def searched(self) -> tuple[tuple[str, tuple[Op, ...]], ...]:
        """Name and candidates of each searched layer, in order; a path indexes these."""
        return tuple(
            (f"stages.{s}.{i}", candidates)
            for s, stage in enumerate(self.stages)
            for i, candidates in enumerate(stage.candidates)
            if len(candidates) > 1
        )

    @property
    def largest(self) -> "Space":
        """Each layer's widest candidate with the largest kernel only: every other candidate is a part of it."""
        stages = tuple(
            SpaceStage(stage.channels, stage.stride, tuple((largest_op(layer),) for layer in stage.candidates))
            for stage in self.stages
        )
        return Space(self.stem, stages, self.last)

    @property
    def size_log10(self) -> float:
        """log10 of the number of paths."""
        return sum(math.log10(len(candidates)) for _, candidates in self.searched)

    def choices(self, path: Sequence[int]) -> list[list[Op]]:
        """The op at every layer of every stage under `path`, identities included."""
        self.check_path(path)
        chosen = iter(path)
        return [
            [layer[next(chosen)] if len(layer) > 1 else layer[0] for layer in stage.candidates] for stage in self.stages
        ]

    def check_path(self, path: Sequence[int]) -> None:
        """Refuse a path of the wrong length or with an index that no candidate has."""
        searched = self.searched
        if len(path) != len(searched):
            raise UserError(f"a path of this space has {len(searched)} choices, got {len(path)}")
        for (name, candidates), choice in zip(searched, path, strict=True):
            if not 0 <= choice < len(candidates):
                raise UserError(f"{name} has candidates 0 to {len(candidates) - 1}, got {choice}")

    def pick(self, path: Sequence[int]) -> Arch:
        """The architecture on `path`; identities vanish and later layers of the stage move up."""
        stages = tuple(
            Stage(stage.channels, stage.stride, tuple(op for op in ops if isinstance(op, MBConv)))
            for stage, ops in zip(self.stages, self.choices(path), strict=True)
        )
        return Arch(self.stem, stages, self.last)

    def path_of(self, arch: Arch) -> Path:
        """The path that gives `arch`, missing layers as identities at the stage's end."""
        if len(arch.stages) != len(self.stages):
            raise UserError(f"the architecture has {len(arch.stages)} stages, the space has {len(self.stages)}")
        path: list[int] = []
        for s, (stage, wanted) in enumerate(zip(self.stages, arch.stages, strict=True)):
            ops: list[Op] = [*wanted.layers, *[Skip()] * (len(stage.candidates) - len(wanted.layers))]
            if len(ops) != len(stage.candidates):
                raise UserError(f"stage {s} has {len(ops)} layers, the space has room for {len(stage.candidates)}")
            for i, (op, candidates) in enumerate(zip(ops, stage.candidates, strict=True)):
                if op not in candidates:
                    raise UserError(f"stages.{s}.{i}: {op} is not a candidate ({', '.join(map(str, candidates))})")
                if len(candidates) > 1:
                    path.append(candidates.index(op))
        return tuple(path)


def expand(
    seed: Arch,
    depths: Sequence[int] = SPACES["segmentation"][0],
    kernels: Sequence[int] = KERNELS,
    expansions: Sequence[int] = EXPANSIONS,
    keep_expansion: Collection[str] = (),
) -> Space:
    """Expand a seed to a space (paper 3.2).

    Searched are the stages whose seed layers all expand by 6; `depths` has one number of layers for each of them. The
    identity is a candidate everywhere but in a stage's first layer, which changes the width. Layers named in
    `keep_expansion` only get candidates of the seed's expansion, for heads that read their expanded channels.
    """
    for name, values in (("depths", depths), ("kernels", kernels), ("expansions", expansions)):
        if not values or any(not isinstance(v, int) or v < 1 for v in values):
            raise UserError(f"{name} must be whole numbers of at least 1, got {list(values)}")
    searched = [s for s, stage in enumerate(seed.stages) if all(layer.expansion == 6 for layer in stage.layers)]
    if len(depths) != len(searched):
        raise UserError(
            f"the seed has {len(searched)} searched stages, depths has {len(depths)} numbers: {list(depths)}"
        )
    ops = tuple(MBConv(k, e) for e in expansions for k in kernels)
    room = dict(zip(searched, depths, strict=True))
    stages = []
    for s, stage in enumerate(seed.stages):
        candidates: tuple[tuple[Op, ...], ...] = tuple((layer,) for layer in stage.layers)
        if s in room:
            candidates = tuple(
                tuple(op for op in ops if f"stages.{s}.{i}" not in keep_expansion or op.expansion == 6)
                + ((Skip(),) if i else ())
                for i in range(room[s])
            )
        stages.append(SpaceStage(stage.channels, stage.stride, candidates))
    return Space(seed.stem, tuple(stages), seed.last)


def named_space(seed: Arch, name: str) -> Space:
    """The space of the paper with this name, expanded from `seed`."""
    if name not in SPACES:
        raise unknown("space", name, SPACES)
    depths, keep_expansion = SPACES[name]
    return expand(seed, depths, keep_expansion=keep_expansion)


def space_places(space: Space, imgsz: HW = (224, 224), output_stride: int = 32) -> list[tuple[Place, tuple[Op, ...]]]:
    """Every layer's place and candidates."""
    shape = tuple((stage.channels, stage.stride, len(stage.candidates)) for stage in space.stages)
    candidates = [layer for stage in space.stages for layer in stage.candidates]
    return list(zip(places(space.stem, shape, imgsz, output_stride), candidates, strict=True))


def searched_places(space: Space, imgsz: HW, output_stride: int = 32) -> list[tuple[Place, tuple[Op, ...]]]:
    """Place and candidates of the searched layers only, in path order."""
    return [item for item in space_places(space, imgsz, output_stride) if len(item[1]) > 1]
