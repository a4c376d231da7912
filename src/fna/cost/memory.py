"""Peak activation memory, counted from the data: the most that must live at once while a convolution runs.

Alive during a convolution are its input, its output, and every output that something after it still reads: the input of
a layer with a shortcut, a stage that a head taps, branches that wait to be joined, predictions of a detector. Norms and
activations work in place; what is joined, summed, pooled or resized on the way is one tensor, the input of the
convolution that reads it. One image, four bytes a number; weights and what a library adds (copies, workspaces) are not
counted. Convolutions run in the order of the data, each as soon as all that it reads is there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from fna.arch.arch import HW, Arch, Place, Tap, placed, shrink
from fna.arch.convs import Block, Conv, Gate
from fna.arch.design import Design
from fna.arch.heads import Head, HeadConv, OutsideHead, grid
from fna.arch.layers import Skip
from fna.arch.space import Space
from fna.errors import UserError

BYTES = 4
"""Of a number in single precision."""


@dataclass(frozen=True, slots=True)
class Step:
    """One convolution, named as its output of `made` numbers.

    Its input, of `taken` numbers, is made of the outputs `reads`; `keeps` are needed right after it. `left` numbers of
    the output remain for its readers, where it is pooled at once.
    """

    name: str
    reads: tuple[str, ...]
    taken: int
    made: int
    keeps: tuple[str, ...] = ()
    left: int | None = None

    @property
    def size(self) -> int:
        """Numbers that wait for readers."""
        return self.made if self.left is None else self.left


def peak_memory(arch: Arch, head: Head | None, imgsz: HW, output_stride: int = 32) -> int:
    """Bytes for one image of `imgsz` (height, width); `head` None is the backbone alone.

    Raises UserError for another library's head, whose convolutions are no data.
    """
    if isinstance(head, OutsideHead):
        raise UserError(f"the memory of {head.name} is not known: it is another library's module")
    return max(memory_by_step(arch, head, imgsz, output_stride).values())


def design_memory(design: Design, classes: int) -> int:
    """Bytes for one image of the design's size; its backbone has layers as data."""
    assert isinstance(design.arch, Arch)
    return peak_memory(design.arch, design.described(classes), design.imgsz, design.output_stride)


def candidate_memory(space: Space, design: Design, classes: int) -> list[list[int]]:
    """The peak in every candidate of every searched layer; 0 for an identity. It depends on no other layer's choice."""
    head = design.described(classes)
    first = [0] * len(space.searched)

    def peak(layer: int, candidate: int) -> int:
        name, candidates = space.searched[layer]
        if isinstance(candidates[candidate], Skip):
            return 0
        path = [*first[:layer], candidate, *first[layer + 1 :]]
        steps = memory_by_step(space.pick(path), head, design.imgsz, design.output_stride)
        return max(size for step, size in steps.items() if step.startswith(f"{name}."))

    return [[peak(d, c) for c in range(len(candidates))] for d, (_, candidates) in enumerate(space.searched)]


def memory_by_step(arch: Arch, head: Head | None, imgsz: HW, output_stride: int) -> dict[str, int]:
    """Bytes alive during every convolution, by its name, in the order in which they run."""
    steps, taps = backbone_steps(arch, imgsz, output_stride)
    if head is not None:
        sizes = {step.name: step.size for step in steps}
        named = {f"tap.{i}": taps[tap] for i, tap in enumerate(head.taps)}
        steps += in_order(head_steps(head, arch, named, sizes, imgsz, output_stride), set(sizes))
    return {step.name: BYTES * size for step, size in zip(steps, alive(steps), strict=True)}


def alive(steps: Sequence[Step]) -> list[int]:
    """Numbers alive during each step. An output is needed up to its last reader, to the end where it has none."""
    needed: dict[str, int] = {}
    for i, step in enumerate(steps):
        needed |= {name: max(i - 1, needed.get(name, 0)) for name in step.reads}
        needed |= {name: i for name in step.keeps}
    sizes = []
    for i, step in enumerate(steps):
        waiting = [earlier for earlier in steps[:i] if needed.get(earlier.name, len(steps)) >= i]
        # An output that is read as it is, and later again, is the input itself and no second tensor.
        others = (e.size for e in waiting if not (step.reads == (e.name,) and e.size == step.taken))
        sizes.append(step.taken + step.made + sum(others))
    return sizes


