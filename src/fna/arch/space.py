"""A space is an architecture with candidates at each layer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from fna.arch.arch import HW, Arch, Place, Stage, Tap, places
from fna.arch.decision import Decision, Path
from fna.arch.frame import MOBILENET_V2, Frame
from fna.arch.heads import HEADS, describe
from fna.arch.layers import LayerOp, Op, Skip
from fna.errors import UserError, unknown

SPACES: dict[str, tuple[tuple[int, ...], str]] = {
    "segmentation": ((4, 4, 6, 6, 4, 1), "deeplabv3"),  # paper 4.1
    "retinanet": ((4, 4, 4, 4, 4, 1), "retinanet"),  # paper 4.2
    "ssdlite": ((4, 4, 4, 4, 4, 1), "ssdlite"),  # paper 4.2
}
"""Depths of the searched stages of the paper's spaces, and the head that reads them."""
KERNELS = (3, 5, 7)
EXPANSIONS = (3, 6)
"""Candidates of every searched layer, paper 3.2."""


@dataclass(frozen=True, slots=True)
class SpaceStage:
    """A stage whose layers each have one (fixed) or several (searched) candidates."""

    channels: int
    stride: int
    candidates: tuple[tuple[Op, ...], ...]


def largest_op(candidates: Sequence[Op]) -> LayerOp:
    """The widest expansion with the largest kernel among the candidates; a UserError where they differ in more."""
    ops = [op for op in candidates if not isinstance(op, Skip)]
    kinds = {replace(op, kernel=1, expansion=1) for op in ops}
    if len(kinds) != 1:
        raise UserError(
            f"candidates that share weights must be of one kind, got {', '.join(map(str, ops))}; "
            "give each its own weights with --search.share false"
        )
    return replace(ops[0], kernel=max(op.kernel for op in ops), expansion=max(op.expansion for op in ops))


@dataclass(frozen=True, slots=True)
class Space:
    """Everything the super network can be."""

    stem: int
    stages: tuple[SpaceStage, ...]
    last: int
    frame: Frame = MOBILENET_V2

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
        return replace(self, stages=stages)

    def ops_on(self, path: Sequence[int]) -> list[list[Op]]:
        """The op at every layer of every stage under `path`, identities included."""
        self.check_path(path)
        chosen = iter(path)
        return [
            [layer[next(chosen)] if len(layer) > 1 else layer[0] for layer in stage.candidates] for stage in self.stages
        ]

    def layer_decisions(self, seed_path: Path) -> tuple[Decision, ...]:
        """Every layer decides for itself; an option is one of its candidates."""
        return tuple(
            Decision(name, tuple(map(str, ops)), own, tuple((c,) for c in range(len(ops))))
            for (name, ops), own in zip(self.searched, seed_path, strict=True)
        )

    def stage_decisions(self, seed_path: Path) -> tuple[Decision, ...]:
        """Every stage decides as a whole: one kernel, one expansion, and how many layers; or what the seed has.

        Far fewer options than the product of the layers' candidates, and each changes several layers at once, so that
        its effect is larger than the noise of measuring it. A layer without the expansion takes what it has. The
        seed's option is the first.
        """
        decisions, first = [], 0
        for s, stage in enumerate(self.stages):
            layers = [candidates for candidates in stage.candidates if len(candidates) > 1]
            if not layers:
                continue
            own = tuple(seed_path[first : first + len(layers)])
            name = f"stages.{s}" if len(layers) > 1 else self.searched[first][0]
            first += len(layers)
            ops = [op for op in layers[-1] if not isinstance(op, Skip)]
            deep = [d for d in range(len(layers) + 1) if all(Skip() in candidates for candidates in layers[d:])]
            uniform = [
                tuple(
                    _nearest(candidates, op) if i < depth else candidates.index(Skip())
                    for i, candidates in enumerate(layers)
                )
                for depth in deep
                for op in ops
            ]
            options = tuple(dict.fromkeys([own, *uniform]))
            decisions.append(Decision(name, tuple(_stage_text(layers, option) for option in options), 0, options))
        return tuple(decisions)

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
            Stage(stage.channels, stage.stride, tuple(op for op in ops if not isinstance(op, Skip)))
            for stage, ops in zip(self.stages, self.ops_on(path), strict=True)
        )
        return Arch(self.stem, stages, self.last, self.frame)

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


GROUPINGS: dict[str, Callable[[Space, Path], tuple[Decision, ...]]] = {
    "stage": Space.stage_decisions,
    "layer": Space.layer_decisions,
}
"""What decides as one, by name (`search.swap`), from a space and the seed's path."""


