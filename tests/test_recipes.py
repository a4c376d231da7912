"""Every recipe parses, builds its networks, and makes one step of each stage."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from drawn import draw_data
from drawn_boxes import draw_boxes
from fna import jobs, pipeline
from fna.config.config import Config
from fna.config.files import from_data, load_config, recipe_names, recipe_path, to_yaml

SEGMENTATION = {"search.epochs": 80, "search.alpha_epoch": 30, "search.cost_weight": 9e-3, "adapt.steps": 100000}
RETINANET = {"search.epochs": 14, "search.alpha_epoch": 8, "search.cost_weight": 0.02, "adapt.epochs": 12}
SSDLITE = {"search.epochs": 24, "search.alpha_epoch": 12, "search.cost_weight": 0.2, "adapt.lr": 0.2}
PAPER: dict[str, dict[str, float]] = {
    "cityscapes-deeplabv3": SEGMENTATION,
    "cityscapes-deeplabv3plus-os16": SEGMENTATION,
    "cityscapes-deeplabv3plus-os8": SEGMENTATION,
    "coco-retinanet": RETINANET | {"search.cost_base": 10, "search.cost_scale": 5, "search.alpha_lr": 3e-4},
    "coco-ssdlite": SSDLITE | {"search.cost_base": 10, "search.cost_scale": 10, "search.lr": 0.03},
}
"""Some of the values printed in section 4.1 and appendix A.1."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A drawn data set for each task."""
    folder = tmp_path_factory.mktemp("data")
    return {"seg": draw_data(folder / "scenes"), "det": draw_boxes(folder / "shapes")}


def shortened(config: Config) -> Config:
    """The recipe with one step of everything, on tiny images and a tiny seed without weights."""
    small: dict[str, Any] = {"resize": None, "crop": (33, 33), "scales": (1.0,)}
    data = config.model_dump()
    data |= {"weights": "none", "backbone": "mobilenet_v2_w010", "threads": 1}
    data["imgsz"] = (64, 64) if config.task == "det" and config.detection.short_side is None else None
    data["detection"] |= {"short_side": 48, "long_side": 64} if config.detection.short_side else {}
    data["search"] |= {
        "epochs": 1,
        "alpha_epoch": 0,
        "warmup_epochs": 0,
        "batch": 4,
        "alpha_split": 0.34,
        "replicas": 1,
        "caution": 0,
        "trials": min(1, config.search.trials),
        "trial_steps": 4,
    }
    data["search"] |= {"swap_batches": 1, "augment": data["search"]["augment"] | small}
    data["adapt"] |= {"steps": 1, "epochs": None, "refresh_steps": 1, "warmup_steps": 0, "batch": 2}
    data["adapt"]["augment"] |= small
    data["evaluate"] |= {"window": (32, 32)} if data["evaluate"]["window"] else {}
    return from_data(data)


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_makes_a_step_of_every_stage(name: str, data: dict[str, Path], tmp_path: Path) -> None:
    config = load_config(recipe_path(name))
    job = jobs.start("adapt", data[config.task], tmp_path / name, shortened(config))
    run = pipeline.execute("adapt", job)
    for file in ("search/0/logits.json", "design.json", "train/best.safetensors", "report.md"):
        assert (run / file).is_file(), file
    # Where a search of one step has found nothing, the seed's own architecture is trained once, as the network.
    changed = (run / "design.json").read_text() != (run / "seed-design.json").read_text()
    assert (run / "seed/best.safetensors").is_file() == changed


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_recipes_hold_the_papers_values_and_name_a_source_for_each(name: str) -> None:
    data = yaml.safe_load(recipe_path(name).read_text(encoding="utf-8"))
    for key, value in PAPER[name].items():
        section, _, field = key.partition(".")
        assert float(data[section][field]) == value
    for line in recipe_path(name).read_text(encoding="utf-8").splitlines():
        section_start = line.endswith(":")
        if line and not line.startswith(("#", "task")) and not section_start:
            comment = line.partition("#")[2]
            assert any(word in comment for word in ("paper", "code", "ours", "torchvision", "SSD")), line


@pytest.mark.parametrize("name", recipe_names())
def test_a_resolved_configuration_reads_back_to_an_equal_one(name: str, tmp_path: Path) -> None:
    config = load_config(recipe_path(name))
    (tmp_path / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    assert load_config(tmp_path / "config.yaml") == config
