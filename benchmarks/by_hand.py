"""The references: what one would write by hand in PyTorch, and no more."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.cases import Bench
from fna.arch.arch import Tap
from fna.arch.layers import Skip
from fna.arch.space import Space, space_places
from fna.config.sections import Adapt, Search
from fna.data.samples import IGNORE
from fna.nn.layers import Layer, Stem
from fna.nn.supernet import SuperNet
from fna.tasks.task import Batch

DTYPES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def optimizer(parameters: Sequence[nn.Parameter], how: Adapt | Search) -> Optimizer:
    """The configured kind, as PyTorch has it."""
    if how.optimizer == "sgd":
        return torch.optim.SGD(parameters, 1e-4, how.momentum, weight_decay=how.weight_decay)
    if how.optimizer == "adamw":
        return torch.optim.AdamW(parameters, 1e-4, weight_decay=how.weight_decay)
    return torch.optim.RMSprop(parameters, 1e-4, eps=1.0, weight_decay=how.weight_decay, momentum=how.momentum)


def autocast(bench: Bench) -> AbstractContextManager[object]:
    """The configured precision."""
    dtype = DTYPES.get(bench.config.precision)
    return nullcontext() if dtype is None else torch.autocast(bench.run.device.type, dtype)


@contextmanager
def torch_defaults() -> Iterator[None]:
    """cuDNN may choose algorithms that do not repeat, which runs of fna do not let it."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = False
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


def task_loss(bench: Bench, outputs: object, batch: Batch) -> Tensor:
    """Cross entropy of masks; torchvision's losses of boxes."""
    if isinstance(outputs, Tensor):
        return F.cross_entropy(outputs, batch["mask"], ignore_index=IGNORE)
    losses = bench.task.losses(outputs, batch)
    return losses["classification"] + losses["bbox_regression"]


def on_device(bench: Bench, batch: Batch) -> dict[str, Tensor]:
    """Images channels-last, in which the networks are."""
    moved = {key: value.to(bench.run.device, non_blocking=True) for key, value in batch.items()}
    moved["image"] = moved["image"].contiguous(memory_format=torch.channels_last)
    return moved


def training_loop(bench: Bench, network: nn.Module, how: Adapt | Search, batch: Batch) -> Callable[[], None]:
    """One step of the weights of an ordinary network, again and again on the same batch."""
    network.to(bench.run.device).train()
    weights = list(network.parameters())
    step = optimizer(weights, how)

    def train() -> None:
        images = on_device(bench, batch)
        with torch_defaults():
            with autocast(bench):
                loss = task_loss(bench, network(images["image"]), images)
            step.zero_grad()
            loss.backward()
        if how.clip:
            torch.nn.utils.clip_grad_norm_(weights, how.clip)
        step.step()

    return train


class OneByOne(nn.Module):
    """A super network in the straightforward form: every candidate is a module, and they run one after the other.

    Outputs are added up, each times its probability (paper Eq. 4).
    """

    def __init__(self, space: Space, taps: Sequence[Tap], output_stride: int, bare_norm: bool) -> None:
        super().__init__()
        self.taps = tuple(taps)
        self.stem = Stem(space.frame, space.stem)
        stages: list[list[nn.ModuleDict]] = [[] for _ in space.stages]
        for place, candidates in space_places(space, output_stride=output_stride):
            bare = bare_norm and len(candidates) > 1
            modules = {str(op): nn.Identity() if isinstance(op, Skip) else Layer(place, op, bare) for op in candidates}
            stages[place.stage].append(nn.ModuleDict(modules))
        self.stages = nn.ModuleList(nn.ModuleList(layers) for layers in stages)
        self.alphas = nn.ParameterList(torch.zeros(len(candidates)) for _, candidates in space.searched)

    @torch.no_grad()
    def take(self, supernet: SuperNet) -> "OneByOne":
        """All weights of a super network of the same space; without identities a path names its layers in order."""
        own = self.state_dict()
        sizes = [len(candidates) for _, candidates in supernet.space.searched]
        for choice in range(max(sizes)):
            path = tuple(
                min(choice, sum(not isinstance(op, Skip) for op in ops) - 1) for _, ops in supernet.space.searched
            )
            chosen = [[str(op) for op in stage] for stage in supernet.space.ops_on(path)]
            for name, tensor in supernet.path_weights(path).items():
                part, *rest = name.split(".")
                if part == "stages":
                    stage, layer, *tensor_name = rest
                    name = ".".join([part, stage, layer, chosen[int(stage)][int(layer)], *tensor_name])
                own[name].copy_(tensor)
        for mine, theirs in zip(self.alphas, supernet.alphas, strict=True):
            mine.copy_(theirs)
        return self

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> one tensor per tap."""
        mixture = iter([alpha.softmax(0) for alpha in self.alphas])
        outputs: dict[Tap, Tensor] = {}
        x = self.stem(images)
        for s, stage in enumerate(self.stages):
            layers: Iterator[nn.ModuleDict] = stage.children()  # type: ignore[assignment]  # a ModuleList of them
            for i, layer in enumerate(layers):
                weights = next(mixture) if len(layer) > 1 else torch.ones(1, device=x.device)
                results = [module.both(x) if isinstance(module, Layer) else (x, x) for module in layer.values()]
                if i == 0 and Tap(s, expanded=True) in self.taps:
                    expanded = [inside for inside, _ in results]
                    outputs[Tap(s, expanded=True)] = sum_of(expanded, weights)
                x = sum_of([y for _, y in results], weights) if len(layer) > 1 else results[0][1]
            outputs[Tap(s)] = x
        return [outputs[tap] for tap in self.taps]


def sum_of(tensors: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Each times its weight."""
    total = tensors[0] * weights[0]
    for tensor, weight in zip(tensors[1:], weights[1:], strict=True):
        total = total + tensor * weight
    return total