def _stage_text(layers: Sequence[Sequence[Op]], option: Path) -> str:
    """The layers of an option, without identities; `skip` where it has no layer at all."""
    ops = [str(ops[c]) for ops, c in zip(layers, option, strict=True)]
    return " ".join(op for op in ops if op != "skip") or "skip"


def _nearest(candidates: Sequence[Op], op: LayerOp) -> int:
    """The candidate with the kernel and expansion of `op`, or one with its kernel where the layer lacks the two."""
    alike = [(c, other) for c, other in enumerate(candidates) if not isinstance(other, Skip)]
    alike = [(c, other) for c, other in alike if other.kernel == op.kernel]
    return next((c for c, other in alike if other.expansion == op.expansion), alike[0][0])


def expands(stage: Stage) -> bool:
    """Whether all of a stage's layers are wider inside than their input, so that there is an expansion to search."""
    return all(layer.expansion > 1 for layer in stage.layers)


def expand(
    seed: Arch,
    depths: Sequence[int] = SPACES["segmentation"][0],
    kernels: Sequence[int] = KERNELS,
    expansions: Sequence[float] = EXPANSIONS,
    taps: Sequence[Tap] = (),
    searched: Sequence[int] | None = None,
) -> Space:
    """Expand a seed to a space (paper 3.2).

    Searched are the stages named in `searched`, else those whose seed layers all expand; `depths` has one number of
    layers for each of them. The candidates of a layer are of the kind of the seed layer that it starts from, with its
    gate, activation and groups, and vary in kernel and expansion; the seed's own is always one of them. The identity is
    a candidate everywhere but in a stage's first layer, which changes the width. A layer whose expanded tensor one of
    the `taps` reads only gets candidates of the seed's expansion: the head needs one width.
    """
    for name, values in (("depths", depths), ("kernels", kernels)):
        if not values or any(not isinstance(v, int) or v < 1 for v in values):
            raise UserError(f"{name} must be whole numbers of at least 1, got {list(values)}")
    if not expansions or any(not v > 0 for v in expansions):
        raise UserError(f"expansions must be numbers above 0, got {list(expansions)}")
    chosen = [s for s, stage in enumerate(seed.stages) if expands(stage)] if searched is None else list(searched)
    if len(depths) != len(chosen):
        raise UserError(f"the seed has {len(chosen)} searched stages, depths has {len(depths)} numbers: {list(depths)}")
    room = dict(zip(chosen, depths, strict=True))
    read_inside = {tap.stage for tap in taps if tap.expanded}
    stages = []
    for s, stage in enumerate(seed.stages):
        candidates: tuple[tuple[Op, ...], ...] = tuple((layer,) for layer in stage.layers)
        if s in room:
            seeds = [stage.layers[min(i, len(stage.layers) - 1)] for i in range(room[s])]
            first = (seeds[0].expansion,) if s in read_inside else expansions
            candidates = (
                _candidates(seeds[0], kernels, first),
                *((*_candidates(own, kernels, expansions), Skip()) for own in seeds[1:]),
            )
        stages.append(SpaceStage(stage.channels, stage.stride, candidates))
    return Space(seed.stem, tuple(stages), seed.last, seed.frame)


def _candidates(own: LayerOp, kernels: Sequence[int], expansions: Sequence[float]) -> tuple[Op, ...]:
    """Layers of the kind of `own` in all kernels and expansions, and itself."""
    varied: tuple[Op, ...] = tuple(replace(own, kernel=k, expansion=e) for e in expansions for k in kernels)
    return varied if own in varied else (*varied, own)


def named_space(seed: Arch, name: str) -> Space:
    """The space of the paper with this name, expanded from `seed`."""
    if name not in SPACES:
        raise unknown("space", name, SPACES)
    depths, head = SPACES[name]
    # The taps depend neither on the number of classes nor on the output stride.
    return expand(seed, depths, taps=describe(head, seed, 1, HEADS[head].output_stride).taps)


def space_places(space: Space, imgsz: HW = (224, 224), output_stride: int = 32) -> list[tuple[Place, tuple[Op, ...]]]:
    """Every layer's place and candidates."""
    shape = tuple((stage.channels, stage.stride, len(stage.candidates)) for stage in space.stages)
    candidates = [layer for stage in space.stages for layer in stage.candidates]
    return list(zip(places(space.stem, shape, imgsz, output_stride, space.frame), candidates, strict=True))


def searched_places(space: Space, imgsz: HW, output_stride: int = 32) -> list[tuple[Place, tuple[Op, ...]]]:
    """Place and candidates of the searched layers only, in path order."""
    return [item for item in space_places(space, imgsz, output_stride) if len(item[1]) > 1]
