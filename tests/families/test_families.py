"""Every family keeps the contract of `check_family`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torchvision
from torch import nn

from fna.arch.arch import Arch
from fna.arch.layers import LayerOp
from fna.families import mobilenet_v2, mobilenet_v3, resnet
from fna.families.family import Found
from fna.weights.renaming import renamed
from fna.weights.seeds import read_state
from tests.families.contract import Change, Reference, check_family, check_features

V2, V3, RESNET = mobilenet_v2.FAMILY, mobilenet_v3.FAMILY, resnet.FAMILY


def each(change: Callable[[LayerOp], LayerOp]) -> Callable[[Arch], Arch]:
    """The same change in every layer that has one to make."""
    return lambda arch: replace(
        arch, stages=tuple(replace(stage, layers=tuple(map(change, stage.layers))) for stage in arch.stages)
    )


def wider(op: LayerOp) -> LayerOp:
    """Half as wide again inside, where a layer has an inner width of its own."""
    return op if str(op).startswith("k") and op.expansion == 1 else replace(op, expansion=whole(op.expansion * 1.5))


def narrower(op: LayerOp) -> LayerOp:
    """Half as wide inside."""
    return op if str(op).startswith("k") and op.expansion < 2 else replace(op, expansion=whole(op.expansion / 2))


def whole(expansion: float) -> float:
    return int(expansion) if float(expansion).is_integer() else expansion


def deeper(arch: Arch) -> Arch:
    """Two more layers at the end of every stage."""
    return replace(arch, stages=tuple(replace(s, layers=(*s.layers, *[s.layers[-1]] * 2)) for s in arch.stages))


def shallower(arch: Arch) -> Arch:
    """Only the first layer of every stage."""
    return replace(arch, stages=tuple(replace(s, layers=s.layers[:1]) for s in arch.stages))


CHANGES = {
    "larger kernels": Change(each(lambda op: replace(op, kernel=op.kernel + 2)), keeps=True),
    "wider inside": Change(each(wider), keeps=True),
    "larger kernels, wider inside": Change(each(lambda op: replace(wider(op), kernel=7)), keeps=True),
    "deeper, added layers as identities": Change(deeper, keeps=True, how={"depth": "identity"}),
    "deeper": Change(deeper),
    "shallower": Change(shallower),
    "dilated kernels": Change(each(lambda op: replace(op, kernel=7)), how={"kernel": "dilate"}),
    **{
        f"narrower inside by {width}": Change(each(narrower), how={"width": width})
        for width in ("first", "norm_scale", "std", "l1")
    },
    "all at once": Change(
        lambda arch: deeper(each(lambda op: replace(narrower(op), kernel=5))(arch)), how={"width": "l1"}
    ),
}


def features(*ends: int) -> tuple[str, ...]:
    return tuple(f"features.{end}" for end in ends)


def blocks(count: int) -> tuple[str, ...]:
    return tuple(f"blocks.{s}" for s in range(count))


LAYERS = tuple(f"layer{s}" for s in range(1, 5))


def of_timm(name: str) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(name, pretrained=False)


def of_torchvision(name: str) -> Callable[[], nn.Module]:
    return lambda: torchvision.models.get_model(name, weights=None)


def timms(arch: Arch, same_padding: bool = False) -> Arch:
    return replace(arch, frame=replace(arch.frame, same_padding=same_padding, epsilon=1e-3 if same_padding else 1e-5))


SMALL, LARGE = V3.archs["mobilenet_v3_small"], V3.archs["mobilenet_v3_large"]
REFERENCES = {
    "mobilenet_v2": Reference(
        V2, "torchvision", V2.archs["mobilenet_v2"], of_torchvision("mobilenet_v2"), features(1, 3, 6, 10, 13, 16, 17)
    ),
    "timm mobilenetv2_100": Reference(V2, "timm", V2.archs["mobilenet_v2"], of_timm("mobilenetv2_100"), blocks(7)),
    "mobilenet_v3_small": Reference(
        V3, "torchvision", SMALL, of_torchvision("mobilenet_v3_small"), features(1, 3, 6, 8, 11)
    ),
    "mobilenet_v3_large": Reference(
        V3, "torchvision", LARGE, of_torchvision("mobilenet_v3_large"), features(1, 3, 6, 10, 12, 15)
    ),
    "timm mobilenetv3_large_100": Reference(V3, "timm", timms(LARGE), of_timm("mobilenetv3_large_100"), blocks(6)),
    "timm tf_mobilenetv3_small_100": Reference(
        V3, "tensorflow", timms(SMALL, True), of_timm("tf_mobilenetv3_small_100"), blocks(5)
    ),
    **{
        name: Reference(RESNET, "torchvision", RESNET.archs[name], of_torchvision(name), LAYERS)
        for name in ("resnet18", "resnet50", "resnext50_32x4d")
    },
}


REMAPPED = (
    "mobilenet_v2",
    "mobilenet_v3_small",
    "timm tf_mobilenetv3_small_100",
    "resnet18",
    "resnet50",
    "resnext50_32x4d",
)
"""Those that all changes are tried on; the others consist of the same kinds of layers."""


@pytest.mark.parametrize("name", REFERENCES)
def test_a_family_is_what_another_library_has(name: str) -> None:
    check_family(REFERENCES[name], CHANGES if name in REMAPPED else {})


def test_a_checkpoint_of_tensorflow_is_recognised_and_computes_what_timm_does(shared: Path) -> None:
    """Real weights; under symmetric padding they lose 20 points of accuracy."""
    state, metadata = read_state(shared / "seeds" / "mobilenet_v3_small_100_imagenet_q8.safetensors")
    assert metadata["padding"] == "TF SAME"
    found = V3.find(state)
    assert found is not None
    arch, weights, _ = renamed(state, V3, Found(V3.libraries["tensorflow"], found.variant), "the seed")
    assert arch == timms(SMALL, same_padding=True)
    theirs = timm.create_model("tf_mobilenetv3_small_100", pretrained=False)
    theirs.load_state_dict(state)
    kept = {name: t for name, t in weights.items() if not name.startswith(("last.", "pooled."))}
    check_features(arch, kept, theirs.eval(), blocks(5))
