"""The rules of detectors: the same losses and boxes as torchvision's own models, and the traps of their conventions."""

from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection.retinanet import RetinaNet
from torchvision.models.detection.ssd import SSD

from fna.arch.heads import DetectorKind, describe, parse_head
from fna.arch.zoo import mobilenet_v2
from fna.config.resolved import with_defaults
from fna.config.sections import Detection
from fna.errors import UserError
from fna.nn.network import Network, assemble
from fna.tasks.detection.detectors import Detector, detector_for

CLASSES = 3
HEADS = [
    *("retinanet", "retinanet(width=32, tower=2, light=true)", "ssdlite", "ssdlite(last=96, extras=64+32+32)"),
    *("ssdlite_fpn(width=32)", "ssdlite_fpn(width=32, taps=16, extra=1)"),
]
ARCH = mobilenet_v2(0.1)
SIZE = (64, 96)


def network(name: str) -> Network:
    return assemble(ARCH, describe(name, ARCH, CLASSES, 32), 32, 0).eval()


def rules(name: str, **how: Any) -> Detector:
    return detector_for(parse_head(name), CLASSES, Detection(**how))


def images(count: int = 2) -> Tensor:
    return torch.randn(count, 3, *SIZE, generator=torch.Generator().manual_seed(1))


def targets(first_label: int = 0) -> list[dict[str, Tensor]]:
    boxes = torch.tensor([[4.0, 6.0, 30.0, 40.0], [50.0, 10.0, 90.0, 60.0]])
    return [
        {"boxes": boxes, "labels": torch.tensor([0, 2]) + first_label},
        {"boxes": boxes[:1], "labels": torch.tensor([1]) + first_label},
    ]


class Features(nn.Module):
    """Our backbone with everything of our head before the predictions, in the form in which torchvision takes it."""

    out_channels = 256

    def __init__(self, net: Network) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        taps = self.net.backbone(x)
        return self.net.head.fpn(OrderedDict((str(i), tap) for i, tap in enumerate(taps)))


def test_retinanet_gives_torchvisions_losses_and_boxes() -> None:
    net, ours = network("retinanet"), rules("retinanet", score_threshold=0.005)
    theirs = RetinaNet(
        Features(net),
        CLASSES,
        min_size=SIZE[0],
        max_size=SIZE[1],
        image_mean=[0, 0, 0],
        image_std=[1, 1, 1],
        head=net.head.outputs,
        score_thresh=0.005,
        detections_per_img=100,
    )
    batch = images()
    with torch.no_grad():
        outputs = net(batch)
        theirs.training = True  # of itself alone: the norms of the network stay in evaluation mode
        expected = theirs(list(batch), targets())
        found = ours.losses(outputs, SIZE, targets())
        assert found.keys() == expected.keys()
        for name, loss in expected.items():
            torch.testing.assert_close(found[name], loss)
        for our, their in zip(ours.detect(net(batch), SIZE, [SIZE] * 2), theirs.eval()(list(batch)), strict=True):
            assert len(our["boxes"]) > 5, "else nothing was compared"
            for key in ("boxes", "scores", "labels"):
                torch.testing.assert_close(our[key], their[key])


class Outputs(nn.Module):
    """Our raw outputs as torchvision's SSD head gives them."""

    def __init__(self, net: Network) -> None:
        super().__init__()
        self.net = net

    def forward(self, features: list[Tensor]) -> dict[str, Tensor]:
        found = self.net.head(features[-2:], SIZE)
        return {key: found[key] for key in ("cls_logits", "bbox_regression")}


class Maps(nn.Module):
    """Maps of the sizes at which we predict, for the anchors, and then the two taps for the head."""

    def __init__(self, net: Network) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        taps = self.net.backbone(x)
        grids = self.net.head(taps, SIZE)["grids"].tolist()
        maps = [x.new_zeros(len(x), 1, h, w) for h, w in grids]
        return OrderedDict((str(i), tensor) for i, tensor in enumerate([*maps, *taps]))


