"""The super network: every candidate of a space as a module, one path or the softmax mixture per call."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fna.arch.arch import Place, Tap, stem_conv, tap_channels
from fna.arch.decision import Path
from fna.arch.layers import Conv, MBConv, Op
from fna.arch.space import Space, largest_op, space_places
from fna.errors import UserError
from fna.nn.layers import ConvNormActivation, Layer
from fna.nn.mixture import Branch, Group, Norm, mixture
from fna.nn.recording import Recording, record
from fna.nn.sync_norm import SyncBatchNorm2d, uses_batch


class MixedLayer(nn.Module):
    """The candidates of one layer, each with weights of its own (the paper's super network); the identity has none."""

    def __init__(self, place: Place, candidates: Sequence[Op], plain_norm: bool) -> None:
        super().__init__()
        self.place = place
        self.candidates = tuple(candidates)
        self.residual = place.stride == 1 and place.cin == place.cout
        for op in candidates:
            if isinstance(op, MBConv):
                self.add_module(str(op), Layer(place, op, plain_norm))

    def both(self, x: Tensor, choice: int) -> tuple[Tensor, Tensor]:
        """Expanded tensor and output of one candidate; the identity has its input for both."""
        op = self.candidates[choice]
        if not isinstance(op, MBConv):
            return x, x
        layer = self.get_submodule(str(op))
        assert isinstance(layer, Layer)
        return layer.both(x)

    def mix(
        self, x: Tensor, probabilities: Tensor, expanded: bool = False, among: Sequence[int] | None = None
    ) -> tuple[Tensor | None, Tensor]:
        """The weighted sum of all candidates (paper Eq. 4), or of `among`; `probabilities` (candidates,) sum to 1.

        With `expanded` also that of their expanded tensors, which then have one width. Otherwise there is no gradient
        for the weights, see `fna.nn.mixture`.
        """
        chosen = range(len(self.candidates)) if among is None else among
        if not expanded:
            return None, mixture(x, self.groups(chosen), probabilities, self.residual)
        inside, outputs = zip(*(self.both(x, c) for c in chosen), strict=True)
        shares = probabilities if among is None else probabilities[list(among)]
        return weighted(inside, shares), weighted(outputs, shares)

    def groups(self, chosen: Iterable[int]) -> list[Group]:
        """The chosen candidates in groups with a common expanded tensor: here none, each has weights of its own."""
        ops = [(c, op) for c in chosen if isinstance(op := self.candidates[c], MBConv)]
        return [self._group([(c, op)]) for c, op in ops]

    @torch.no_grad()
    def _group(self, members: Sequence[tuple[int, MBConv]]) -> Group:
        """Candidates whose expanded tensors are the leading channels of the widest one's."""
        expansion, branches = max(op.expansion for _, op in members), []
        for kernel in dict.fromkeys(op.kernel for _, op in members):
            alike = [(c, op) for c, op in members if op.kernel == kernel]
            widest = MBConv(kernel, expansion)
            *_, conv, project = self.place.convs(widest)
            weight, norm = self._tensors(widest, conv)
            # Channels that a narrower candidate lacks are read with zeros.
            rows = [self._tensors(op, self.place.convs(op)[-1])[0] for _, op in alike]
            rows = [F.pad(row, (0, 0, 0, 0, 0, conv.cout - row.shape[1])) for row in rows]
            last = self._tensors(widest, project)[1]
            branches.append(Branch(conv, weight, norm, torch.cat(rows), tuple(c for c, _ in alike), last))
        if expansion == 1:
            return Group(None, None, tuple(branches))
        return Group(*self._tensors(widest, self.place.convs(widest)[0]), tuple(branches))

    def _tensors(self, op: MBConv, conv: Conv) -> tuple[Tensor, Norm]:
        """Weight and norm of one convolution of a candidate."""
        part = self.get_submodule(f"{op}.{conv.name}")
        assert isinstance(part, ConvNormActivation)
        return part.conv.weight, Norm.of(part.norm, conv.cout)

    def weights_of(self, choice: int) -> dict[str, Tensor]:
        """The weights of one candidate under the names of a backbone's layer."""
        return dict(self.get_submodule(str(self.candidates[choice])).state_dict())


class SharedLayer(MixedLayer):
    """Candidates as parts of the largest one: the leading expanded channels and the centre of its kernel.

    A weight step then trains every candidate a little, and candidates differ by what they are, not by how often they
    were drawn. Remapping a part of a remapped layer gives what remapping the seed into that candidate gives.
    """

    def __init__(self, place: Place, candidates: Sequence[Op], plain_norm: bool) -> None:
        largest = largest_op(candidates)
        super().__init__(place, [largest], plain_norm)
        self.candidates = tuple(candidates)
        self.whole = str(largest)

    def groups(self, chosen: Iterable[int]) -> list[Group]:
        """The chosen candidates in groups with a common expanded tensor: all that have an expansion."""
        ops = [(c, op) for c in chosen if isinstance(op := self.candidates[c], MBConv)]
        parts = [[(c, op) for c, op in ops if (op.expansion > 1) is expands] for expands in (True, False)]
        return [self._group(members) for members in parts if members]

    def _tensors(self, op: MBConv, conv: Conv) -> tuple[Tensor, Norm]:
        """Weight and norm of one convolution of a candidate: parts of the largest one's."""
        part = self.get_submodule(f"{self.whole}.{conv.name}")
        assert isinstance(part, ConvNormActivation)
        weight = _part(conv.name, part.conv.weight, self.place.cin * op.expansion, op.kernel)
        return weight, Norm.of(part.norm, conv.cout)

    def both(self, x: Tensor, choice: int) -> tuple[Tensor, Tensor]:
        """Expanded tensor and output of one candidate; the identity has its input for both."""
        op = self.candidates[choice]
        if not isinstance(op, MBConv):
            return x, x
        layer, y, hidden = self.get_submodule(self.whole), x, self.place.cin * op.expansion
        expanded = x
        for conv in self.place.convs(op):
            part = layer.get_submodule(conv.name)
            assert isinstance(part, ConvNormActivation)
            weight = _part(conv.name, part.conv.weight, hidden, conv.kernel)
            y = F.conv2d(y, weight, None, conv.stride, conv.padding, conv.dilation, conv.groups)
            y = part.activation(_norm(part.norm, y))
            expanded = y if conv.name == "expand" else expanded
        return expanded, x + y if self.residual else y

    def weights_of(self, choice: int) -> dict[str, Tensor]:
        """The weights of one candidate under the names of a backbone's layer."""
        op = self.candidates[choice]
        assert isinstance(op, MBConv)
        hidden = self.place.cin * op.expansion
        return {
            name: _part(name.split(".")[0], tensor, hidden, op.kernel)
            for name, tensor in self.get_submodule(self.whole).state_dict().items()
        }


def weighted(tensors: Sequence[Tensor], weights: Tensor) -> Tensor:
    """The sum of equally shaped tensors, each times its weight."""
    return torch.stack([tensor * weight for tensor, weight in zip(tensors, weights, strict=True)]).sum(0)


def _part(conv: str, tensor: Tensor, hidden: int, kernel: int) -> Tensor:
    """The part of a layer's tensor that a narrower candidate with a smaller kernel has; a view."""
    if conv == "project":
        return tensor[:, :hidden] if tensor.ndim == 4 else tensor
    part = tensor[:hidden] if tensor.ndim else tensor
    if conv == "depthwise" and tensor.ndim == 4:
        edge = (tensor.shape[2] - kernel) // 2
        part = part[:, :, edge : edge + kernel, edge : edge + kernel]
    return part


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


class Memory:
    """What the stages of a path got: by the choices before each, its number, its input and what was tapped before.

    A class and no dict, so that whatever wraps a network hands it on as it is.
    """

    def __init__(self) -> None:
        self.stages: dict[Path, tuple[int, Tensor, dict[Tap, Tensor | None]]] = {}

    def latest(self, path: Path) -> tuple[int, Tensor, dict[Tap, Tensor | None]]:
        """The last stage before which `path` is that of the memory."""
        known = (found for choices, found in self.stages.items() if path[: len(choices)] == choices)
        return max(known, key=lambda found: found[0])


def tap_width(space: Space, tap: Tap) -> int:
    """Channels of a tapped tensor; a UserError where the candidates of a layer that is read inside differ in width."""
    candidates = space.stages[tap.stage].candidates[0]
    if tap.expanded and len({op.expansion for op in candidates if isinstance(op, MBConv)}) != 1:
        raise UserError(
            f"the head reads the expanded tensor of stages.{tap.stage}.0, so its candidates must have one expansion; "
            f"they are {', '.join(map(str, candidates))}. Expand the space with the head's taps"
        )
    # All paths agree on it, so any of them will do.
    return tap_channels(space.pick((0,) * len(space.searched)), tap)


class SuperNet(nn.Module):
    """A space as a module, with one row of alphas per searched layer.

    With `share` the candidates of a layer are parts of its largest one, else each has its own weights, as in the paper.
    `weight_space` is the space whose candidates have weights: what a seed is remapped into.

    `plain_norm` gives the searched layers batch statistics without scale and shift, as the authors do; otherwise their
    norms are ordinary ones and the seed's scale and shift are remapped into them.
    """

    def __init__(
        self,
        space: Space,
        taps: Sequence[Tap] = (),
        output_stride: int = 32,
        plain_norm: bool = False,
        share: bool = False,
    ) -> None:
        super().__init__()
        self.record_mixture = False
        """Replay the mixture as CUDA graphs, see `fna.search.search.records_mixture`."""
        self._recording: Recording | None = None
        self.space = space
        self.weight_space = space.largest if share else space
        self.taps = tuple(taps) or (Tap(len(space.stages) - 1),)
        self.channels = [tap_width(space, tap) for tap in self.taps]
        self.stem = ConvNormActivation(stem_conv(space.stem))
        stages: list[list[MixedLayer]] = [[] for _ in space.stages]
        for place, candidates in space_places(space, output_stride=output_stride):
            searched = len(candidates) > 1
            kind = SharedLayer if share and searched else MixedLayer
            stages[place.stage].append(kind(place, candidates, plain_norm and searched))
        self.stages = nn.ModuleList(nn.ModuleList(layers) for layers in stages)
        decided = [sum(len(candidates) > 1 for candidates in stage.candidates) for stage in space.stages]
        self._choices_before = [sum(decided[:s]) for s in range(len(decided))]
        self.alphas = nn.ParameterList(torch.zeros(len(candidates)) for _, candidates in space.searched)

    def weights(self) -> Iterator[nn.Parameter]:
        """All parameters but the alphas."""
        return (p for name, p in self.named_parameters() if not name.startswith("alphas."))

    def probabilities(self) -> list[Tensor]:
        """softmax(alpha) of each searched layer."""
        return [alpha.softmax(0) for alpha in self.alphas]

    def probability_rows(self) -> list[list[float]]:
        """The same as numbers; the device is waited for once and not for every layer."""
        with torch.no_grad():
            numbers = iter(torch.cat(self.probabilities()).tolist())
        return [list(islice(numbers, len(alpha))) for alpha in self.alphas]

    def probabilities_among(self, among: Sequence[Sequence[int]]) -> list[Tensor]:
        """The softmax over the named candidates of each searched layer alone, 0 for the others."""
        chosen = [torch.tensor(part, device=alpha.device) for part, alpha in zip(among, self.alphas, strict=True)]
        return [
            torch.zeros_like(alpha).scatter(0, part, alpha[part].softmax(0))
            for part, alpha in zip(chosen, self.alphas, strict=True)
        ]

    def forward(
        self,
        images: Tensor,
        path: Path | None = None,
        memory: Memory | None = None,
        among: Sequence[Sequence[int]] | None = None,
    ) -> list[Tensor]:
        """(N, 3, H, W) -> one tensor per tap; one candidate per layer with `path`, else the mixture of all.

        With `among`, of each searched layer only the candidates that it names are mixed.
        An empty `memory` is filled with what every stage of `path` got; a filled one saves the stages that another path
        on the same images has in common with that one. The mixture has gradients for the alphas and the head only.
        """
        if path is not None:
            self.space.check_path(path)
            return self._outputs(images, path, memory)
        probabilities = self.probabilities() if among is None else self.probabilities_among(among)
        if self.record_mixture and among is None and torch.is_grad_enabled():
            recording = self._recorded(images, probabilities)
            if recording.fits(images):
                return recording(images, probabilities)
        return self._outputs(images, None, None, probabilities, among)

    def _recorded(self, images: Tensor, probabilities: Sequence[Tensor]) -> Recording:
        """The recording of the mixture, made with these images where there is none; norm statistics stay."""
        if self._recording is None:
            kept = [(buffer, buffer.clone()) for buffer in self.buffers()]
            self._recording = record(lambda x, *rows: self._outputs(x, None, None, rows), images, probabilities)
            for buffer, before in kept:
                buffer.copy_(before)
        return self._recording

    def _outputs(
        self,
        images: Tensor,
        path: Path | None,
        memory: Memory | None,
        probabilities: Sequence[Tensor] = (),
        among: Sequence[Sequence[int]] | None = None,
    ) -> list[Tensor]:
        """As `forward`, which says what is mixed with which `probabilities`."""
        mixture = iter(probabilities)
        parts = iter(among or ())
        outputs: dict[Tap, Tensor | None] = {}
        first, filling = 0, memory is not None and not memory.stages
        if memory is not None and path is not None and not filling:
            first, x, before = memory.latest(path)
            outputs |= before
        else:
            with torch.set_grad_enabled(torch.is_grad_enabled() and path is not None):
                x = self.stem(images)
        for s, stage in enumerate(self.stages):
            if s < first:
                continue
            decided = self._choices_before[s]
            if filling and memory is not None and path is not None:
                memory.stages[path[:decided]] = (s, x, dict(outputs))
            choices: Iterator[int] = iter(path[decided:] if path is not None else ())
            layers: Iterator[MixedLayer] = stage.children()  # type: ignore[assignment]  # a ModuleList of them
            for i, layer in enumerate(layers):
                inside = Tap(s, expanded=True)
                wanted = i == 0 and inside in self.taps
                if path is None and len(layer.candidates) > 1:
                    expanded, x = layer.mix(x, next(mixture), wanted, next(parts, None))
                else:
                    # In the mixture nothing before the first alpha needs a gradient.
                    with torch.set_grad_enabled(torch.is_grad_enabled() and (path is not None or x.requires_grad)):
                        expanded, x = layer.both(x, next(choices) if len(layer.candidates) > 1 else 0)
                if wanted:
                    outputs[inside] = expanded
            outputs[Tap(s)] = x
        return [outputs[tap] for tap in self.taps]  # type: ignore[misc]  # those that are tapped are tensors

    def path_weights(self, path: Path) -> dict[str, Tensor]:
        """The weights on `path` under the names of the backbone of `space.pick(path)`."""
        self.space.check_path(path)
        weights = {f"stem.{name}": tensor for name, tensor in self.stem.state_dict().items()}
        choices = iter(path)
        for s, stage in enumerate(self.stages):
            depth = 0
            for layer in stage:  # type: ignore[attr-defined]  # a ModuleList
                choice = next(choices) if len(layer.candidates) > 1 else 0
                if isinstance(layer.candidates[choice], MBConv):
                    named = layer.weights_of(choice).items()
                    weights |= {f"stages.{s}.{depth}.{name}": tensor for name, tensor in named}
                    depth += 1
        return weights
