"""Parameter remapping: plan which layer starts from which, fit each tensor, report what happened.

Paper 3.1 and 4.4. Decisions are data (`plan`), the tensor rule is one small pure function (`fit`), inputs are never
changed, and everything that kept its initial value is in the report. Used unchanged for super networks and backbones.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fna.arch.arch import Arch
from fna.arch.space import Space
from fna.errors import unknown
from fna.weights.channels import WIDTHS, Axes, Weights, axes_of, select_channels, under, wanted_channels
from fna.weights.plan import Described, layers, plan


def centre(size: int, new: int) -> tuple[slice, slice]:
    """Where a kernel axis is read and written: the centre (Eq. 3), of whichever is smaller."""
    n = min(size, new)
    return slice((size - n) // 2, (size - n) // 2 + n), slice((new - n) // 2, (new - n) // 2 + n)


def dilate(size: int, new: int) -> tuple[slice, slice]:
    """Taps spread over the new axis (Eq. 6): 1 + i (k - 1) / 2 for a 3x3 seed; the centre when smaller.

    Where whole steps do not fill the axis (5 taps in 7), the seed's are in the middle of it.
    """
    if new <= size or size == 1:
        return centre(size, new)
    step = (new - 1) // (size - 1)
    span = (size - 1) * step + 1
    start = (new - span) // 2
    return slice(0, size), slice(start, start + span, step)


KERNELS: dict[str, Callable[[int, int], tuple[slice, slice]]] = {"centre": centre, "dilate": dilate}
"""Kernel strategies by name; `centre` is the paper's choice, `dilate` its Kernel-Dilate (Table 6)."""


def fit(
    source: Tensor,
    target: Tensor,
    kernel: Callable[[int, int], tuple[slice, slice]] = centre,
    keep_new_rows: bool = False,
    keep_new_columns: bool = False,
) -> Tensor:
    """`source` in the shape of `target`: leading channels (Eq. 2), kernel by `kernel` (Eq. 3), zeros elsewhere.

    Convolution weights (O, I, k, k); output channels that the source does not have keep the target's initial values
    with `keep_new_rows`, input channels with `keep_new_columns`, else they are zero. Norm vectors (C,) always keep
    the target's value there. A scalar is copied. Inputs are not changed.
    """
    if source.ndim == 0:
        return source.clone()
    if source.ndim == 1:
        n = min(len(source), len(target))
        return torch.cat([source[:n], target[n:]]).to(target.dtype)
    out = torch.zeros_like(target)
    rows, columns = min(len(source), len(target)), min(source.shape[1], target.shape[1])
    if keep_new_rows:
        out[rows:] = target[rows:]
    if keep_new_columns:
        out[:, columns:] = target[:, columns:]
    take_y, put_y = kernel(source.shape[2], target.shape[2])
    take_x, put_x = kernel(source.shape[3], target.shape[3])
    out[:rows, :columns, put_y, put_x] = source[:rows, :columns, take_y, take_x].to(target.dtype)
    return out


@dataclass(frozen=True, slots=True)
class Entry:
    """What happened to one target tensor: copied, cropped, zero-filled, or initial.

    The last two say what is where the seed has nothing: zeros, or the target's initial values.
    """

    target: str
    source: str | None
    action: str
    source_shape: tuple[int, ...]
    target_shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RemapReport:
    """One entry per target tensor, and the seed tensors that went nowhere."""

    entries: tuple[Entry, ...]
    unused: tuple[str, ...]

    def with_head(self, entries: tuple[Entry, ...]) -> "RemapReport":
        """The same with what a head took from the seed."""
        used = {entry.source for entry in entries}
        return RemapReport(self.entries + entries, tuple(name for name in self.unused if name not in used))

    def counts(self) -> dict[str, int]:
        """Number of target tensors per action."""
        actions = [entry.action for entry in self.entries]
        return {action: actions.count(action) for action in ("copied", "cropped", "zero-filled", "initial")}

    def text(self) -> str:
        """One line per tensor that was not simply copied, and a summary."""
        summary = ", ".join(f"{n} {action}" for action, n in self.counts().items())
        lines = [f"{len(self.entries)} tensors: {summary}; {len(self.unused)} seed tensors unused"]
        for e in self.entries:
            if e.action != "copied":
                lines.append(f"{e.action:<12} {e.target} {e.target_shape} from {e.source} {e.source_shape}")
        lines.extend(f"unused       {name}" for name in self.unused)
        return "\n".join(lines) + "\n"


def _action(source: Tensor, target: Tensor, keep_new_rows: bool, keep_new_columns: bool) -> str:
    if source.shape == target.shape:
        return "copied"
    grown = [t > s for s, t in zip(source.shape, target.shape, strict=True)]
    if not any(grown):
        return "cropped"
    initial = source.ndim == 1 or (keep_new_rows and grown[0]) or (keep_new_columns and grown[1])
    return "initial" if initial else "zero-filled"


