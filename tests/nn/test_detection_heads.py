"""Detection heads compute what they describe, from the tensors they say they read."""

import pytest
import torch

from fna.arch.arch import Tap
from fna.arch.heads import describe, grid
from fna.arch.layers import MBConv, Skip
from fna.arch.space import Space, SpaceStage, expand, named_space
from fna.arch.zoo import build, mobilenet_v2
from fna.errors import UserError
from fna.nn.backbone import Backbone
from fna.nn.network import assemble as build_network
from fna.nn.supernet import SuperNet
from fna.weights.remap import remap_last


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        *(("retinanet", 5), ("retinanet(width=32, tower=2, light=true)", 5), ("ssdlite", 6)),
        *(("ssdlite(last=96, extras=64+32+32)", 6), ("ssdlite_fpn(width=32)", 6)),
        *(("ssdlite_fpn(width=32, taps=4+8+16, extra=1)", 6), ("ssdlite_fpn(width=32, taps=16)", 6)),
    ],
)
@pytest.mark.parametrize("imgsz", [(320, 320), (272, 272), (33, 47)])
def test_every_cell_of_every_level_has_its_anchors_scores_and_offsets(
    name: str, outputs: int, imgsz: tuple[int, int]
) -> None:
    arch = build("fna_deeplabv3", 0.1)
    head = describe(name, arch, 5, 32)
    net = build_network(arch, head, 32, 0).eval()
    found = net(torch.randn(2, 3, *imgsz))
    grids = [grid(at, head.taps, arch, imgsz) for at in head.levels]
    assert found["grids"].tolist() == [list(hw) for hw in grids]
    cells = sum(h * w * n for (h, w), n in zip(grids, head.anchors, strict=True))
    assert found["cls_logits"].shape == (2, cells, outputs)
    assert found["bbox_regression"].shape == (2, cells, 4)


def test_ssdlite_at_320_pixels_has_the_grids_and_anchors_of_the_paper() -> None:
    head = describe("ssdlite", mobilenet_v2(), 80, 32)
    grids = [grid(at, head.taps, mobilenet_v2(), (320, 320)) for at in head.levels]
    assert grids == [(n, n) for n in (20, 10, 5, 3, 2, 1)]
    assert sum(h * w * n for (h, w), n in zip(grids, head.anchors, strict=True)) == 2424


def test_channels_that_a_head_reads_follow_from_the_architecture() -> None:
    arch = build("fna_ssdlite", 0.5)
    head = describe("ssdlite", arch, 3, 32)
    assert head.conv("class.0.depthwise").cin == 6 * arch.stages[4].channels
    backbone = Backbone(arch, head.taps)
    shapes = [tap.shape for tap in backbone(torch.randn(1, 3, 64, 96))]
    assert [shape[1] for shape in shapes] == backbone.channels
    assert backbone.strides == [16, 32]
    assert [tuple(shape[2:]) for shape in shapes] == [(4, 6), (2, 3)]


def test_the_expanded_tap_is_what_the_expand_convolution_gives() -> None:
    backbone = Backbone(mobilenet_v2(0.1), [Tap(5, expanded=True), Tap(4)]).eval()
    expanded, before = backbone(torch.randn(1, 3, 64, 64))
    assert torch.equal(expanded, backbone.stages[5][0].expand(before))


def test_boxes_come_cell_by_cell_in_rows() -> None:
    """The order of torchvision's anchors: rows, columns, then the anchors of a cell."""
    arch = mobilenet_v2(0.1)
    head = describe("ssdlite", arch, 2, 32)
    net = build_network(arch, head, 32, 0).eval()
    raw: list[torch.Tensor] = []
    net.head.convs["box"]["0"]["project"].register_forward_hook(lambda m, i, output: raw.append(output))
    boxes = net(torch.randn(1, 3, 64, 96))["bbox_regression"]
    height, width = raw[0].shape[2:]
    assert (height, width) == (4, 6)
    row, column, anchor = 2, 3, 1
    assert torch.equal(
        boxes[0, (row * width + column) * 4 + anchor], raw[0][0, anchor * 4 : anchor * 4 + 4, row, column]
    )


