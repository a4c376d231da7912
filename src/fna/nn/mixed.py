"""A layer of the super network: its candidates, each with weights of its own or as parts of the largest one."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fna.arch.arch import Place
from fna.arch.convs import Conv
from fna.arch.layers import LayerOp, Op, Skip, key
from fna.arch.space import largest_op
from fna.nn.layers import ConvNormActivation, Layer, pad_same, run_block
from fna.nn.mixture import Branch, Group, Norm, fusible, mixture
from fna.nn.sync_norm import SyncBatchNorm2d, uses_batch


class MixedLayer(nn.Module):
    """The candidates of one layer, each with weights of its own (the paper's super network); the identity has none."""

    def __init__(self, place: Place, candidates: Sequence[Op], bare_norm: bool) -> None:
        super().__init__()
        self.place = place
        self.candidates = tuple(candidates)
        self.blocks = tuple(place.block(op) for op in candidates)
        self.fusible = all(fusible(self.blocks[c]) for c, _ in self._layers(range(len(candidates))))
        for op in self.own():
            self.add_module(key(op), Layer(place, op, bare_norm))

    def own(self) -> list[LayerOp]:
        """The layers that have weights."""
        return [op for op in self.candidates if not isinstance(op, Skip)]

    def both(self, x: Tensor, choice: int) -> tuple[Tensor, Tensor]:
        """Expanded tensor and output of one candidate; the identity has its input for both."""
        op = self.candidates[choice]
        if isinstance(op, Skip):
            return x, x
        layer = self.get_submodule(key(op))
        assert isinstance(layer, Layer)
        return layer.both(x)

    def mix(
        self, x: Tensor, probabilities: Tensor, expanded: bool = False, among: Sequence[int] | None = None
    ) -> tuple[Tensor | None, Tensor]:
        """The weighted sum of all candidates (paper Eq. 4), or of `among`; `probabilities` (candidates,) sum to 1.

        With `expanded` also that of their expanded tensors, which then have one width. Otherwise, where the layers are
        inverted residuals of convolutions alone, there is no gradient for the weights, see `fna.nn.mixture`.
        """
        chosen = range(len(self.candidates)) if among is None else among
        if self.fusible and not expanded:
            residual = self.place.stride == 1 and self.place.cin == self.place.cout
            return None, mixture(x, self.groups(chosen), probabilities, residual)
        inside, outputs = zip(*(self.both(x, c) for c in chosen), strict=True)
        shares = probabilities if among is None else probabilities[list(among)]
        return weighted(inside, shares) if expanded else None, weighted(outputs, shares)

    def groups(self, chosen: Iterable[int]) -> list[Group]:
        """The chosen candidates in groups with a common expanded tensor: here none, each has weights of its own."""
        return [self._group([(c, op)]) for c, op in self._layers(chosen)]

    def _layers(self, chosen: Iterable[int]) -> list[tuple[int, LayerOp]]:
        return [(c, op) for c in chosen if not isinstance(op := self.candidates[c], Skip)]

    @torch.no_grad()
    def _group(self, members: Sequence[tuple[int, LayerOp]]) -> Group:
        """Candidates whose expanded tensors are the leading channels of the widest one's."""
        expansion, branches = max(op.expansion for _, op in members), []
        for kernel in dict.fromkeys(op.kernel for _, op in members):
            alike = [(c, op) for c, op in members if op.kernel == kernel]
            widest = replace(members[0][1], kernel=kernel, expansion=expansion)
            *before, conv, project = self.place.block(widest).main
            weight, norm = self._tensors(widest, conv)
            # Channels that a narrower candidate lacks are read with zeros.
            rows = [self._tensors(op, self.blocks[c].main[-1])[0] for c, op in alike]
            rows = [F.pad(row, (0, 0, 0, 0, 0, conv.cout - row.shape[1])) for row in rows]
            last = self._tensors(widest, project)[1]
            branches.append(Branch(conv, weight, norm, torch.cat(rows), tuple(c for c, _ in alike), last))
        if not before:
            return Group(None, None, None, tuple(branches))
        return Group(*self._tensors(widest, before[0]), before[0].activation, tuple(branches))

    def _tensors(self, op: LayerOp, conv: Conv) -> tuple[Tensor, Norm]:
        """Weight and norm of one convolution of a candidate."""
        part = self.get_submodule(f"{key(op)}.{conv.name}")
        assert isinstance(part, ConvNormActivation)
        return part.conv.weight, Norm.of(part.norm, conv.cout)

    def weights_of(self, choice: int) -> dict[str, Tensor]:
        """The weights of one candidate under the names of a backbone's layer."""
        return dict(self.get_submodule(key(self.candidates[choice])).state_dict())


class SharedLayer(MixedLayer):
    """Candidates as parts of the largest one: the leading channels of each width and the centre of its kernel.

    A weight step then trains every candidate a little, and candidates differ by what they are, not by how often they
    were drawn. Remapping a part of a remapped layer gives what remapping the seed into that candidate gives.
    """

    def own(self) -> list[LayerOp]:
        """The largest candidate alone."""
        return [largest_op(self.candidates)]

    @property
    def whole(self) -> nn.Module:
        """The layer that the candidates are parts of."""
        return next(self.children())

    def groups(self, chosen: Iterable[int]) -> list[Group]:
        """The chosen candidates in groups with a common expanded tensor: all that have an expansion."""
        parts = [[(c, op) for c, op in self._layers(chosen) if (op.expansion > 1) is grows] for grows in (True, False)]
        return [self._group(members) for members in parts if members]

    def _tensors(self, op: LayerOp, conv: Conv) -> tuple[Tensor, Norm]:
        """Weight and norm of one convolution of a candidate: parts of the largest one's."""
        part = self.whole.get_submodule(conv.name)
        assert isinstance(part, ConvNormActivation)
        return _part(part.conv.weight, conv), Norm.of(part.norm, conv.cout)

    def both(self, x: Tensor, choice: int) -> tuple[Tensor, Tensor]:
        """Expanded tensor and output of one candidate; the identity has its input for both."""
        if isinstance(self.candidates[choice], Skip):
            return x, x
        whole = self.whole
        return run_block(self.blocks[choice], x, lambda conv, y: _run_part(whole.get_submodule(conv.name), conv, y))

    def weights_of(self, choice: int) -> dict[str, Tensor]:
        """The weights of one candidate under the names of a backbone's layer."""
        return {
            f"{conv.name}.{name}": _part(tensor, conv)
            for conv in self.blocks[choice].convs
            for name, tensor in self.whole.get_submodule(conv.name).state_dict().items()
        }


def weighted(tensors: Sequence[Tensor], weights: Tensor) -> Tensor:
    """The sum of equally shaped tensors, each times its weight."""
    return torch.stack([tensor * weight for tensor, weight in zip(tensors, weights, strict=True)]).sum(0)


def _part(tensor: Tensor, conv: Conv) -> Tensor:
    """What a smaller convolution has of a larger one's tensor: leading channels, centre of the kernel; a view."""
    if tensor.ndim < 4:
        return tensor[: conv.cout] if tensor.ndim else tensor
    out, into, kernel, _ = conv.weight_shape
    edge = (tensor.shape[2] - kernel) // 2
    return tensor[:out, :into, edge : edge + kernel, edge : edge + kernel]


def _run_part(part: nn.Module, conv: Conv, x: Tensor) -> Tensor:
    """What a smaller convolution with its norm and activation gives, as a part of the larger one."""
    assert isinstance(part, ConvNormActivation)
    bias = None if part.conv.bias is None else part.conv.bias[: conv.cout]
    padding = conv.padding
    if conv.uneven:
        x, padding = pad_same(x, conv.kernel, conv.stride, part.conv.dilation), (0, 0)
    y = F.conv2d(x, _part(part.conv.weight, conv), bias, conv.stride, padding, conv.dilation, conv.groups)
    return part.activation(_norm(part.norm, y) if conv.norm else y)


def _norm(norm: nn.Module, x: Tensor) -> Tensor:
    """The leading channels of a batch norm."""
    assert isinstance(norm, nn.BatchNorm2d)
    n = x.shape[1]
    if isinstance(norm, SyncBatchNorm2d) and uses_batch(norm):
        return norm.leading(x)
    mean, var, weight, bias = (
        None if vector is None else vector[:n]
        for vector in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return F.batch_norm(x, mean, var, weight, bias, norm.training or mean is None, norm.momentum or 0.0, norm.eps)
