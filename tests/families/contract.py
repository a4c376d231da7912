"""The contract of a family: what another library's network has, costs and computes, and what remapping makes of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fna.arch.arch import Arch, Tap, shrink
from fna.arch.layers import divisible_by_8
from fna.cost.count import Count, count_backbone, count_conv, total
from fna.families.family import Family, Found
from fna.nn.backbone import Backbone
from fna.weights.remap import remap
from fna.weights.renaming import renamed

ODD = (97, 65)
"""Height and width that every stride leaves a rest of."""


@dataclass(frozen=True)
class Change:
    """A target to remap to, and how; `keeps`: its features are those of the seed."""

    arch: Callable[[Arch], Arch]
    keeps: bool = False
    how: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reference:
    """A network of another library: `stages` are the names of its modules that end our stages, shallow first."""

    family: Family
    library: str
    arch: Arch
    network: Callable[[], nn.Module]
    stages: tuple[str, ...]


def check_family(reference: Reference, changes: Mapping[str, Change]) -> None:
    """Raise an AssertionError where the family does not keep to the contract."""
    network = reference.network().eval()
    randomise(network)
    arch, weights = read(reference, network)
    assert arch == reference.arch
    check_features(arch, weights, network, reference.stages)
    for imgsz in ((64, 64), ODD):
        check_counts(arch, network, imgsz)
    check_remaps(arch, weights, changes)


def read(reference: Reference, network: nn.Module) -> tuple[Arch, dict[str, Tensor]]:
    """What a checkpoint of the network says: the architecture, and the weights of its backbone under our names."""
    state, family = network.state_dict(), reference.family
    found = family.find(state)
    assert found is not None
    library = family.libraries[reference.library]
    assert found.library.names is library.names, "its keys say which library it is from"
    arch, named, _ = renamed(state, family, Found(library, found.variant), "a checkpoint")
    return arch, {name: t for name, t in named.items() if not name.startswith(("last.", "pooled."))}


def randomise(network: nn.Module) -> None:
    """Norms that are no identities: those would hide a lost or misplaced one."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 1.5)


def loaded(arch: Arch, weights: Mapping[str, Tensor], taps: tuple[Tap, ...] = ()) -> Backbone:
    """A backbone with these weights, all of them its own."""
    with torch.device("meta"):
        backbone = Backbone(arch, taps)
    backbone.load_state_dict(weights, assign=True)
    return backbone.eval()


@torch.no_grad()
def check_features(arch: Arch, weights: Mapping[str, Tensor], network: nn.Module, stages: tuple[str, ...]) -> None:
    """Every stage gives what the reference's does, to 1e-5 of its largest value, at sizes that leave rests, too."""
    expected: dict[str, Tensor] = {}
    for name in stages:
        network.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: expected.update({name: output})
        )
    backbone = loaded(arch, weights, tuple(Tap(s) for s in range(len(stages))))
    for hw in ((64, 64), ODD):
        images = torch.randn(2, 3, *hw)
        network(images)
        for name, ours, channels, stride in zip(
            stages, backbone(images), backbone.channels, backbone.strides, strict=True
        ):
            theirs = expected[name]
            assert tuple(ours.shape) == (2, channels, -(-hw[0] // stride), -(-hw[1] // stride))
            torch.testing.assert_close(ours / theirs.abs().max(), theirs / theirs.abs().max(), rtol=0, atol=1e-5)


@torch.no_grad()
def check_counts(arch: Arch, network: nn.Module, imgsz: tuple[int, int]) -> None:
    """Parameters and multiply-adds of the whole network: ours from data, theirs from modules and torch's counter."""
    deep = imgsz
    for _ in range(arch.strides[-1].bit_length() - 1):
        deep = shrink(deep, 2)
    after = arch.frame.last(arch.channels[-1], arch.last)
    last = [count_conv(conv, (1, 1) if conv.name == "pooled" else deep) for conv in after]
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    weights = linear.weight.numel()
    ours = count_backbone(arch, imgsz) + total(last) + Count(weights + linear.bias.numel(), 0, weights)
    assert ours.params == sum(p.numel() for p in network.parameters())
    adds = 0

    def biased(module: nn.Module, _: object, output: Tensor) -> None:
        nonlocal adds
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            adds += output.numel()

    hooks = [module.register_forward_hook(biased) for module in network.modules()]
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, *imgsz))
    for hook in hooks:
        hook.remove()
    assert 2 * (ours.conv_madds + ours.linear_madds) == counter.get_total_flops()
    if not any(conv.name == "pooled" for conv in after):  # a linear layer to some libraries, of whose bias none counts
        assert ours.conv_bias_adds == adds
    with torch.device("meta"):
        assert count_backbone(arch, imgsz).params == sum(p.numel() for p in Backbone(arch).parameters())


@torch.no_grad()
def check_remaps(arch: Arch, weights: Mapping[str, Tensor], changes: Mapping[str, Change]) -> None:
    """An identity remap changes no bit, every other one runs, and those that should keep what is computed.

    The others start from a thin network of the family with random weights, so that they take seconds.
    """
    initial = {name: torch.zeros_like(tensor) for name, tensor in weights.items()}
    same, report = remap(arch, weights, arch, initial)
    assert same.keys() == weights.keys()
    assert all(torch.equal(same[name], tensor) for name, tensor in weights.items())
    assert report.counts() == {"copied": len(weights), "cropped": 0, "zero-filled": 0, "initial": 0}
    arch = thin(arch)
    backbone = Backbone(arch)
    randomise(backbone)
    weights, images = backbone.state_dict(), torch.randn(1, 3, 49, 33, dtype=torch.double)
    expected = loaded(arch, weights).double()(images)[0]
    for name, change in changes.items():
        target = change.arch(arch)
        assert target != arch, name
        new, _ = remap(arch, weights, target, Backbone(target).state_dict(), **change.how)
        found = loaded(target, new).double()(images)[0]
        assert torch.isfinite(found).all(), name
        if change.keeps:
            scale = expected.abs().max()
            torch.testing.assert_close(
                found[:, : expected.shape[1]] / scale,
                expected / scale,
                rtol=0,
                atol=1e-9,
                msg=lambda m, n=name: f"{n}: {m}",
            )
        else:
            assert found.shape == expected.shape, name
            assert not torch.allclose(found, expected), name


def thin(arch: Arch) -> Arch:
    """The same with a quarter of the channels, in whole eights."""
    stages = tuple(replace(stage, channels=divisible_by_8(stage.channels / 4)) for stage in arch.stages)
    return replace(arch, stem=divisible_by_8(arch.stem / 4), stages=stages)