def test_ssdlite_gives_torchvisions_losses_and_boxes() -> None:
    net, ours = network("ssdlite"), rules("ssdlite", score_threshold=0.2)
    generator = ours.rules.anchor_generator

    class SixMaps(nn.Module):
        """The generator without the taps that ride along."""

        def forward(self, image_list: Any, maps: list[Tensor]) -> list[Tensor]:
            return generator(image_list, maps[:6])

    theirs = SSD(
        Maps(net),
        SixMaps(),
        (SIZE[1], SIZE[0]),
        CLASSES + 1,
        image_mean=[0, 0, 0],
        image_std=[1, 1, 1],
        head=Outputs(net),
        score_thresh=0.2,
        nms_thresh=0.6,
    )
    theirs.transform.fixed_size = SIZE[::-1]
    batch = images()
    with torch.no_grad():
        outputs = net(batch)
        theirs.training = True  # of itself alone: the norms of the network stay in evaluation mode
        expected = theirs(list(batch), targets(first_label=1))
        found = ours.losses(outputs, SIZE, targets())
        assert found.keys() == expected.keys()
        for name, loss in expected.items():
            torch.testing.assert_close(found[name], loss)
        for our, their in zip(ours.detect(outputs, SIZE, [SIZE] * 2), theirs.eval()(list(batch)), strict=True):
            assert len(our["boxes"]) > 5, "else nothing was compared"
            torch.testing.assert_close(our["boxes"], their["boxes"])
            torch.testing.assert_close(our["scores"], their["scores"])
            assert torch.equal(our["labels"] + 1, their["labels"])


def test_the_first_class_is_not_the_background_in_ssdlite() -> None:
    """torchvision takes label 0 for the background, and learns an object as nothing without a word."""
    outputs, detector = network("ssdlite")(images(1)), rules("ssdlite")
    target = [{"boxes": torch.tensor([[4.0, 6.0, 60.0, 50.0]]), "labels": torch.tensor([0])}]
    trap = detector.rules.compute_loss(
        target,
        outputs,
        detector.anchors(outputs, SIZE),
        [torch.zeros(len(outputs["cls_logits"][0]), dtype=torch.int64)],
    )
    assert float(trap["classification"].detach()) == 0
    assert float(detector.losses(outputs, SIZE, target)["classification"].detach()) > 0.1


def test_an_image_without_boxes_teaches_retinanet_and_nothing_to_ssdlite() -> None:
    nothing = [{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}]
    losses = {name: rules(name).losses(network(name)(images(1)), SIZE, nothing) for name in HEADS}
    for name in ("ssdlite", "ssdlite_fpn(width=32)"):
        assert all(float(loss.detach()) == 0 for loss in losses[name].values())
    assert float(losses["retinanet"]["classification"].detach()) > 0
    sum(losses["ssdlite"].values()).backward()  # type: ignore[union-attr]  # still part of the graph: a batch of such images is no error


def test_a_box_without_an_area_is_what_torchvision_stops_at() -> None:
    """Why such boxes are left out, with their names, when data are read."""
    flat = [{"boxes": torch.tensor([[10.0, 10.0, 10.0, 30.0]]), "labels": torch.tensor([1])}]
    model = RetinaNet(Features(network("retinanet")), CLASSES, head=network("retinanet").head.outputs).train()
    with pytest.raises(AssertionError, match="positive height and width"):
        model(list(images(1)), flat)


