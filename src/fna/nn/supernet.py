"""The super network: every candidate of a space as a module, one path or the softmax mixture per call."""

from collections.abc import Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor, nn

from fna.arch.arch import Tap, tap_channels
from fna.arch.decision import Path
from fna.arch.layers import Skip
from fna.arch.space import Space, space_places
from fna.errors import UserError
from fna.nn.layers import Stem
from fna.nn.mixed import MixedLayer, SharedLayer
from fna.nn.recording import Recording, record


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
    if tap.expanded and len({op.expansion for op in candidates if not isinstance(op, Skip)}) != 1:
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

    `bare_norm` gives the searched layers batch statistics without scale and shift, as the authors do; otherwise their
    norms are ordinary ones and the seed's scale and shift are remapped into them.
    """

    def __init__(
        self,
        space: Space,
        taps: Sequence[Tap] = (),
        output_stride: int = 32,
        bare_norm: bool = False,
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
        self.stem = Stem(space.frame, space.stem)
        stages: list[list[MixedLayer]] = [[] for _ in space.stages]
        for place, candidates in space_places(space, output_stride=output_stride):
            searched = len(candidates) > 1
            kind = SharedLayer if share and searched else MixedLayer
            stages[place.stage].append(kind(place, candidates, bare_norm and searched))
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
                if not isinstance(layer.candidates[choice], Skip):
                    named = layer.weights_of(choice).items()
                    weights |= {f"stages.{s}.{depth}.{name}": tensor for name, tensor in named}
                    depth += 1
        return weights