@pytest.mark.parametrize("share", [False, True])
def test_the_mixture_of_a_layer_that_is_read_inside_is_mixed_inside_too(share: bool) -> None:
    ops = (MBConv(3, 6), MBConv(5, 6))
    space = Space(8, (SpaceStage(8, 2, ((MBConv(3, 1),),)), SpaceStage(8, 2, (ops,))), 16)
    taps = (Tap(1, expanded=True), Tap(1))
    net = SuperNet(space, taps, share=share).eval()
    net.alphas[0].data.copy_(torch.tensor([0.0, 1.0]))
    images = torch.randn(2, 3, 32, 32)
    first, second = net(images, (0,)), net(images, (1,))
    p = torch.tensor([0.0, 1.0]).softmax(0)
    for mixed, one, other in zip(net(images), first, second, strict=True):
        torch.testing.assert_close(mixed, p[0] * one + p[1] * other)
    assert [tap.shape[1] for tap in first] == net.channels == [48, 8]


def test_a_path_gives_the_taps_of_the_derived_backbone() -> None:
    space = named_space(mobilenet_v2(0.1), "ssdlite")
    taps = describe("ssdlite", mobilenet_v2(0.1), 1, 32).taps
    net = SuperNet(space, taps).eval()
    path = tuple(len(candidates) - 1 - (Skip() in candidates) for _, candidates in space.searched)
    backbone = Backbone(space.pick(path), taps).eval()
    backbone.load_state_dict(net.path_weights(path))
    images = torch.randn(1, 3, 64, 64)
    for ours, derived in zip(net(images, path), backbone(images), strict=True):
        assert torch.equal(ours, derived)


def test_candidates_of_different_width_under_a_tap_are_refused() -> None:
    space = expand(mobilenet_v2(0.1), (4, 4, 4, 4, 4, 1))
    with pytest.raises(UserError, match=r"reads the expanded tensor of stages\.5\.0"):
        SuperNet(space, [Tap(5, expanded=True)])


def test_the_last_convolution_of_ssdlite_starts_from_the_seeds_and_nothing_else_does() -> None:
    arch = mobilenet_v2(0.1)
    net = build_network(arch, describe("ssdlite", arch, 2, 32), 32, 0)
    before = {name: tensor.clone() for name, tensor in net.head.state_dict().items()}
    seed = {"last.conv.weight": torch.randn(1280, arch.stages[-1].channels, 1, 1), "last.norm.weight": torch.rand(1280)}
    after, entries = remap_last(seed, net.head.state_dict())
    assert torch.equal(after["last.conv.weight"], seed["last.conv.weight"])
    assert torch.equal(after["last.norm.weight"], seed["last.norm.weight"])
    assert [entry.action for entry in entries] == ["copied", "copied"]
    for name, tensor in before.items():
        assert torch.equal(net.head.state_dict()[name], tensor), "inputs are not changed"
        assert name in seed or torch.equal(after[name], tensor)


@pytest.mark.parametrize("name", ["retinanet", "ssdlite"])
def test_in_bf16_weights_that_only_meet_padding_have_no_gradient(name: str) -> None:
    """With memory full of large numbers (see `StridedConv2d`); the last maps are made of one pixel."""
    arch = build("fna_deeplabv3", 0.1)
    net = build_network(arch, describe(name, arch, 5, 32), 32, 0)
    (weight,) = [
        p for key, p in net.head.named_parameters() if key.endswith(("p7.weight", "extra.3.depthwise.conv.weight"))
    ]
    littered = [torch.full((9 * size,), 1e30) for size in (64, 256, 4096, 65536)]
    del littered
    with torch.autocast("cpu", torch.bfloat16):
        found = net(torch.randn(4, 3, 64, 64))
    (gradient,) = torch.autograd.grad(found["cls_logits"].float().square().sum(), weight)
    assert gradient[:, :, 1, 1].abs().max() > 0
    gradient[:, :, 1, 1] = 0
    assert not gradient.any()
