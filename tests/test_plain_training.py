"""A plain backbone in the whole pipeline: trained under every head, evaluated, used for prediction, and reported."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from drawn import TINY, configured, draw_data
from drawn_boxes import TINY_BOXES, draw_boxes
from fna import jobs, pipeline
from fna.arch.design import Design
from fna.arch.plain import PlainBackbone
from fna.cli.main import main
from fna.errors import UserError
from fna.nn.plain import build_features
from fna.report import results
from fna.train.adapt import remapped
from fna.use.load import load, load_backbone
from fna.use.predict import predict

NAME = "timm:lcnet_050"
SHORT = {"steps": 2, "refresh_steps": 1, "validate_steps": 2, "batch": 2}


def config(base: dict[str, Any] = TINY, **changes: Any) -> Any:
    return configured(base, backbone=NAME, adapt=SHORT, **changes)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_data(tmp_path_factory.mktemp("scenes") / "data", train=4, val=2)


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_boxes(tmp_path_factory.mktemp("boxes") / "data", train=4, val=2)


@pytest.fixture(scope="module")
def trained(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "r"
    return pipeline.execute("train", jobs.start("train", scenes, out, config()))


def weights_file(tmp_path: Path, **changes: Any) -> Path:
    """A file with the whole model of timm, random but not as any seed of ours makes it."""
    state = timm.create_model(NAME.removeprefix("timm:")).state_dict() | changes
    save_file({name: tensor for name, tensor in state.items() if tensor is not None}, tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def test_the_run_folder_holds_the_backbone_and_what_comes_from_it(trained: Path, scenes: Path, tmp_path: Path) -> None:
    backbone = Design.load(trained / "train/design.json").arch
    assert isinstance(backbone, PlainBackbone)
    assert (backbone.name, backbone.strides) == (NAME, (2, 4, 8, 16, 32))
    assert (
        pipeline.validate(trained)["mIoU"] == json.loads((trained / "train/metrics.json").read_text())["best"]["mIoU"]
    )
    (picture,) = predict(trained, [scenes / "images/val/0.png"], tmp_path / "out", "cpu")
    assert picture.result.is_file()
    report = (trained / "report.md").read_text()
    assert "`timm:lcnet_050, weights none`" in report
    assert not (trained / "report/architectures.png").exists()
    assert "seed architecture, random weights" in results([trained], "results")


def test_weights_are_trained_and_norms_see_the_data(trained: Path) -> None:
    job = jobs.reopen(trained)[1]
    start = remapped(job.run.config, job.task, job.seed, job.design(job.seed.arch))[0].state_dict()
    end = load_file(trained / "train/last.safetensors")
    assert end.keys() == start.keys()
    for name in ("conv_stem.weight", "bn1.running_mean", "bn1.weight"):
        assert not torch.equal(start[f"backbone.features.body.{name}"], end[f"backbone.features.body.{name}"])


def test_the_trained_backbone_can_be_taken_alone(trained: Path) -> None:
    images = torch.rand(1, 3, 64, 96)
    alone, network = load_backbone(trained), load(trained)
    assert [tuple(x.shape[1:2]) for x in alone(images)] == [(c,) for c in alone.channels]
    torch.testing.assert_close(alone(images)[-1], network.backbone(images)[-1])


@pytest.mark.parametrize("head", ["deeplabv3plus", "retinanet", "ssdlite"])
def test_every_head_trains_and_predicts(head: str, scenes: Path, boxes: Path, tmp_path: Path) -> None:
    data, base = (scenes, TINY) if head == "deeplabv3plus" else (boxes, TINY_BOXES)
    job = jobs.start("train", data, tmp_path / "r", config(base, head=head))
    run = pipeline.execute("train", job)
    assert 0 <= pipeline.validate(run)["score"] <= 1
    image = next(iter(sorted(data.rglob("val/*.png"))))
    assert len(predict(run, [image], tmp_path / "out", "cpu")) == 1


def test_a_file_with_timms_names_is_where_training_starts(tmp_path: Path) -> None:
    file = weights_file(tmp_path, **{"classifier.weight": None, "classifier.bias": None})
    seed = jobs.load_seed(config(weights=str(file)))
    model = timm.create_model("lcnet_050").eval()
    model.load_state_dict(load_file(file), strict=False)
    features = build_features(NAME).eval()
    features.load_state_dict(seed.weights)
    images = torch.rand(1, 3, 64, 64)
    # `forward_features` goes on to the last convolution; the blocks before it are what the deepest output is.
    deep = model.blocks(model.bn1(model.conv_stem(images)))
    torch.testing.assert_close(features(images)[-1], deep)


def test_a_trained_network_is_a_seed_for_the_same_backbone(trained: Path) -> None:
    file = trained / "train/last.safetensors"
    seed = jobs.load_seed(config(weights=str(file)))
    written = load_file(file)
    job = jobs.reopen(trained)[1]
    start = remapped(job.run.config, job.task, seed, job.design(seed.arch))[0].backbone.state_dict()
    assert start
    assert all(torch.equal(tensor, written[f"backbone.{name}"]) for name, tensor in start.items())
    with pytest.raises(UserError, match="holds timm:lcnet_050, but the backbone is timm:resnet18"):
        jobs.load_seed(config(weights=str(file)).model_copy(update={"backbone": "timm:resnet18"}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"conv_stem.weight": None}, ["'conv_stem.weight' is missing"]),
        ({"conv_stem.weight": torch.zeros(8, 1, 3, 3)}, ["'conv_stem.weight'", "(8, 1, 3, 3)", "(8, 3, 3, 3)"]),
        ({"blocks.9.weight": torch.zeros(1)}, ["'blocks.9.weight'", "conv_stem.weight"]),
    ],
)
def test_a_file_of_another_model_names_what_does_not_fit(
    changes: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        jobs.load_seed(config(weights=str(weights_file(tmp_path, **changes))))
    assert [word for word in words if word not in str(caught.value)] == []


def test_input_statistics_are_timms_unless_given() -> None:
    assert jobs.load_seed(config()).mean == (0.485, 0.456, 0.406)
    # MobileViT's images are only scaled to [0, 1] (arXiv 2110.02178, as timm has it).
    seed = jobs.load_seed(config().model_copy(update={"backbone": "timm:mobilevit_xxs"}))
    assert (seed.mean, seed.std) == ((0, 0, 0), (1, 1, 1))
    assert jobs.load_seed(config(mean=[0.1, 0.2, 0.3])).mean == (0.1, 0.2, 0.3)


def test_weights_that_cannot_be_downloaded_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    create_model = timm.create_model

    def offline(name: str, pretrained: bool = False, **options: Any) -> Any:
        if pretrained:
            raise OSError("no network")
        return create_model(name, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(UserError, match=r"timm:lcnet_050 could not be had .*no network.* --weights path/to/lcnet_050"):
        jobs.load_seed(config(weights="DEFAULT"))


@pytest.mark.parametrize("verb", ["adapt", "search"])
def test_a_plain_backbone_is_not_searched(verb: str, scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs a MobileNetV2-like seed .*fna train trains it as it is"):
        jobs.start(verb, scenes, tmp_path / "r", config())
    assert not (tmp_path / "r").exists()


def test_an_output_stride_that_it_cannot_have_is_refused_before_anything_is_written(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", str(scenes), "--backbone", "timm:edgenext_xx_small", "--out", str(tmp_path / "r")]
    assert main([*words, "--head", "deeplabv3"]) == 2
    assert "has no output stride 16" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_no_other_architecture_is_trained_from_a_plain_backbone(scenes: Path, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--arch mobilenet_v2: timm:lcnet_050 is trained as it is"):
        jobs.start("train", scenes, tmp_path / "r", config(), "mobilenet_v2")
    with pytest.raises(UserError, match="has no layers as data; fna train --backbone timm:lcnet_050"):
        jobs.start("train", scenes, tmp_path / "r", configured(TINY), str(trained / "train/design.json"))
