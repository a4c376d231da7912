"""The demonstration's seed is pretrained on another task and is read like any seed."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fna.arch.heads import describe
from fna.arch.zoo import mobilenet_v2
from fna.demo.drawing import SHAPES
from fna.demo.pretrain import MEAN, STD, Pretraining, draw_pictures, normalised, pretrain_seed
from fna.nn.backbone import Backbone
from fna.nn.heads import build_head
from fna.weights.remap import remap_last
from fna.weights.seeds import load_file

TINY = Pretraining(size=(32, 32), steps=4, batch=8, warmup_steps=1, val_pictures=16)


def test_the_seed_file_is_one_that_a_backbone_and_a_last_convolution_load_whole(tmp_path: Path) -> None:
    pretrain_seed(tmp_path / "seed.safetensors", 0, TINY)
    seed = load_file(tmp_path / "seed.safetensors")
    assert seed.arch == mobilenet_v2(TINY.width)
    assert (seed.mean, seed.std) == (MEAN, STD)
    last = {name: tensor for name, tensor in seed.weights.items() if name.startswith("last.")}
    backbone = {name: tensor for name, tensor in seed.weights.items() if name not in last}
    Backbone(seed.arch).load_state_dict(backbone)  # strict: nothing is missing, nothing is left over
    head = build_head(describe("ssdlite", seed.arch, 4, 32))
    assert last.keys() == {name for name in head.state_dict() if name.startswith("last.")}
    started, _ = remap_last(seed.weights, head.state_dict())
    assert all(torch.equal(started[name], tensor) for name, tensor in last.items())


def test_pretraining_is_a_function_of_the_random_seed(tmp_path: Path) -> None:
    for name, random_seed in (("a", 0), ("b", 0), ("c", 1)):
        pretrain_seed(tmp_path / f"{name}.safetensors", random_seed, TINY)
    a, b, c = (load_file(tmp_path / f"{name}.safetensors").weights for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["stem.conv.weight"], c["stem.conv.weight"])


def test_each_picture_has_its_label_s_shape_and_every_shape_is_drawn() -> None:
    pictures, labels = draw_pictures(np.random.default_rng(0), 400, (24, 32))
    assert pictures.shape == (400, 3, 24, 32)
    assert pictures.dtype == torch.uint8
    assert set(labels.tolist()) == set(range(len(SHAPES)))
    # Shapes are saturated and what is behind them is not: the saturated part of a bar is small, of a square large.
    spread = (pictures.amax(1).int() - pictures.amin(1).int()) > 80
    area = [spread[labels == index].double().mean() for index in range(len(SHAPES))]
    assert area[list(SHAPES).index("bar")] < 0.5 * area[list(SHAPES).index("square")]


def test_pictures_are_normalised_with_the_mean_and_std_that_travel_with_the_seed() -> None:
    picture = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    assert normalised(picture).unique().item() == pytest.approx((1 - MEAN[0]) / STD[0])
