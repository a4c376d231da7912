"""A fourth task in one file, from public pieces and a row: how much of a pixel is foreground, by its absolute error."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import default_collate

import fna
from drawn import TINY, draw_data
from fna.cli.main import main
from fna.config.config import Config
from fna.config.sections import Augment
from fna.data.reading import dataset
from fna.data.samples import IGNORE, Sample, SegmentationData
from fna.tasks.contract import check_task
from fna.tasks.drawing import save_picture
from fna.tasks.kinds import TASKS, TaskKind
from fna.tasks.score import Score
from fna.tasks.task import Batch, CheckedTask, Prediction, Writer
from fna.weights.trained import TrainedNetwork, prepare

SALIENCY = TaskKind(
    name="saliency",
    title="salient object detection",
    data="masks",
    head="lraspp",
    gives="masks",
    score=Score("MAE", "", higher_is_better=False),
    class_score="MAE",
    absent="without a salient pixel",
    task=f"{__name__}:Saliency",
    writer=f"{__name__}:saliency_writer",
    ending="saliency.png",
)


class Saliency(CheckedTask):
    """All classes but the first are salient; the network says with which probability a pixel is."""

    def __init__(self, config: Config, data: SegmentationData, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__(config, data, mean, std)
        self.classes = ("salient",)  # the network has one output a class
        self.imgsz = config.imgsz or self.commonest_size()

    def training(
        self, augment: Augment, samples: Sequence[Sample] | None = None, replica: int = 0
    ) -> dataset.SegmentationDataset:
        how = dataset.Augment(augment.scales, augment.crop, augment.flip)
        samples, random_seed = samples or self.data.splits["train"], self.random_seed(replica)
        return dataset.SegmentationDataset(
            samples, self.mean, self.std, self.data.label_mapping, how, self.config.imgsz, random_seed
        )

    def validation(self) -> dataset.SegmentationDataset:
        val, mapping = self.data.splits["val"], self.data.label_mapping
        return dataset.SegmentationDataset(val, self.mean, self.std, mapping, None, self.config.imgsz)

    def collate(self, samples: list[Any]) -> Batch:
        return default_collate(samples)

    def losses(self, outputs: Any, batch: Batch) -> dict[str, Tensor]:
        counted = batch["mask"] != IGNORE
        target = ((batch["mask"] > 0) & counted).float()
        each = F.binary_cross_entropy_with_logits(outputs[:, 0].float(), target, reduction="none")
        return {"binary_cross_entropy": (each * counted).sum() / counted.sum().clamp(min=1)}

    def weight(self, outputs: Any, batch: Batch) -> Tensor:
        return (batch["mask"] != IGNORE).sum()

    def evaluator(self) -> "AbsoluteError":
        return AbsoluteError()


class AbsoluteError:
    """Mean over pixels of the difference between probability and truth, over all and over salient ones."""

    def __init__(self) -> None:
        self.sums = torch.zeros(2, 2, dtype=torch.float64)  # rows: all, salient; columns: error, pixels

    @torch.no_grad()
    def update(self, model: nn.Module, batch: Batch) -> None:
        counted, salient = batch["mask"] != IGNORE, batch["mask"] > 0
        error = (model(batch["image"])[:, 0].float().sigmoid() - salient.float()).abs().double()
        rows = [torch.stack([error[where].sum(), where.sum()]) for where in (counted, counted & salient)]
        self.sums += torch.stack(rows).cpu()

    def counted(self) -> Tensor:
        return self.sums

    def combine(self, parts: Sequence[Tensor]) -> None:
        self.sums = torch.stack(list(parts)).sum(0)

    def result(self) -> dict[str, Any]:
        error, salient = ((a / b if b else None) for a, b in self.sums.tolist())
        return {"score": error, "MAE": error, "per_class": {"salient": salient}}

    def files(self) -> dict[str, Any]:
        return {}


def saliency_writer(network: TrainedNetwork, config: Config) -> Writer:
    """A grey picture of the probabilities, and the image with what is not salient darkened."""

    @torch.inference_mode()
    def write(image: Tensor, prediction: Prediction) -> None:
        probability = network(prepare(image, network.info)[None])[0, 0].sigmoid()
        save_picture(Image.fromarray((255 * probability).byte().numpy()), prediction.result)
        darkened = (image * (0.3 + 0.7 * probability)).byte().permute(1, 2, 0).numpy()
        assert prediction.overlay is not None
        save_picture(Image.fromarray(darkened), prediction.overlay)

    return write


@pytest.fixture(autouse=True)
def _a_row_makes_it_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, SALIENCY.name, SALIENCY)


def right(task: Saliency, batch: Batch, outputs: Tensor) -> Tensor:
    return 100 * (2.0 * (batch["mask"] > 0)[:, None] - 1)


def test_it_keeps_the_contract_of_tasks(tmp_path: Path) -> None:
    check_task(SALIENCY, draw_data, right, tmp_path)


def test_the_error_is_that_worked_by_hand() -> None:
    logits = torch.tensor([[[[0.0, 0.0], [100.0, -100.0]]]])  # probabilities 1/2, 1/2, 1, 0
    evaluator = AbsoluteError()
    evaluator.update(nn.Identity(), {"image": logits, "mask": torch.tensor([[[1, 0], [2, IGNORE]]])})
    assert evaluator.result()["MAE"] == pytest.approx((0.5 + 0.5 + 0) / 3)
    assert evaluator.result()["per_class"] == {"salient": pytest.approx((0.5 + 0) / 2)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `fna.train`, validated after every step, with steps so long that the error rises, too."""
    folder = tmp_path_factory.mktemp("saliency")
    how = TINY | {"adapt": TINY["adapt"] | {"validate_steps": 1, "lr": 0.1, "steps": 8}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS, SALIENCY.name, SALIENCY)
        return Path(fna.train(draw_data(folder / "data"), out=folder / "run", task="saliency", **how))


def test_the_best_network_is_the_one_with_the_lowest_error(trained: Path) -> None:
    with (trained / "train/metrics.csv").open(newline="", encoding="utf-8") as file:
        errors = [float(row["val/MAE"]) for row in csv.DictReader(file)]
    assert len(errors) == 8
    best = json.loads((trained / "train/metrics.json").read_text())["best"]
    assert best["score"] == pytest.approx(min(errors), rel=1e-5)
    assert best["step"] == errors.index(min(errors)) + 1
    assert min(errors) < max(errors)


def test_report_and_val_show_errors_as_they_are_and_say_that_lower_is_better(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (trained / "report.md").read_text(encoding="utf-8")
    best = json.loads((trained / "train/metrics.json").read_text())["best"]
    assert "MAE: lower is better" in page
    assert f"| {best['MAE']:.4g} |" in page
    assert "percent" not in page
    assert main(["val", str(trained), "--device", "cpu"]) == 0
    assert f"{best['MAE']:.4g}" in capsys.readouterr().out


def test_predict_and_check_know_the_task(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = trained.parent / "data"
    assert main(["check", str(data), "--task", "saliency"]) == 0
    (written,) = fna.predict(trained, [data / "images/val/0.png"], tmp_path / "out", device="cpu")
    with Image.open(written.result) as picture:
        assert (picture.mode, picture.size, written.result.name) == ("L", (56, 40), "0_saliency.png")
