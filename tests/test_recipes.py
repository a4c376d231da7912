"""Every recipe parses, builds its networks, and makes one step of each stage."""

from pathlib import Path

import pytest
import yaml

from drawn import draw_data
from fna import pipeline
from fna.config import Config, from_data, load_config, recipe_names, recipe_path, to_yaml

PAPER = {"search.epochs": 80, "search.alpha_epoch": 30, "search.cost_weight": 9e-3, "adapt.steps": 100000}
"""Some of the values printed in section 4.1."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_data(tmp_path_factory.mktemp("data") / "scenes")


def shortened(config: Config) -> Config:
    """The recipe with one step of everything, on tiny crops and a tiny seed without weights."""
    small = {"resize": None, "crop": (33, 33), "scales": (1.0,)}
    data = config.model_dump()
    data |= {"weights": "none", "backbone": "mobilenet_v2_w010", "imgsz": None, "threads": 1}
    data["search"] |= {
        "epochs": 1,
        "alpha_epoch": 0,
        "warmup_epochs": 0,
        "batch": 8,
        "alpha_split": 0.34,
        "replicas": 1,
    }
    data["search"] |= {"swap_batches": 1, "augment": data["search"]["augment"] | small}
    data["adapt"] |= {"steps": 1, "refresh_steps": 1, "warmup_steps": 0, "batch": 2}
    data["adapt"]["augment"] |= small
    data["evaluate"] |= {"window": (32, 32)} if data["evaluate"]["window"] else {}
    return from_data(data)


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_makes_a_step_of_every_stage(name: str, data: Path, tmp_path: Path) -> None:
    job = pipeline.start("adapt", data, tmp_path / name, shortened(load_config(recipe_path(name))))
    run = pipeline.execute("adapt", job)
    for file in ("search/0/logits.json", "arch.json", "train/best.safetensors", "seed/best.safetensors", "report.md"):
        assert (run / file).is_file(), file


@pytest.mark.parametrize("name", [name for name in recipe_names() if name.startswith("cityscapes")])
def test_the_papers_recipes_hold_the_papers_values_and_name_a_source_for_each(name: str) -> None:
    data = yaml.safe_load(recipe_path(name).read_text(encoding="utf-8"))
    for key, value in PAPER.items():
        section, _, field = key.partition(".")
        assert float(data[section][field]) == value
    for line in recipe_path(name).read_text(encoding="utf-8").splitlines():
        section_start = line.endswith(":")
        if line and not line.startswith(("#", "task")) and not section_start:
            comment = line.partition("#")[2]
            assert any(word in comment for word in ("paper", "code", "ours", "torchvision")), line


@pytest.mark.parametrize("name", recipe_names())
def test_a_resolved_configuration_reads_back_to_an_equal_one(name: str, tmp_path: Path) -> None:
    config = load_config(recipe_path(name))
    (tmp_path / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    assert load_config(tmp_path / "config.yaml") == config
