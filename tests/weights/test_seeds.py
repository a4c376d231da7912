"""Seeds: other libraries' weights give their features in our backbone; anything else is named and refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import timm
import torch
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import mobilenet_v2

from fna.arch.arch import Arch
from fna.arch.design import Design
from fna.arch.heads import parse_head
from fna.arch.zoo import build
from fna.errors import UserError
from fna.nn.backbone import Backbone
from fna.weights.checkpoint import DESIGN_KEY
from fna.weights.seeds import IMAGENET_MEAN, IMAGENET_STD, Seed, Triple, from_state_dict, load_file, load_named

SEEDS = {"w035": (0.35, (0.5,) * 3, (0.5,) * 3), "w100": (1.0, IMAGENET_MEAN, IMAGENET_STD)}
"""Width, mean and std of the real seeds, as the texts in their metadata say."""


def randomise(module: nn.Module) -> None:
    """Fresh norms are identities and would hide a lost one."""
    generator = torch.Generator().manual_seed(0)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for tensor in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
                assert tensor is not None
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)


def backbone_of(seed: Seed) -> Backbone:
    backbone = Backbone(seed.arch).eval()
    backbone.load_state_dict(
        {name: t for name, t in seed.weights.items() if not name.startswith("last.")}, strict=False
    )
    return backbone


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """A small torchvision state dict."""
    return dict(mobilenet_v2(width_mult=0.1, num_classes=2).state_dict())


@pytest.mark.parametrize("name", SEEDS)
def test_our_backbone_gives_torchvisions_features_on_the_real_seeds(shared: Path, name: str) -> None:
    file = shared / "seeds" / f"mobilenet_v2_{name}_imagenet.safetensors"
    width, mean, std = SEEDS[name]
    seed = load_file(file)
    assert seed.arch == build("mobilenet_v2", width)
    assert (seed.mean, seed.std) == (mean, std)

    theirs = mobilenet_v2(width_mult=width).eval()
    missing, unexpected = theirs.load_state_dict(load_tensors(file), strict=False)
    assert (len(missing), unexpected) == (2, [])
    x = torch.randn(2, 3, 96, 65)
    ours = backbone_of(seed)(x)[0]
    torch.testing.assert_close(ours, theirs.features[:-1](x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["mobilenetv2_035", "mobilenetv2_050", "mobilenetv2_140"])
def test_our_backbone_gives_timms_features_at_any_width(name: str) -> None:
    theirs = timm.create_model(name, pretrained=False).eval()
    randomise(theirs)
    seed = from_state_dict(theirs.state_dict())
    assert seed.arch == build("mobilenet_v2", int(name[-3:]) / 100)
    x = torch.randn(1, 3, 65, 96)
    expected = x
    for name_of_part in ("conv_stem", "bn1", "blocks"):
        expected = theirs.get_submodule(name_of_part)(expected)
    scale = expected.abs().max()
    torch.testing.assert_close(backbone_of(seed)(x)[0] / scale, expected / scale, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["mobilenetv2_110d", "mobilenetv2_120d"])
def test_timms_deeper_variants_are_refused_by_a_key_that_fits_nothing(name: str) -> None:
    with torch.device("meta"):
        deeper = timm.create_model(name, pretrained=False).state_dict()
    with pytest.raises(UserError, match=r"key 'blocks\.\d\.\d\.[^']*' fits no layer of MobileNetV2"):
        from_state_dict(deeper)


@pytest.mark.parametrize("width", [0.1, 0.35, 0.75, 1.4])
def test_the_width_comes_from_the_tensors_and_all_but_the_classifier_is_taken(width: float) -> None:
    theirs = mobilenet_v2(width_mult=width)
    randomise(theirs)
    seed = from_state_dict(theirs.state_dict())
    assert seed.arch == build("mobilenet_v2", width)
    assert sum(t.numel() for t in seed.weights.values()) == sum(
        t.numel() for t in theirs.features.state_dict().values()
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda state: {f"module.{name}": t for name, t in state.items()},
        lambda state: {name: t for name, t in state.items() if not name.startswith("classifier.")},
        lambda state: {name: t for name, t in state.items() if not name.endswith("num_batches_tracked")},
        lambda state: state | {"classifier.1.weight": torch.zeros(7, 1280), "classifier.1.bias": torch.zeros(7)},
    ],
    ids=["module. prefix", "no classifier", "no counters", "another classifier"],
)
def test_harmless_differences_are_accepted(state: dict[str, Tensor], change: Callable[[Any], Any]) -> None:
    seed, unchanged = from_state_dict(change(state)), from_state_dict(state)
    assert seed.arch == unchanged.arch
    assert all(torch.equal(seed.weights[n], t) for n, t in unchanged.weights.items() if not n.endswith("tracked"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"features.19.0.weight": torch.zeros(1)}, "key 'features.19.0.weight' fits no layer"),
        ({"features.0.0.bias": torch.zeros(8)}, "key 'features.0.0.bias' fits no layer"),
        ({"fc.weight": torch.zeros(1)}, "key 'fc.weight' fits no layer"),
        ({"features.3.conv.0.1.running_var": None}, "key 'features.3.conv.0.1.running_var' is missing"),
        ({"features.0.1.weight": torch.zeros(9)}, r"'features.0.1.weight' has shape \(9,\), .* needs \(8,\)"),
        (
            {"features.4.conv.2.weight": torch.zeros(8, 40, 1, 1)},
            r"'features.4.conv.2.weight' has shape \(8, 40, 1, 1\)",
        ),
        (
            {"features.2.conv.0.0.weight": torch.zeros(48, 7, 1, 1)},
            r"'features.2.conv.0.0.weight' .*needs \(48, 8, 1, 1\)",
        ),
        ({"features.5.conv.1.0.weight": torch.zeros(48, 1, 3)}, r"'features.5.conv.1.0.weight' has shape \(48, 1, 3\)"),
        ({"features.5.conv.1.0.weight": torch.zeros(48, 1, 2, 2)}, "'features.5.conv.1.0.weight' .* odd k"),
        ({"features.5.conv.1.0.weight": torch.zeros(0, 1, 3, 3)}, "'features.5.conv.1.0.weight'"),
        ({"features.0.0.weight": torch.full((8, 3, 3, 3), torch.nan)}, "'features.0.0.weight' .* not finite"),
        ({"features.0.0.weight": [1.0]}, "'features.0.0.weight' is a list"),
        ({"features.0.0.weight": None}, "not MobileNetV2 in torchvision's or timm's names; .*features.0.1.weight"),
    ],
)
def test_a_tensor_that_fits_nothing_is_named(state: dict[str, Tensor], change: dict[str, Any], words: str) -> None:
    changed = {name: t for name, t in (state | change).items() if t is not None}
    with pytest.raises(UserError, match=f"mine: .*{words}"):
        from_state_dict(changed, source="mine")


def test_weights_of_another_network_are_refused_with_their_first_keys() -> None:
    with pytest.raises(UserError, match=r"first keys are: 0\.weight, 0\.bias"):
        from_state_dict(nn.Sequential(nn.Linear(2, 2)).state_dict())
    with pytest.raises(UserError, match="first keys are: none"):
        from_state_dict({})


def test_pth_files_are_read_plain_and_wrapped(state: dict[str, Tensor], tmp_path: Path) -> None:
    for data in (state, {"state_dict": state, "epoch": 3, "best": 0.5}):
        torch.save(data, tmp_path / "a.pth")
        seed = load_file(tmp_path / "a.pth")
        assert torch.equal(seed.weights["stem.conv.weight"], state["features.0.0.weight"])
        assert (seed.mean, seed.std) == (IMAGENET_MEAN, IMAGENET_STD)


def test_half_precision_weights_become_float32(state: dict[str, Tensor], tmp_path: Path) -> None:
    save_file({n: t.half() if t.is_floating_point() else t for n, t in state.items()}, tmp_path / "a.safetensors")
    seed = load_file(tmp_path / "a.safetensors")
    assert seed.weights["stem.conv.weight"].dtype == torch.float32


class NotATensor:
    """Something that only unpickling code could make."""


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"epoch": 3, "features.0.0.weight": torch.zeros(1)}, "'epoch' is a int"),
        ({"model": {"features.0.0.weight": torch.zeros(1)}}, "'model' is a dict"),
        ({0: torch.zeros(1)}, "0 is a Tensor, a state dict holds named tensors only"),
        ([torch.zeros(1)], "holds a list, a state dict was expected"),
        (torch.zeros(1), "holds a Tensor, a state dict was expected"),
        (NotATensor(), "cannot be read as tensors alone .*NotATensor"),
        ({"features.0.0.weight": NotATensor()}, "cannot be read as tensors alone .*NotATensor"),
    ],
)
def test_a_pickle_with_anything_but_tensors_is_refused(data: object, words: str, tmp_path: Path) -> None:
    torch.save(data, tmp_path / "a.pth")
    with pytest.raises(UserError, match=f"a.pth: .*{words}"):
        load_file(tmp_path / "a.pth")


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_an_error_with_its_name(
    state: dict[str, Tensor], tmp_path: Path, suffix: str, kept: float
) -> None:
    file = tmp_path / f"cut.{suffix}"
    if suffix == "pth":
        torch.save(state, file)
    else:
        save_file(state, file)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(UserError, match=f"cut.{suffix}: (not a whole safetensors file|cannot be read)"):
        load_file(file)


def test_a_file_that_is_not_there_is_an_error_with_its_name(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(UserError, match=f"no weights file at {path}"):
            load_file(path)


@pytest.mark.parametrize(
    ("metadata", "mean", "std"),
    [
        ({}, IMAGENET_MEAN, IMAGENET_STD),
        ({"mean": "[0.1, 0.2, 0.3]", "std": "[0.4, 0.5, 0.6]"}, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)),
        ({"mean": "[0, 0, 0]"}, (0.0,) * 3, IMAGENET_STD),
        ({"input": "RGB /127.5 - 1 (mean 0.5 std 0.5)"}, (0.5,) * 3, (0.5,) * 3),
        ({"input": "RGB /255, mean .485 .456 .406 std .229 .224 .225"}, IMAGENET_MEAN, IMAGENET_STD),
        ({"input": "mean 0 0 0, std 1 1 1"}, (0.0,) * 3, (1.0,) * 3),
        ({"input": "mean 0.5 std 0.25", "mean": "[0.1, 0.2, 0.3]"}, (0.1, 0.2, 0.3), (0.25,) * 3),
    ],
)
def test_mean_and_std_come_from_the_metadata_unless_given(
    state: dict[str, Tensor], tmp_path: Path, metadata: dict[str, str], mean: Triple, std: Triple
) -> None:
    save_file(state, tmp_path / "a.safetensors", metadata)
    seed = load_file(tmp_path / "a.safetensors")
    assert (seed.mean, seed.std) == (mean, std)
    given = load_file(tmp_path / "a.safetensors", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    assert (given.mean, given.std) == ((0.0,) * 3, (1.0,) * 3)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"mean": "0.5"}, "metadata 'mean' is '0.5', three numbers"),
        ({"std": "[1, 2]"}, "metadata 'std'"),
        ({"std": "[1, 1, 0]"}, "std must be three numbers above 0"),
        ({"mean": "[NaN, 0, 0]"}, "mean must be three numbers"),
        ({"mean": "imagenet"}, "metadata 'mean' is 'imagenet'"),
        ({"input": "BGR 0-255"}, "metadata 'input' is 'BGR 0-255', which does not say mean"),
        ({"input": "mean .5 .5, std .5"}, "does not say mean as one or three numbers"),
    ],
)
def test_metadata_that_says_no_mean_and_std_is_an_error(
    state: dict[str, Tensor], tmp_path: Path, metadata: dict[str, str], words: str
) -> None:
    save_file(state, tmp_path / "a.safetensors", metadata)
    with pytest.raises(UserError, match=f"a.safetensors: .*{words}"):
        load_file(tmp_path / "a.safetensors")


def designed(arch: Arch) -> str:
    """What a network of ours with this backbone says of itself."""
    return Design("none", arch, parse_head("deeplabv3"), 16, (33, 33)).to_json()


def test_a_network_of_ours_is_a_seed_too_its_head_left_behind(tmp_path: Path) -> None:
    arch = build("fna_deeplabv3", 0.1)
    backbone = Backbone(arch).eval()
    randomise(backbone)
    weights = {f"backbone.{name}": t for name, t in backbone.state_dict().items()} | {"head.score": torch.zeros(3)}
    metadata = {DESIGN_KEY: designed(arch), "mean": json.dumps([0.1] * 3), "std": json.dumps([0.2] * 3)}
    save_file(weights, tmp_path / "a.safetensors", metadata)
    seed = load_file(tmp_path / "a.safetensors")
    assert (seed.arch, seed.mean, seed.std) == (arch, (0.1,) * 3, (0.2,) * 3)
    x = torch.randn(1, 3, 33, 33)
    assert torch.equal(backbone_of(seed)(x)[0], backbone(x)[0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"backbone.stem.conv.weight": None}, "key 'backbone.stem.conv.weight' is missing"),
        ({"backbone.stages.9.0.weight": torch.zeros(1)}, "key 'backbone.stages.9.0.weight' fits no layer"),
        ({"backbone.stem.conv.weight": torch.zeros(8, 3, 5, 5)}, "'backbone.stem.conv.weight' has shape"),
    ],
)
def test_a_network_of_ours_that_is_not_what_its_metadata_says_is_refused(
    tmp_path: Path, change: dict[str, Tensor | None], words: str
) -> None:
    arch = build("mobilenet_v2", 0.1)
    weights = {f"backbone.{name}": t for name, t in Backbone(arch).state_dict().items()} | change
    kept = {n: t for n, t in weights.items() if t is not None}
    save_file(kept, tmp_path / "a.safetensors", {DESIGN_KEY: designed(arch)})
    with pytest.raises(UserError, match=words):
        load_file(tmp_path / "a.safetensors")


@pytest.mark.parametrize("error", [URLError("no route"), TimeoutError("slow"), RuntimeError("invalid hash value")])
@pytest.mark.parametrize("name", ["torchvision", "torchvision:IMAGENET1K_V2"])
def test_a_failed_download_is_one_error_that_says_how_to_give_a_file(
    name: str, error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", fail)
    with pytest.raises(UserError, match=f"'{name}' could not be downloaded .*--weights path/to/") as caught:
        load_named(name)
    assert type(error).__name__ in str(caught.value)


def test_timm_without_a_network_is_the_same_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: object, **__: object) -> None:
        raise FileNotFoundError("an error happened while trying to locate the file on the hub")

    monkeypatch.setattr("timm.models._hub.hf_hub_download", fail)
    with pytest.raises(UserError, match=r"'timm:mobilenetv2_050' could not be downloaded .*--weights path/to/"):
        load_named("timm:mobilenetv2_050")


def test_timms_mean_and_std_travel_with_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    net = timm.create_model("mobilenetv2_035", pretrained=False)
    monkeypatch.setattr(net, "pretrained_cfg", {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)})
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: net)
    seed = load_named("timm:mobilenetv2_035")
    assert (seed.mean, seed.std, seed.source) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "timm mobilenetv2_035")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("torchvison", "unknown weights library 'torchvison'; did you mean 'torchvision'"),
        ("torchvision:IMAGENET", "unknown torchvision MobileNetV2 weights 'IMAGENET'.*IMAGENET1K_V1"),
        ("timm:mobilenetv3_100", "unknown timm MobileNetV2 'mobilenetv3_100'.*mobilenetv2_100"),
    ],
)
def test_an_unknown_name_is_an_error_with_the_known_ones(name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        load_named(name)
