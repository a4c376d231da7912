"""The super network: every candidate of a space as a module, one path or the softmax mixture per call."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from fna.arch.arch import Tap, stem_conv
from fna.arch.layers import MBConv, Op
from fna.arch.space import Path, Space, space_places
from fna.nn.layers import ConvNormActivation, Layer


class MixedLayer(nn.Module):
    """The candidates of one layer; the identity has no module."""

    def __init__(self, candidates: dict[str, Layer | None]) -> None:
        super().__init__()
        self.names = list(candidates)
        for name, layer in candidates.items():
            if layer is not None:
                self.add_module(name, layer)

    def run(self, x: Tensor, choice: int) -> Tensor:
        """One candidate."""
        name = self.names[choice]
        return x if name == "skip" else self.get_submodule(name)(x)

    def mix(self, x: Tensor, probabilities: Tensor) -> Tensor:
        """The weighted sum of all candidates (paper Eq. 4); `probabilities` (candidates,) sum to 1."""
        outputs = (self.run(x, c) * p for c, p in enumerate(probabilities))
        return torch.stack(tuple(outputs)).sum(0)


class SuperNet(nn.Module):
    """A space as a module, with one row of alphas per searched layer.

    `plain_norm` gives the searched layers batch statistics without scale and shift, as the authors do; otherwise their
    norms are ordinary ones and the seed's scale and shift are remapped into them.
    """

    def __init__(
        self, space: Space, taps: Sequence[Tap] = (), output_stride: int = 32, plain_norm: bool = False
    ) -> None:
        super().__init__()
        self.space = space
        self.taps = tuple(taps) or (Tap(len(space.stages) - 1),)
        self.channels = [space.stages[tap.stage].channels for tap in self.taps]
        self.stem = ConvNormActivation(stem_conv(space.stem))
        stages: list[list[nn.Module]] = [[] for _ in space.stages]
        for place, candidates in space_places(space, output_stride=output_stride):
            searched = len(candidates) > 1
            layers = {
                str(op): Layer(place, op, plain_norm and searched) if isinstance(op, MBConv) else None
                for op in candidates
            }
            stages[place.stage].append(MixedLayer(layers))
        self.stages = nn.ModuleList(nn.ModuleList(layers) for layers in stages)
        self.alphas = nn.ParameterList(torch.zeros(len(candidates)) for _, candidates in space.searched)

    def weights(self) -> Iterator[nn.Parameter]:
        """All parameters but the alphas."""
        return (p for name, p in self.named_parameters() if not name.startswith("alphas."))

    def probabilities(self) -> list[Tensor]:
        """softmax(alpha) of each searched layer."""
        return [alpha.softmax(0) for alpha in self.alphas]

    def forward(self, images: Tensor, path: Path | None = None) -> list[Tensor]:
        """(N, 3, H, W) -> one tensor per tap; one candidate per layer with `path`, else the mixture of all."""
        if path is not None:
            self.space.check_path(path)
        choices: Iterator[int] = iter(path or ())
        mixture = iter(self.probabilities() if path is None else ())
        outputs: list[Tensor] = []
        x = self.stem(images)
        for stage in self.stages:
            for layer in stage:  # type: ignore[attr-defined]  # a ModuleList
                if len(layer.names) == 1:
                    x = layer.run(x, 0)
                elif path is None:
                    x = layer.mix(x, next(mixture))
                else:
                    x = layer.run(x, next(choices))
            outputs.append(x)
        return [outputs[tap.stage] for tap in self.taps]

    def path_weights(self, path: Path) -> dict[str, Tensor]:
        """The weights on `path` under the names of the backbone of `space.pick(path)`."""
        prefixes = {"stem.": "stem."}
        for s, ops in enumerate(self.space.choices(path)):
            kept: list[tuple[int, Op]] = [(i, op) for i, op in enumerate(ops) if isinstance(op, MBConv)]
            for new, (old, op) in enumerate(kept):
                prefixes[f"stages.{s}.{old}.{op}."] = f"stages.{s}.{new}."
        return {
            new + name.removeprefix(old): tensor
            for name, tensor in self.state_dict().items()
            for old, new in prefixes.items()
            if name.startswith(old)
        }
