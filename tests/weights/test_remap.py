"""Remapping: the paper's equations by hand, functions that are kept, and a report that leaves nothing out."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fna.arch.arch import Arch, Place, Stage
from fna.arch.layers import Bottleneck, LayerOp, MBConv, Skip
from fna.arch.space import expand, named_space
from fna.arch.zoo import build, mobilenet_v2
from fna.errors import UserError
from fna.nn.backbone import Backbone
from fna.nn.layers import Layer
from fna.nn.supernet import SuperNet
from fna.weights.channels import select_channels
from fna.weights.plan import Copy, plan
from fna.weights.remap import centre, dilate, fit, remap
from fna.weights.seeds import Seed, load_file

SEEDS = ["mobilenet_v2_w035_imagenet.safetensors", "mobilenet_v2_w100_imagenet.safetensors"]


def randomised(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Norms that are no identities: those would hide a lost or misplaced one."""
    generator = torch.Generator().manual_seed(1)
    return {
        name: torch.rand(t.shape, generator=generator).to(t.dtype) + 0.5 if ".norm." in name and t.ndim else t.clone()
        for name, t in weights.items()
    }


def one_stage(*layers: LayerOp, channels: int = 8, stem: int = 8) -> Arch:
    return Arch(stem, (Stage(channels, 1, layers),), 16)


def changed_layers(arch: Arch, change: Callable[[MBConv], MBConv]) -> Arch:
    """All layers that expand by 6, changed."""
    stages = tuple(
        Stage(s.channels, s.stride, tuple(change(op) if op.expansion == 6 else op for op in s.layers))
        for s in arch.stages
    )
    return Arch(arch.stem, stages, arch.last)


# Depth: Eq. 1, read with the minimum.


def test_layers_that_the_seed_lacks_start_from_its_last_one() -> None:
    seed, deeper = one_stage(*[MBConv(3, 6)] * 2), one_stage(*[MBConv(3, 6)] * 4)
    assert plan(seed, deeper) == (
        Copy("stem", "stem"),
        Copy("stages.0.0", "stages.0.0"),
        Copy("stages.0.1", "stages.0.1"),
        Copy("stages.0.2", "stages.0.1", added=True),
        Copy("stages.0.3", "stages.0.1", added=True),
    )


def test_a_shallower_stage_takes_the_first_layers() -> None:
    seed, shallower = one_stage(*[MBConv(3, 6)] * 3), one_stage(MBConv(3, 6))
    assert plan(seed, shallower) == (Copy("stem", "stem"), Copy("stages.0.0", "stages.0.0"))


def test_every_candidate_of_a_layer_starts_from_the_same_seed_layer_and_the_identity_from_none() -> None:
    space = expand(one_stage(MBConv(3, 6)), depths=[2], kernels=[3, 5], expansions=[6])
    assert Skip() in space.stages[0].candidates[1]
    assert plan(one_stage(MBConv(3, 6)), space) == (
        Copy("stem", "stem"),
        Copy("stages.0.0.k3_e6", "stages.0.0"),
        Copy("stages.0.0.k5_e6", "stages.0.0"),
        Copy("stages.0.1.k3_e6", "stages.0.0", added=True),
        Copy("stages.0.1.k5_e6", "stages.0.0", added=True),
    )


def test_another_number_of_stages_is_an_error() -> None:
    with pytest.raises(UserError, match="the seed has 7 stages, the target 1"):
        plan(mobilenet_v2(0.1), one_stage(MBConv(3, 6)))


# Width and kernel of one tensor: Eq. 2, 3 and 6.


def test_a_narrower_tensor_keeps_the_leading_channels() -> None:
    source = torch.arange(24.0).reshape(4, 6, 1, 1)
    found = fit(source, torch.full((2, 3, 1, 1), -1.0))
    assert found[:, :, 0, 0].tolist() == [[0, 1, 2], [6, 7, 8]]
    assert fit(torch.tensor([1.0, 2, 3]), torch.zeros(2)).tolist() == [1, 2]


def test_a_larger_kernel_has_the_seeds_in_its_centre_and_zeros_around() -> None:
    source = torch.arange(1.0, 10).reshape(1, 1, 3, 3)
    assert fit(source, torch.full((1, 1, 5, 5), -1.0))[0, 0].tolist() == [
        [0, 0, 0, 0, 0],
        [0, 1, 2, 3, 0],
        [0, 4, 5, 6, 0],
        [0, 7, 8, 9, 0],
        [0, 0, 0, 0, 0],
    ]