def backbone_steps(arch: Arch, imgsz: HW, output_stride: int) -> tuple[list[Step], dict[Tap, str]]:
    """Stem and stages, and the output that is each tap."""
    stem = arch.frame.stem(arch.stem)
    pooled = imgsz
    for _ in range(arch.frame.stem_stride.bit_length() - 1):
        pooled = shrink(pooled, 2)
    made, left = (stem.cout * prod(hw) for hw in (shrink(imgsz, stem.stride), pooled))
    steps = [Step("stem", (), stem.cin * prod(imgsz), made, left=left)]
    taps: dict[Tap, str] = {}
    for place, op in placed(arch, imgsz, output_stride):
        source, block = steps[-1].name, place.block(op)
        steps += layer_steps(place, block, source)
        inside = [conv.name for conv in block.main if conv.name == block.inside]
        taps.setdefault(Tap(place.stage, expanded=True), f"{place.name}.{inside[0]}" if inside else source)
        taps[Tap(place.stage)] = steps[-1].name
    return steps, taps


def layer_steps(place: Place, block: Block, source: str) -> list[Step]:
    """The convolutions of a layer that reads the output `source`, which its shortcut keeps for the sum at its end."""
    steps: list[Step] = []
    hw = place.in_hw
    reads: tuple[str, ...] = (source,)

    def add(conv: Conv, reads: tuple[str, ...], before: int, after: int, *keeps: str) -> str:
        steps.append(Step(f"{place.name}.{conv.name}", reads, conv.cin * before, conv.cout * after, keeps))
        return steps[-1].name

    for part in block.parts:
        if isinstance(part, Gate):
            # Two convolutions of one pixel, while all pixels wait to be scaled.
            squeezed = add(part.squeeze, reads, 1, 1, *reads)
            reads = (*reads, add(part.excite, (squeezed,), 1, 1, *reads))
        else:
            out = shrink(hw, part.stride)
            reads = (add(part, reads, prod(hw), prod(out)),)
            hw = out
    if isinstance(block.shortcut, Conv):
        add(block.shortcut, (source,), prod(place.in_hw), prod(hw), *reads)
    elif block.shortcut:
        steps[-1] = replace(steps[-1], keeps=(source,))
    return steps


def head_steps(
    head: Head, arch: Arch, taps: Mapping[str, str], sizes: Mapping[str, int], imgsz: HW, output_stride: int
) -> list[Step]:
    """The convolutions of a head at every level where they run; a tower that levels share runs level after level.

    `taps` are the outputs that `tap.0`, ... stand for, `sizes` those of the backbone's outputs.
    """
    wiring, known, steps = head.kind.reads(head), dict(sizes), []
    before = f"tap.{len(taps) - 1}"
    for tower in towers(head, wiring):
        for level, at in enumerate(tower[0].at):
            for part in tower:
                conv, mark = part.conv, f"@{level}" if len(part.at) > 1 else ""
                reads = wiring.get(conv.name, (before + mark if part is not tower[0] else before,))
                # The first of a shared tower reads another output at each level.
                reads = reads[level : level + 1] if mark and conv.name in wiring else reads
                reads = tuple(taps.get(name, name) for name in reads)
                pixels = prod(grid(at, head.taps, arch, imgsz, output_stride))
                taken = conv.cin * pixels if conv.stride == 1 else known[reads[0]]
                steps.append(Step(conv.name + mark, reads, taken, conv.cout * pixels))
                known[steps[-1].name] = steps[-1].made
                before = conv.name
    return steps


def towers(head: Head, wiring: Mapping[str, tuple[str, ...]]) -> list[list[HeadConv]]:
    """The convolutions by themselves, but those that levels share with what follows them at every level."""
    found: list[list[HeadConv]] = []
    for part in head.convs:
        follows = len(part.at) > 1 and part.conv.name not in wiring
        if follows:
            found[-1].append(part)
        else:
            found.append([part])
    return found


def in_order(steps: Sequence[Step], made: set[str]) -> list[Step]:
    """The steps, each after all that it reads; `made` are the outputs that are there before."""
    left, ordered = list(steps), []
    while left:
        step = next(step for step in left if made.issuperset(step.reads))
        left.remove(step)
        made = {*made, step.name}
        ordered.append(step)
    return ordered
