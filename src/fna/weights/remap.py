"""Parameter remapping: plan which layer starts from which, fit each tensor, report what happened.

Paper 3.1 and 4.4. Decisions are data (`plan`), the tensor rule is one small pure function (`fit`), inputs are never
changed, and everything that kept its initial value is in the report. Used unchanged for super networks and backbones.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fna.arch.arch import Arch, Stage
from fna.arch.layers import MBConv, Op
from fna.arch.space import Space, SpaceStage
from fna.errors import UserError, unknown

Weights = Mapping[str, Tensor]


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
    stages: Sequence[Stage | SpaceStage] = target.stages
    if len(seed.stages) != len(stages):
        raise UserError(f"the seed has {len(seed.stages)} stages, the target {len(stages)}; give both the same number")
    copies = [Copy("stem", "stem")]
    for s, (old, new) in enumerate(zip(seed.stages, stages, strict=True)):
        layers: Sequence[MBConv | tuple[Op, ...]] = new.layers if isinstance(new, Stage) else new.candidates
        for i, layer in enumerate(layers):
            source, added = f"stages.{s}.{min(i, len(old.layers) - 1)}", i >= len(old.layers)
            if isinstance(layer, MBConv):
                copies.append(Copy(f"stages.{s}.{i}", source, added))
            else:
                copies.extend(Copy(f"stages.{s}.{i}.{op}", source, added) for op in layer if isinstance(op, MBConv))
    return tuple(copies)


def centre(size: int, new: int) -> tuple[slice, slice]:
    """Where a kernel axis is read and written: the centre (Eq. 3), of whichever is smaller."""
    n = min(size, new)
    return slice((size - n) // 2, (size - n) // 2 + n), slice((new - n) // 2, (new - n) // 2 + n)


def dilate(size: int, new: int) -> tuple[slice, slice]:
    """Taps spread over the whole new axis (Eq. 6): 1 + i (k - 1) / 2 for a 3x3 seed; the centre when smaller."""
    if new <= size or size == 1:
        return centre(size, new)
    step = (new - 1) // (size - 1)
    return slice(0, size), slice(0, new, step)


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


def _first(layer: Weights) -> Tensor | None:
    return None


def _reference(layer: Weights) -> Tensor:
    """The convolution that makes the expanded channels: expand, or depthwise where there is none. (hidden, rest)"""
    weight = layer.get("expand.conv.weight", layer["depthwise.conv.weight"])
    return weight.flatten(1)


WIDTHS: dict[str, Callable[[Weights], Tensor | None]] = {
    "first": _first,  # the paper's choice: the leading channels (Eq. 2)
    "norm_scale": lambda layer: layer["depthwise.norm.weight"].abs(),  # Width-BN
    "std": lambda layer: _reference(layer).std(1),  # Width-Std
    "l1": lambda layer: _reference(layer).abs().sum(1),  # Width-L1
}
"""Width strategies by name: the reference vector of Algorithm 1 over a layer's expanded channels (paper 4.4)."""


def select_channels(layer: Weights, hidden: int, strategy: str) -> Weights:
    """The layer with only `hidden` of its expanded channels: the top ones of the reference vector, in ascending order.

    One set of channels for expand, depthwise, both norms and the input side of project (Algorithm 1, indices sorted).
    Nothing to choose (as many channels, or more wanted than there are) returns the layer itself.
    """
    reference = WIDTHS[strategy](layer)
    if reference is None or hidden >= len(reference):
        return layer
    return take_channels(layer, reference.topk(hidden).indices.sort().values)


def take_channels(layer: Weights, keep: Tensor) -> dict[str, Tensor]:
    """The layer with the expanded channels `keep` (indices), in that order."""
    chosen = {}
    for name, tensor in layer.items():
        if name == "project.conv.weight":
            chosen[name] = tensor[:, keep]
        elif name.startswith(("expand.", "depthwise.")) and tensor.ndim:
            chosen[name] = tensor[keep]
        else:
            chosen[name] = tensor
    return chosen


def sort_channels(arch: Arch, weights: Weights, strategy: str) -> dict[str, Tensor]:
    """The same network with every layer's expanded channels in falling order of the strategy's reference vector.

    What it computes does not change. A super network whose narrow candidates are the leading channels of the wide one
    thereby contains exactly the channels that remapping with `strategy` would choose. `first` changes nothing.
    """
    new = dict(weights)
    for s, stage in enumerate(arch.stages):
        for i, op in enumerate(stage.layers):
            layer = _under(weights, f"stages.{s}.{i}")
            reference = WIDTHS[strategy](layer)
            # Without an expand convolution the expanded channels are the layer's input, whose order others rely on.
            if reference is not None and op.expansion > 1:
                sorted_layer = take_channels(layer, reference.argsort(descending=True, stable=True))
                new |= {f"stages.{s}.{i}.{name}": tensor for name, tensor in sorted_layer.items()}
    return new


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


# A new channel must be zero on exactly one side, or it would never receive a gradient: new expanded channels are made
# with initial weights and read with zeros (project); new stage outputs are made as zeros and read with initial weights.
# The stem's new channels (its one convolution is "conv") are like expanded ones: ReLU6 passes no gradient at zero.
KEEP_NEW = {"conv": (True, False), "expand": (True, True), "depthwise": (True, False)}


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
    for copy in plan(seed, target):
        whole = _under(seed_weights, copy.source)
        wanted = _under(target_weights, copy.target)
        hidden = len(wanted["depthwise.conv.weight"]) if "depthwise.conv.weight" in wanted else 0
        layer = select_channels(whole, hidden, width) if hidden else whole
        for name, initial in wanted.items():
            full = f"{copy.target}.{name}"
            if name not in layer:
                entries.append(Entry(full, None, "initial", (), tuple(initial.shape)))
                continue
            rows, columns = KEEP_NEW.get(name.split(".")[0], (False, False))
            new[full] = fit(layer[name], initial, KERNELS[kernel], rows, columns)
            used.add(f"{copy.source}.{name}")
            silent = copy.added and depth == "identity" and name in ("project.norm.weight", "project.norm.bias")
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


def _under(weights: Weights, prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}."): t for name, t in weights.items() if name.startswith(f"{prefix}.")}