@pytest.mark.parametrize("name", HEADS)
def test_a_detector_that_is_sure_of_a_box_gives_that_box(name: str) -> None:
    detector = rules(name)
    outputs = {key: tensor.detach() for key, tensor in network(name)(images(1)).items()}
    (anchors,) = detector.anchors(outputs, SIZE)
    wanted = torch.tensor([[12.0, 8.0, 52.0, 48.0]])
    best = (anchors - wanted).abs().sum(1).argmin()
    background = name.startswith("ssdlite")
    logits = torch.full_like(outputs["cls_logits"], -10.0)
    if background:
        logits[..., 0] = 10.0
        logits[0, best, 0] = -10.0
    logits[0, best, 2 + background] = 10.0
    offsets = torch.zeros_like(outputs["bbox_regression"])
    offsets[0, best] = detector.rules.box_coder.encode_single(wanted, anchors[best][None])[0]
    (found,) = detector.detect(outputs | {"cls_logits": logits, "bbox_regression": offsets}, SIZE, [SIZE])
    assert found["labels"].tolist() == [2]
    torch.testing.assert_close(found["boxes"], wanted, rtol=1e-4, atol=1e-3)
    assert float(found["scores"]) > 0.99


def test_half_precision_outputs_do_not_blur_the_anchors() -> None:
    outputs, detector = network("ssdlite")(images(1)), rules("ssdlite")
    half = {key: tensor.to(torch.bfloat16) if tensor.is_floating_point() else tensor for key, tensor in outputs.items()}
    assert torch.equal(detector.anchors(half, SIZE)[0], detector.anchors(outputs, SIZE)[0])


def test_scales_and_anchors_are_the_papers_for_six_maps_and_span_the_same_sizes_for_any_number() -> None:
    def settings(head: str) -> tuple[tuple[float, ...], tuple[int, ...]]:
        kind = parse_head(head)
        assert isinstance(kind, DetectorKind)
        scales = with_defaults(kind, Detection()).anchor_scales
        assert scales is not None
        return scales, kind.anchors

    # The authors' configuration, and SSD's two layouts: 300 pixels with six maps, 512 pixels with seven.
    assert settings("ssdlite") == ((0.1, 0.2, 0.38, 0.56, 0.74, 0.92, 1.1), (4, 6, 6, 6, 4, 4))
    scales, anchors = settings("ssdlite(extras=512+256+256+128+128)")
    assert anchors == (4, 6, 6, 6, 6, 4, 4)
    assert (scales[0], scales[1], scales[-1]) == (0.1, 0.2, 1.1)
    assert settings("ssdlite_fpn(taps=16, extra=1)")[1] == (4, 4, 4)


def test_a_number_of_scales_that_is_not_that_of_the_maps_is_refused() -> None:
    with pytest.raises(UserError, match=r"anchor_scales has 3 numbers, but ssdlite has 6 maps: give 7"):
        rules("ssdlite", anchor_scales=(0.1, 0.5, 0.9))
    assert rules("ssdlite(extras=64)", anchor_scales=(0.1, 0.5, 0.9, 1.1))


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("hw", [(272, 272), (33, 47)])
def test_anchors_lie_on_the_maps_that_there_are_and_boxes_inside_of_the_image(name: str, hw: tuple[int, int]) -> None:
    net, detector = network(name), rules(name, score_threshold=0.001)
    x = torch.randn(1, 3, *hw, generator=torch.Generator().manual_seed(0))
    outputs = {key: tensor.detach() for key, tensor in net(x).items()}
    (anchors,) = detector.anchors(outputs, hw)
    assert len(anchors) == outputs["cls_logits"].shape[1]
    sides = torch.tensor([hw[1], hw[0]])
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    assert bool((centres >= 0).all())
    assert bool((centres <= sides).all())
    # From one edge of the image to the other: no cell of the finest map is further away than two cells.
    rows, columns = outputs["grids"][0].tolist()
    first = centres[: rows * columns * detector.rules.anchor_generator.num_anchors_per_location()[0]]
    assert bool((first.amax(0) >= sides - 2 * sides / torch.tensor([columns, rows])).all())
    (found,) = detector.detect(outputs, hw, [hw])
    assert len(found["boxes"]) > 0
    assert bool((found["boxes"] >= 0).all())
    assert bool((found["boxes"] <= sides.repeat(2)).all())