def keeps_new(axes: Axes, target: Described) -> tuple[bool, bool]:
    """Whether new output channels, and new input channels, of a convolution keep their initial weights.

    A new channel must be zero on exactly one side, or it would never receive a gradient: those of an inner width are
    made with initial weights and read with zeros, those that a layer hands on are made as zeros and read with initial
    weights. Where the layer ends in an activation (the stem; ResNet's layers) that is the other way round, since
    through ReLU and ReLU6 there is no gradient at zero.
    """
    makes, reads = axes
    return makes != "out" or target.block.ends_in_activation, reads == "in" and target.new_inputs_are_zero


DEPTHS = ("copy", "identity")
"""Depth strategies: `copy` is the paper's; `identity` also silences an added layer, which keeps the function."""


def remap(
    seed: Arch,
    seed_weights: Weights,
    target: Arch | Space,
    target_weights: Weights,
    width: str = "first",
    kernel: str = "centre",
    depth: str = "copy",
) -> tuple[dict[str, Tensor], RemapReport]:
    """The weights of a network of `target`, started from the seed's; and what was done.

    `target_weights` are the target's initial weights (a state dict); they decide shapes and what stays where the seed
    has nothing. `width` is one of first, norm_scale, std, l1; `kernel` one of centre, dilate; `depth` one of copy,
    identity: a layer that the seed's stage does not have gets a last norm of zeros (scale and shift), so that it
    starts as the identity and learns from there. Growing a centred kernel, widening, and deepening with `identity`
    keep what is computed. Raises UserError for an unknown strategy. Nothing passed in is changed.
    """
    if width not in WIDTHS:
        raise unknown("width strategy", width, WIDTHS)
    if kernel not in KERNELS:
        raise unknown("kernel strategy", kernel, KERNELS)
    if depth not in DEPTHS:
        raise unknown("depth strategy", depth, DEPTHS)
    new = {name: tensor.clone() for name, tensor in target_weights.items()}
    entries: list[Entry] = []
    used: set[str] = set()
    described, own = layers(target), layers(seed)
    for copy in plan(seed, target):
        goal, block = described[copy.target], own[copy.source].block
        whole = under(seed_weights, copy.source)
        layer = select_channels(whole, block, wanted_channels(block, goal.block), width)
        axes, last_norm = axes_of(goal.block), f"{goal.block.main[-1].name}.norm."
        for name, initial in under(target_weights, copy.target).items():
            full = f"{copy.target}.{name}"
            if name not in layer:
                entries.append(Entry(full, None, "initial", (), tuple(initial.shape)))
                continue
            rows, columns = keeps_new(axes[name], goal) if initial.ndim == 4 else (False, False)
            new[full] = fit(layer[name], initial, KERNELS[kernel], rows, columns)
            used.add(f"{copy.source}.{name}")
            silent = copy.added and depth == "identity" and name in (f"{last_norm}weight", f"{last_norm}bias")
            if silent:
                new[full] = torch.zeros_like(initial)
            entries.append(
                Entry(
                    full,
                    f"{copy.source}.{name}",
                    "zero-filled" if silent else _action(whole[name], initial, rows, columns),
                    tuple(whole[name].shape),
                    tuple(initial.shape),
                )
            )
    named = {entry.target for entry in entries}
    entries.extend(Entry(n, None, "initial", (), tuple(t.shape)) for n, t in target_weights.items() if n not in named)
    return new, RemapReport(tuple(entries), tuple(name for name in seed_weights if name not in used))


def remap_last(seed_weights: Weights, head_weights: Weights) -> tuple[dict[str, Tensor], tuple[Entry, ...]]:
    """A head's weights with its last 1x1 convolution, where it has one, started from the seed's; and what was done.

    The authors take SSDLite's from the seed, and leave the rest of every head at its random start. A classifier's
    linear layer is the seed's where both have the same numbers of classes and channels. Nothing passed in is changed.
    """
    new, entries = dict(head_weights), []
    for name, source in seed_weights.items():
        if name.startswith("last.") and name in new:
            target = new[name]
            new[name] = fit(source, target, keep_new_rows=True)
            shapes = tuple(source.shape), tuple(target.shape)
            entries.append(Entry(f"head.{name}", name, _action(source, target, True, False), *shapes))
    linear = {name: target for name, target in new.items() if name.startswith("linear.")}
    kept = all(name in seed_weights and seed_weights[name].shape == target.shape for name, target in linear.items())
    for name, target in linear.items():
        shape = tuple(target.shape)
        if kept:
            new[name] = seed_weights[name].clone()
        entries.append(Entry(f"head.{name}", name if kept else None, "copied" if kept else "initial", shape, shape))
    return new, tuple(entries)