def test_a_dilated_kernel_has_the_seeds_taps_at_its_ends_and_middle() -> None:
    # Eq. 6: positions 1 + i (k - 1) / 2 for i = 0, 1, 2, counted from 1; for k = 7 these are 1, 4, 7.
    source = torch.arange(1.0, 10).reshape(1, 1, 3, 3)
    assert fit(source, torch.full((1, 1, 5, 5), -1.0), dilate)[0, 0].tolist() == [
        [1, 0, 2, 0, 3],
        [0, 0, 0, 0, 0],
        [4, 0, 5, 0, 6],
        [0, 0, 0, 0, 0],
        [7, 0, 8, 0, 9],
    ]
    found = fit(source, torch.zeros(1, 1, 7, 7), dilate)[0, 0]
    assert found.nonzero().tolist() == [[y, x] for y in (0, 3, 6) for x in (0, 3, 6)]
    assert found[found != 0].tolist() == list(range(1, 10))


def test_taps_that_no_whole_step_spreads_over_the_kernel_are_in_its_middle() -> None:
    found = fit(torch.ones(1, 1, 5, 5), torch.zeros(1, 1, 7, 7), dilate)[0, 0]
    assert found.nonzero().tolist() == [[y, x] for y in range(1, 6) for x in range(1, 6)]
    assert fit(torch.ones(1, 1, 5, 5), torch.zeros(1, 1, 9, 9), dilate)[0, 0, 0].tolist() == [1, 0, 1, 0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("strategy", [centre, dilate])
def test_a_smaller_kernel_is_the_centre(strategy: Callable[[int, int], tuple[slice, slice]]) -> None:
    source = torch.arange(49.0).reshape(1, 1, 7, 7)
    assert fit(source, torch.zeros(1, 1, 3, 3), strategy)[0, 0].tolist() == [[16, 17, 18], [23, 24, 25], [30, 31, 32]]


def test_what_the_seed_lacks_is_zero_or_initial_as_asked() -> None:
    source, target = torch.ones(1, 1, 1, 1), torch.full((2, 2, 1, 1), 5.0)
    assert fit(source, target)[:, :, 0, 0].tolist() == [[1, 0], [0, 0]]
    assert fit(source, target, keep_new_rows=True)[:, :, 0, 0].tolist() == [[1, 0], [5, 5]]
    assert fit(source, target, keep_new_columns=True)[:, :, 0, 0].tolist() == [[1, 5], [0, 5]]
    assert fit(torch.ones(1), torch.tensor([7.0, 8.0])).tolist() == [1, 8]
    assert fit(torch.tensor(3), torch.tensor(0)).item() == 3


# Which expanded channels: Algorithm 1 over three reference vectors.


def small_layer() -> dict[str, Tensor]:
    """Four expanded channels of two inputs; each reference vector ranks them differently."""
    return {
        "expand.conv.weight": torch.tensor([[3.0, 3.0], [-1.0, 1.0], [0.0, 4.0], [2.0, 1.0]])[:, :, None, None],
        "expand.norm.weight": torch.arange(4.0),
        "depthwise.conv.weight": torch.arange(4.0)[:, None, None, None].expand(4, 1, 3, 3).clone(),
        "depthwise.norm.weight": torch.tensor([0.1, -0.9, 0.3, 0.2]),
        "depthwise.norm.num_batches_tracked": torch.tensor(9),
        "project.conv.weight": torch.arange(8.0).reshape(2, 4, 1, 1),
        "project.norm.weight": torch.tensor([1.0, 2.0]),
    }


BLOCK = MBConv(3, 2).block(2, 2)
"""What such a layer is."""


# By hand. |scale|: .1 .9 .3 .2 -> 1, 2. Std of a pair is |a - b| / sqrt(2): 0, 2, 4, 1 (times .71) -> 2, 1.
# L1: 6, 2, 4, 3 -> 0, 2. Indices ascending.
@pytest.mark.parametrize(("strategy", "kept"), [("norm_scale", [1, 2]), ("std", [1, 2]), ("l1", [0, 2])])
def test_the_top_channels_are_kept_in_order_in_every_tensor_of_the_layer(strategy: str, kept: list[int]) -> None:
    layer = small_layer()
    chosen = select_channels(layer, BLOCK, {"hidden": 2}, strategy)
    assert chosen["expand.norm.weight"].tolist() == kept
    assert chosen["depthwise.conv.weight"][:, 0, 0, 0].tolist() == kept
    assert torch.equal(chosen["expand.conv.weight"], layer["expand.conv.weight"][kept])
    assert torch.equal(chosen["depthwise.norm.weight"], layer["depthwise.norm.weight"][kept])
    assert chosen["project.conv.weight"][:, :, 0, 0].tolist() == [kept, [4 + k for k in kept]]
    assert torch.equal(chosen["project.norm.weight"], layer["project.norm.weight"])
    assert chosen["depthwise.norm.num_batches_tracked"] == 9


@pytest.mark.parametrize(("strategy", "kept"), [("norm_scale", [1, 2, 3]), ("std", [1, 2, 3]), ("l1", [0, 2, 3])])
def test_three_channels_by_hand(strategy: str, kept: list[int]) -> None:
    assert select_channels(small_layer(), BLOCK, {"hidden": 3}, strategy)["expand.norm.weight"].tolist() == kept


def test_channels_of_a_grouped_convolution_are_kept_by_whole_groups() -> None:
    # Scales 5 0 | 2 2 in groups of two: the first group has more together, though each of the second beats its 0.
    block = Bottleneck(3, 1, 2).block(4, 4)
    layer = {
        "reduce.conv.weight": torch.arange(4.0)[:, None, None, None].expand(4, 4, 1, 1),
        "spatial.conv.weight": torch.arange(4.0)[:, None, None, None].expand(4, 2, 3, 3),
        "spatial.norm.weight": torch.tensor([5.0, 0.0, 2.0, 2.0]),
        "project.conv.weight": torch.arange(4.0)[None, :, None, None].expand(4, 4, 1, 1),
    }
    chosen = select_channels(layer, block, {"hidden": 2}, "norm_scale")
    assert chosen["reduce.conv.weight"][:, 0, 0, 0].tolist() == [0, 1]
    assert chosen["spatial.conv.weight"].shape == (2, 2, 3, 3)
    assert chosen["spatial.norm.weight"].tolist() == [5, 0]
    assert chosen["project.conv.weight"][0, :, 0, 0].tolist() == [0, 1]


def test_groups_of_another_size_are_refused() -> None:
    arch = one_stage(Bottleneck(3, 1, 2))
    other = one_stage(Bottleneck(3, 1, 4))
    with pytest.raises(UserError, match="groups of 2 channels cannot start one with groups of 4"):
        remap(arch, Backbone(arch).state_dict(), other, Backbone(other).state_dict())


@pytest.mark.parametrize("strategy", ["first", "norm_scale", "std", "l1"])
def test_a_wider_layer_has_nothing_to_choose(strategy: str) -> None:
    layer = small_layer()
    assert select_channels(layer, BLOCK, {"hidden": 4}, strategy) == layer
    assert select_channels(layer, BLOCK, {"hidden": 6}, strategy) == layer


@pytest.mark.parametrize("strategy", ["first", "norm_scale", "std", "l1"])
def test_a_layer_without_expansion_keeps_the_leading_channels_as_the_layer_before_it_does(strategy: str) -> None:
    layer = {name: t for name, t in small_layer().items() if not name.startswith("expand")}
    assert select_channels(layer, MBConv(3, 1).block(4, 2), {"in": 2, "out": 2}, strategy) == layer


@pytest.mark.parametrize("strategy", ["first", "norm_scale", "std", "l1"])
def test_a_narrower_layer_computes_what_its_kept_channels_contribute(strategy: str) -> None:
    # Oracle: the seed layer with all other expanded channels cut off at the projection.
    seed_arch, target_arch = one_stage(MBConv(3, 6)), one_stage(MBConv(3, 3))
    seed, target = Backbone(seed_arch).eval(), Backbone(target_arch).eval()
    seed.load_state_dict(randomised(seed.state_dict()))
    weights, _ = remap(seed_arch, seed.state_dict(), target_arch, target.state_dict(), width=strategy)
    target.load_state_dict(weights)

    part = {n.removeprefix("stages.0.0."): t for n, t in seed.state_dict().items() if n.startswith("stages.0.0.")}
    expand_weight = part["expand.conv.weight"].flatten(1)
    reference = {
        "first": -torch.arange(48.0),
        "norm_scale": part["depthwise.norm.weight"].abs(),
        "std": expand_weight.var(1),
        "l1": expand_weight.norm(p=1, dim=1),
    }[strategy]
    seed.get_parameter("stages.0.0.project.conv.weight").data[:, reference.argsort(descending=True)[24:]] = 0
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(target(x)[0], seed(x)[0], rtol=1e-5, atol=1e-5)


def test_an_unknown_strategy_is_an_error_with_the_known_ones() -> None:
    arch = one_stage(MBConv(3, 6))
    with pytest.raises(UserError, match=r"unknown width strategy 'l2'.*first, l1, norm_scale, std"):
        remap(arch, {}, arch, {}, width="l2")
    with pytest.raises(UserError, match=r"unknown kernel strategy 'center'; did you mean 'centre'"):
        remap(arch, {}, arch, {}, kernel="center")
    with pytest.raises(UserError, match=r"unknown depth strategy 'zero'.*copy, identity"):
        remap(arch, {}, arch, {}, depth="zero")


# Functions that are kept, on real weights.


def seed_at(shared: Path, name: str) -> Seed:
    return load_file(shared / "seeds" / name)


GROWN = {
    "kernel 5": lambda op: MBConv(5, 6),
    "kernel 7": lambda op: MBConv(7, 6),
    "wider": lambda op: MBConv(op.kernel, 9),
    "kernel 7 and wider": lambda op: MBConv(7, 8),
}


@pytest.mark.parametrize("file", SEEDS)
@pytest.mark.parametrize("change", GROWN)
def test_growing_a_layer_keeps_what_it_computes(shared: Path, file: str, change: str) -> None:
    seed = seed_at(shared, file)
    grown = changed_layers(seed.arch, GROWN[change])
    weights = randomised(dict(seed.weights))
    target, _ = remap(seed.arch, weights, grown, Backbone(grown).state_dict())
    for s, i in ((1, 0), (3, 2), (6, 0)):  # a strided layer, one with a residual, and the last one
        stage, cin = seed.arch.stages[s], seed.arch.stages[s - 1].channels if i == 0 else seed.arch.stages[s].channels
        place = Place(f"stages.{s}.{i}", s, cin, stage.channels, stage.stride if i == 0 else 1, 1, (9, 9))
        small, large = (Layer(place, arch.stages[s].layers[i]).double().eval() for arch in (seed.arch, grown))
        for layer, whole in ((small, weights), (large, target)):
            prefix = f"{place.name}."
            layer.load_state_dict({n.removeprefix(prefix): t for n, t in whole.items() if n.startswith(prefix)})
        x = torch.randn(2, cin, 9, 9, dtype=torch.double)
        torch.testing.assert_close(large(x), small(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("file", SEEDS)
def test_growing_every_layer_keeps_the_features_of_the_seed(shared: Path, file: str) -> None:
    seed = seed_at(shared, file)
    grown_arch = changed_layers(seed.arch, lambda op: MBConv(7, 7))
    backbone, grown = Backbone(seed.arch).eval(), Backbone(grown_arch).eval()
    backbone.load_state_dict({n: t for n, t in seed.weights.items() if not n.startswith("last.")})
    weights, report = remap(seed.arch, seed.weights, grown_arch, grown.state_dict())
    grown.load_state_dict(weights)
    x = torch.randn(1, 3, 96, 96)
    torch.testing.assert_close(grown(x)[0], backbone(x)[0], rtol=1e-5, atol=1e-5)
    assert report.unused == tuple(name for name in seed.weights if name.startswith("last."))


def deeper(arch: Arch) -> Arch:
    """Two more layers in every searched stage, wider and with larger kernels."""
    stages = [Stage(s.channels, s.stride, (*s.layers, MBConv(5, 9), MBConv(7, 3))) for s in arch.stages[1:]]
    return Arch(arch.stem, (arch.stages[0], *stages), arch.last)


def test_a_deeper_network_starts_as_the_seed_when_its_added_layers_start_as_identities(shared: Path) -> None:
    seed = seed_at(shared, SEEDS[0])
    backbone, deep = Backbone(seed.arch).eval(), Backbone(deeper(seed.arch)).eval()
    backbone.load_state_dict({n: t for n, t in seed.weights.items() if not n.startswith("last.")})
    weights, report = remap(seed.arch, seed.weights, deep.arch, deep.state_dict(), depth="identity")
    deep.load_state_dict(weights)
    x = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(deep(x)[0], backbone(x)[0], rtol=1e-5, atol=1e-5)
    deep(x)[0].sin().sum().backward()
    scale = deep.get_parameter("stages.1.2.project.norm.weight")
    assert not scale.any()
    assert scale.grad is not None
    assert scale.grad.any(), "and it learns from there"
    assert {e.action for e in report.entries if e.target == "stages.1.2.project.norm.weight"} == {"zero-filled"}


def test_the_papers_depth_rule_copies_the_last_layer_whole(shared: Path) -> None:
    seed = seed_at(shared, SEEDS[0])
    twice = Stage(seed.arch.stages[1].channels, 2, (MBConv(3, 6),) * 3)
    arch = Arch(seed.arch.stem, (seed.arch.stages[0], twice, *seed.arch.stages[2:]), seed.arch.last)
    weights, _ = remap(seed.arch, seed.weights, arch, Backbone(arch).state_dict())
    for name, tensor in weights.items():
        if name.startswith("stages.1.2."):
            assert torch.equal(tensor, seed.weights[name.replace("stages.1.2.", "stages.1.1.")])


def test_wider_stages_keep_the_features_and_add_zero_channels(shared: Path) -> None:
    seed = seed_at(shared, SEEDS[0])
    wide = Backbone(build("mobilenet_v2", 0.5)).eval()
    narrow = Backbone(seed.arch).eval()
    narrow.load_state_dict({n: t for n, t in seed.weights.items() if not n.startswith("last.")})
    wide.load_state_dict(remap(seed.arch, seed.weights, wide.arch, wide.state_dict())[0])
    x = torch.randn(1, 3, 64, 64)
    features, expected = wide(x)[0], narrow(x)[0]
    torch.testing.assert_close(features[:, : expected.shape[1]], expected, rtol=1e-5, atol=1e-5)
    assert not features[:, expected.shape[1] :].any()


def test_the_seeds_own_path_through_a_super_network_gives_the_seeds_features(shared: Path) -> None:
    seed = seed_at(shared, SEEDS[0])
    space = named_space(seed.arch, "segmentation")
    backbone = Backbone(seed.arch).eval()
    backbone.load_state_dict({n: t for n, t in seed.weights.items() if not n.startswith("last.")})
    x = torch.randn(1, 3, 64, 64)
    for share in (False, True):
        net = SuperNet(space, share=share).eval()
        net.load_state_dict(remap(seed.arch, seed.weights, net.weight_space, net.state_dict())[0])
        torch.testing.assert_close(net(x, space.path_of(seed.arch))[0], backbone(x)[0], rtol=1e-5, atol=1e-5)


def test_remapping_into_the_largest_candidate_and_taking_a_part_is_remapping_into_that_part(shared: Path) -> None:
    seed = seed_at(shared, SEEDS[0])
    space = named_space(seed.arch, "segmentation")
    net = SuperNet(space, share=True)
    net.load_state_dict(remap(seed.arch, seed.weights, net.weight_space, net.state_dict())[0])
    for choice in (0, 4):
        path = (choice,) * len(space.searched)
        derived = space.pick(path)
        expected, _ = remap(seed.arch, seed.weights, derived, Backbone(derived).state_dict())
        found = net.path_weights(path)
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("width", [0.25, 0.5])
def test_new_channels_still_learn(width: float) -> None:
    # Zero on both sides would never move. After one step the zero side has moved, so then all must have a gradient.
    seed_arch = mobilenet_v2(0.25)
    seed = Backbone(seed_arch)
    target_arch = changed_layers(mobilenet_v2(width), lambda op: MBConv(3, 9))
    target = Backbone(target_arch)
    target.load_state_dict(remap(seed_arch, randomised(seed.state_dict()), target_arch, target.state_dict())[0])
    target.double().eval()  # norms as they are: the statistics of a batch would hide what is zero
    x = torch.randn(4, 3, 64, 64, dtype=torch.double)
    optimizer = torch.optim.SGD(target.parameters(), lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        target(x)[0].sin().sum().backward()
        optimizer.step()
    learned = 0
    for name, parameter in target.named_parameters():
        rows, columns = seed.state_dict()[name].shape[:2] if parameter.ndim == 4 else (0, 0)
        if parameter.ndim == 4:
            assert parameter.grad is not None
            for new in (parameter.grad[rows:], parameter.grad[:, columns:]):
                learned += new.numel()
                assert not new.numel() or new.any(), name
    assert learned > 0


# Inputs, shapes, report.


@pytest.mark.parametrize("width", ["first", "norm_scale", "std", "l1"])
@pytest.mark.parametrize("kernel", ["centre", "dilate"])
def test_inputs_are_not_changed_and_the_result_shares_nothing_with_them(width: str, kernel: str) -> None:
    seed_arch, target_arch = (
        mobilenet_v2(0.1),
        changed_layers(build("fna_deeplabv3", 0.1), lambda op: MBConv(op.kernel, 3)),
    )
    seed = Backbone(seed_arch).state_dict()
    target = Backbone(target_arch).state_dict() | {"alphas.0": torch.ones(7)}
    before = [{n: t.clone() for n, t in weights.items()} for weights in (seed, target)]
    new, _ = remap(seed_arch, seed, target_arch, target, width, kernel)
    for tensor in new.values():
        tensor.fill_(77)
    for weights, kept in zip((seed, target), before, strict=True):
        assert all(torch.equal(weights[name], kept[name]) for name in kept)


@pytest.mark.parametrize(("bare_norm", "share"), [(False, False), (True, False), (False, True)])
def test_the_report_has_every_target_tensor_once_and_the_rest_of_the_seed(bare_norm: bool, share: bool) -> None:
    seed_arch = mobilenet_v2(0.1)
    seed = Backbone(seed_arch).state_dict() | {"last.conv.weight": torch.zeros(1280, 32, 1, 1)}
    net = SuperNet(named_space(seed_arch, "segmentation"), bare_norm=bare_norm, share=share)
    target = net.state_dict()
    new, report = remap(seed_arch, seed, net.weight_space, target)
    assert sorted(entry.target for entry in report.entries) == sorted(target)
    assert sum(report.counts().values()) == len(target)
    assert set(report.unused) == set(seed) - {entry.source for entry in report.entries}
    assert "last.conv.weight" in report.unused
    assert any(".norm." in name for name in report.unused) is bare_norm
    for entry in report.entries:
        assert entry.target_shape == tuple(target[entry.target].shape)
        if entry.source is None:
            assert entry.target.startswith("alphas.")
            assert entry.action == "initial"
            assert torch.equal(new[entry.target], target[entry.target])
        else:
            assert entry.source_shape == tuple(seed[entry.source].shape)
            if entry.action == "copied":
                assert torch.equal(new[entry.target], seed[entry.source])


def test_actions_say_what_happened_by_hand() -> None:
    seed_arch, target_arch = one_stage(MBConv(3, 6)), one_stage(MBConv(5, 3), MBConv(3, 9))
    report = remap(seed_arch, Backbone(seed_arch).state_dict(), target_arch, Backbone(target_arch).state_dict())[1]
    actions = {entry.target: (entry.action, entry.source) for entry in report.entries}
    assert actions["stem.conv.weight"] == ("copied", "stem.conv.weight")
    narrow, wide, source = "stages.0.0", "stages.0.1", "stages.0.0"
    assert actions[f"{narrow}.expand.conv.weight"] == ("cropped", f"{source}.expand.conv.weight")
    assert actions[f"{narrow}.depthwise.conv.weight"][0] == "zero-filled"
    assert actions[f"{narrow}.depthwise.norm.running_var"][0] == "cropped"
    assert actions[f"{narrow}.project.norm.weight"][0] == "copied"
    assert actions[f"{wide}.expand.conv.weight"] == ("initial", f"{source}.expand.conv.weight")
    assert actions[f"{wide}.expand.norm.weight"][0] == "initial"
    assert actions[f"{wide}.project.conv.weight"][0] == "zero-filled"
    text = report.text()
    assert "stages.0.0.expand.conv.weight" in text
    assert "stem.conv.weight" not in text, "what was simply copied is in the summary only"
    assert text.splitlines()[0].startswith(f"{len(report.entries)} tensors: ")
