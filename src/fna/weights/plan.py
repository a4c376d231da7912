"""Which layer of a network starts from which layer of the seed, as data."""

from dataclasses import dataclass

from fna.arch.arch import Arch, placed
from fna.arch.convs import Block
from fna.arch.layers import Op, Skip, key
from fna.arch.space import Space, space_places
from fna.errors import UserError


@dataclass(frozen=True, slots=True)
class Copy:
    """A target layer (by its name in the state dict), the seed layer it starts from, and whether the seed lacks it."""

    target: str
    source: str
    added: bool = False


def plan(seed: Arch, target: Arch | Space) -> tuple[Copy, ...]:
    """Pair every layer of `target` with the seed layer it starts from (depth rule, paper 3.1).

    Layer i of a stage starts from seed layer min(i, l), l being the seed stage's depth: the paper's Eq. 1 prints
    max(i, l), its text, its figure 2 and the authors' code mean the minimum. A shallower stage takes the first layers.
    Every candidate of a space's layer starts from the same seed layer. Raises UserError for another number of stages.
    """
    if len(seed.stages) != len(target.stages):
        raise UserError(
            f"the seed has {len(seed.stages)} stages, the target {len(target.stages)}; give both the same number"
        )
    copies = []
    for name, described in layers(target).items():
        if described.stage is None:
            copies.append(Copy(name, name))
            continue
        depth = len(seed.stages[described.stage].layers)
        source = f"stages.{described.stage}.{min(described.index, depth - 1)}"
        copies.append(Copy(name, source, described.index >= depth))
    return tuple(copies)


@dataclass(frozen=True, slots=True)
class Described:
    """A layer of a network: its block, where it stands (no stage: the stem), and how new inputs of it come about.

    `new_inputs_are_zero`: whether input channels that the seed lacks are made as zeros by the layer before.
    """

    block: Block
    stage: int | None = None
    index: int = 0
    new_inputs_are_zero: bool = False


def layers(network: Arch | Space) -> dict[str, Described]:
    """Stem, and every layer of an architecture or candidate of a space, by its name in the state dict."""
    found = {"stem": Described(Block((network.frame.stem(network.stem),)))}
    before = found["stem"].block
    places = space_places(network) if isinstance(network, Space) else placed(network)
    indices: dict[int, int] = {}
    for place, ops in places:
        index = indices.get(place.stage, 0)
        indices[place.stage] = index + 1
        candidates: tuple[Op, ...] = ops if isinstance(ops, tuple) else (ops,)
        after = before
        for op in candidates:
            if isinstance(op, Skip):
                continue
            after = place.block(op)
            name = f"{place.name}.{key(op)}" if isinstance(ops, tuple) else place.name
            found[name] = Described(after, place.stage, index, not before.ends_in_activation)
        before = after
    return found
