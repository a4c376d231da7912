"""The demonstration from drawing to its last table."""

import csv
from pathlib import Path

import pytest

from fna.demo import demo
from fna.demo.main import Row, final_table
from fna.demo.pretrain import Pretraining
from fna.weights.checkpoint import load_network


def test_the_final_table_has_percent_and_billions_and_a_dash_for_an_unknown_time() -> None:
    rows = [
        Row("seed architecture", 0.4193, 65_808_432, 1_234_567, 24.6),
        Row("adapted network", 0.5, 65_000_000, 900_000, None),
    ]
    assert final_table(rows).splitlines() == [
        "| network | val mIoU | MAdds | params | fine-tuning, s |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| seed architecture | 41.9 | 0.0658 G | 1.23 M | 25 |",
        "| adapted network | 50.0 | 0.0650 G | 0.90 M | – |",
    ]


@pytest.mark.slow
def test_the_demonstration_compares_three_networks_of_which_one_starts_from_random_weights(tmp_path: Path) -> None:
    tiny = Pretraining(size=(32, 32), steps=2, batch=8, warmup_steps=1, val_pictures=8)
    search = {"epochs": 0.1, "warmup_epochs": 0, "swap_batches": 1, "batch": 4, "kernels": [3, 5], "replicas": 1}
    steps = {"steps": 2, "refresh_steps": 1, "batch": 2, "warmup_steps": 1}
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "mine").write_text("not to be touched", encoding="utf-8")
    folder = demo(tmp_path / "demo", 0, tiny, search=search, adapt=steps, imgsz=(32, 40), device="cpu")

    assert folder == tmp_path / "demo-2"
    report = (folder / "report.md").read_text(encoding="utf-8")
    for name in ("seed architecture", "adapted network", "adapted architecture from random weights"):
        assert f"| {name} |" in report
    assert (folder / "adapted" / "report.md").is_file()
    _, remapped = load_network(folder / "adapted/train/best.safetensors")
    _, untrained = load_network(folder / "random/train/best.safetensors")
    assert remapped == untrained  # the same architecture, head, classes and normalisation; other weights
    assert (folder / "adapted/train/remap.txt").is_file()
    assert not (folder / "random/train/remap.txt").exists()
    with (folder / "random/train/metrics.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.DictReader(file))
