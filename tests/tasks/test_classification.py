"""Classification through the same verbs as the other tasks: logits, accuracy, training, prediction, seeds."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file as load_tensors
from torch import Tensor, nn
from torchvision.models import mobilenet_v2

from drawn import assert_equal_weights, configured, stop_at
from drawn_boxes import draw_boxes
from drawn_classes import COLOURS, TINY_CLASSES, draw_classes
from fna import jobs, pipeline
from fna.arch import zoo
from fna.arch.arch import Arch
from fna.arch.design import Design
from fna.arch.heads import describe, parse_head
from fna.cli.main import main
from fna.config.config import Config
from fna.cost.count import count_model
from fna.errors import Interrupted, UserError
from fna.nn.network import Network
from fna.tasks.classification.evaluator import ClassificationEvaluator
from fna.tasks.classification.task import Classification
from fna.train.adapt import remapped
from fna.use.load import load
from fna.weights.seeds import Seed, from_state_dict, load_file

NARROW = zoo.lookup("mobilenet_v2_w010")


def config(**changes: Any) -> Config:
    return configured(TINY_CLASSES, **changes)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_classes(tmp_path_factory.mktemp("data") / "colours")


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished `fna adapt` run."""
    return pipeline.execute("adapt", jobs.start("adapt", data, tmp_path_factory.mktemp("runs") / "a", config()))


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished `fna train` run, long enough to learn colours."""
    how = {"steps": 40, "validate_steps": 20, "lr": 3e-3, "head_lr_factor": 1.0}
    return pipeline.train(data, out=tmp_path_factory.mktemp("runs") / "t", **(TINY_CLASSES | {"adapt": how}))


def network_of(seed: Seed, classes: int, arch: Arch | None = None) -> tuple[Network, str]:
    """The classifier of an architecture started from a seed, in eval mode, and what the remapping says of it."""

    task = SimpleNamespace(classes=range(classes))
    design = Design(seed.name, arch or seed.arch, parse_head("classifier"), 32, (224, 224))
    network, report = remapped(Config(output_stride=32), task, seed, design)  # type: ignore[arg-type]
    assert report is not None
    return network.eval(), report.text()


@pytest.mark.parametrize(("name", "width"), [("w035", 0.35), ("w100", 1.0)])
def test_a_seed_with_a_classifier_gives_torchvisions_logits(shared: Path, name: str, width: float) -> None:
    theirs = mobilenet_v2(width_mult=width).eval()  # the classifier is drawn: the files hold none
    theirs.load_state_dict(load_tensors(shared / "seeds" / f"mobilenet_v2_{name}_imagenet.safetensors"), strict=False)
    network, said = network_of(from_state_dict(theirs.state_dict()), 1000)
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(network(images), theirs(images), atol=1e-4, rtol=1e-4)
    assert "head." not in said, "all of it is copied"


def test_another_number_of_classes_starts_anew_and_the_report_says_so() -> None:
    seed = from_state_dict(mobilenet_v2(width_mult=0.1, num_classes=7).state_dict())
    network, said = network_of(seed, 5)
    assert "initial      head.linear.weight (5, 1280) from None" in said
    assert torch.equal(network.head.last.conv.weight, seed.weights["last.conv.weight"])  # type: ignore[union-attr,arg-type]
    bare = from_state_dict(
        {n: t for n, t in mobilenet_v2(width_mult=0.1).state_dict().items() if "classifier" not in n}
    )
    assert "initial      head.linear.bias" in network_of(bare, 1000)[1]


def test_cost_is_that_of_the_published_network() -> None:
    arch = zoo.lookup("mobilenet_v2")
    count = count_model(arch, describe("classifier", arch, 1000, 32), (224, 224), 32)
    assert count.params == 3_504_872, "torchvision's documentation of mobilenet_v2"
    assert round(count.madds / 1e9, 2) == 0.30, "MobileNetV2 paper, table 4: 300 M"


class Fixed(nn.Module):
    """Logits that are the image itself."""

    def forward(self, images: Tensor) -> Tensor:
        return images[:, :, 0, 0]


def test_accuracies_are_those_counted_by_hand() -> None:
    names = [f"c{i}" for i in range(7)]
    logits = torch.arange(7.0).repeat(6, 1)  # class 6 first, so 1 and 0 are not among five
    labels = torch.tensor([6, 6, 2, 1, 0, 0])
    logits[5, 0] = 99.0  # the last image is right
    evaluator = ClassificationEvaluator(names)
    for part in (slice(0, 4), slice(4, 6)):
        evaluator.update(Fixed(), {"image": logits[part, :, None, None], "label": labels[part]})
    result = evaluator.result()
    assert result["top1"] == result["score"] == pytest.approx(3 / 6)
    assert result["top5"] == pytest.approx(4 / 6)
    expected = {"c0": 0.5, "c1": 0.0, "c2": 0.0, "c3": None, "c4": None, "c5": None, "c6": 1.0}
    assert result["per_class"] == expected


def test_few_classes_have_no_top5() -> None:
    evaluator = ClassificationEvaluator(["a", "b", "c", "d", "e"])
    evaluator.update(Fixed(), {"image": torch.eye(5)[:, :, None, None], "label": torch.arange(5)})
    assert "top5" not in evaluator.result()


def test_the_task_and_all_that_depends_on_it_are_found_from_the_data(finished: Path) -> None:
    written = pipeline.load_config(finished / "config.yaml")
    assert (written.task, written.head, written.output_stride, written.imgsz) == ("cls", "classifier", 32, (48, 48))
    about = json.loads((finished / "dataset.json").read_text())
    assert (about["classes"], about["train_images"]) == (["Green", "blue", "red"], [6, 6, 6])


def test_images_are_224_pixels_unless_said_otherwise(data: Path, tmp_path: Path) -> None:
    assert jobs.start("train", data, tmp_path / "r", config(imgsz=None)).task.imgsz == (224, 224)


def test_search_and_derivation_keep_to_the_seeds_cost(finished: Path) -> None:
    train = json.loads((finished / "train/cost.json").read_text())
    seed = json.loads((finished / "seed.json").read_text())["cost"]  # no training of its own where the search kept it
    assert train["madds"] <= seed["madds"]
    assert "## accuracy per class" in (finished / "report.md").read_text()


def test_training_learns_colours(trained: Path) -> None:
    best = json.loads((trained / "train/metrics.json").read_text())["best"]
    assert best["top1"] >= 0.8, "chance is 1/3"


def test_val_and_predict_agree(data: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["val", str(trained)]) == 0
    assert "top1" in capsys.readouterr().out
    result = json.loads((trained / "val/metrics.json").read_text())
    assert main(["predict", str(trained), str(data / "val"), "--out", str(tmp_path / "o"), "--device", "cpu"]) == 0
    assert [file.name for file in (tmp_path / "o").iterdir()] == ["predictions.json"]
    found = json.loads((tmp_path / "o/predictions.json").read_text())
    assert len(found) == 6
    right = [Path(one["image"]).parent.name == one["classes"][0]["class"] for one in found]
    assert sum(right) / len(right) == pytest.approx(result["top1"])
    for one in found:
        probabilities = [c["probability"] for c in one["classes"]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1, abs=1e-4), "all three classes"
        assert {c["class"] for c in one["classes"]} == set(COLOURS)


def test_a_trained_classifier_is_a_seed_whose_classifier_and_last_convolution_are_kept(trained: Path) -> None:
    seed = load_file(trained / "train/best.safetensors")
    network, said = network_of(seed, 3)
    images = torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        torch.testing.assert_close(network(images), load(trained)(images))
    assert "unused" not in said.partition("\n")[2]


def test_a_training_stopped_by_ctrl_c_resumes_to_the_same_weights(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pipeline.execute("train", jobs.start("train", data, tmp_path / "whole", config()))
    job = jobs.start("train", data, tmp_path / "stopped", config())
    with monkeypatch.context() as patch:
        stop_at(patch, Classification, 4)
        with pytest.raises(Interrupted):
            pipeline.execute("train", job)
    verb, job, arch = jobs.reopen(job.run.folder)
    assert_equal_weights(pipeline.execute(verb, job, arch), whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": "deeplabv3"}, "head 'deeplabv3' does not fit the task 'cls'; its heads are classifier"),
        ({"task": "det"}, "did you mean --task cls"),
        ({"imgsz": "32x32", "adapt": {"batch": 1}}, "batches must be of at least 2"),
    ],
)
def test_what_does_not_go_together_is_one_clear_error(
    data: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        jobs.start("train", data, tmp_path / "e", config(**changes))
    assert not (tmp_path / "e").exists()


def test_a_classifier_is_not_for_boxes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="head 'classifier' does not fit the task 'det'"):
        jobs.start("train", draw_boxes(tmp_path / "b"), tmp_path / "e", config(head="classifier"))
