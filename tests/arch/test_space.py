"""A space holds the paper's candidates, and a path through it is an architecture."""

import json
import random
from pathlib import Path as FilePath

import pytest

from fna.arch.arch import Arch, Stage, Tap
from fna.arch.decision import size_log10
from fna.arch.layers import MBConv, Skip
from fna.arch.space import Space, expand, named_space
from fna.arch.zoo import build, mobilenet_v2
from fna.cost.count import candidate_madds, expected_madds
from fna.errors import UserError


@pytest.mark.parametrize(
    ("name", "digits", "output_stride"), [("segmentation", 2, 16), ("retinanet", 3, 32), ("ssdlite", 3, 32)]
)
def test_sizes_and_costs_of_the_papers_spaces(name: str, digits: int, output_stride: int, shared: FilePath) -> None:
    rows = json.loads((shared / "counts.json").read_text(encoding="utf-8"))["spaces"]
    row = next(row for row in rows if row["space"] == name)
    seed = mobilenet_v2()
    space = named_space(seed, name)
    assert len(space.searched) == row["layers"]
    assert sum(len(candidates) for _, candidates in space.searched) == row["alphas"]
    assert round(size_log10(space.layer_decisions(space.path_of(seed))), 2) == row["log10_size"]

    costs = candidate_madds(space, tuple(row["cost_at"]), output_stride)
    found = {
        "uniform": expected_madds(costs, [[1 / len(layer)] * len(layer) for layer in costs]),
        "seed": sum(layer[c] for layer, c in zip(costs, space.path_of(seed), strict=True)),
        "min": sum(min(layer) for layer in costs),
        "max": sum(max(layer) for layer in costs),
    }
    assert {key: round(cost / 1e9, digits) for key, cost in found.items()} == row["cost_gmadds"]


def test_candidates_are_kernels_times_expansions_and_the_identity_after_a_stages_first_layer() -> None:
    space = named_space(mobilenet_v2(), "segmentation")
    searched = dict(space.searched)
    ops = {MBConv(k, e) for k in (3, 5, 7) for e in (3, 6)}
    assert set(searched["stages.1.0"]) == ops
    assert set(searched["stages.1.1"]) == {*ops, Skip()}
    assert "stages.0.0" not in searched, "the seed expands by 1 there"
    assert [len(stage.candidates) for stage in space.stages] == [1, 4, 4, 6, 6, 4, 1]


def test_the_ssdlite_head_keeps_the_expansion_it_reads() -> None:
    searched = dict(named_space(mobilenet_v2(), "ssdlite").searched)
    assert set(searched["stages.5.0"]) == {MBConv(3, 6), MBConv(5, 6), MBConv(7, 6)}


def test_a_layer_that_is_read_inside_keeps_the_seeds_expansion_in_any_space() -> None:
    seed = mobilenet_v2(0.35)
    unread = dict(expand(seed, (2, 3, 4, 3, 3, 1), (3, 5), (2, 3)).searched)
    narrowed = dict(expand(seed, (2, 3, 4, 3, 3, 1), (3, 5), (2, 3), [Tap(2, expanded=True), Tap(6)]).searched)
    assert narrowed["stages.2.0"] == (MBConv(3, 6), MBConv(5, 6)), "6 is the seed's, though not among the candidates"
    assert narrowed | {"stages.2.0": ()} == unread | {"stages.2.0": ()}, "a tap on a stage's output restricts nothing"


@pytest.mark.parametrize("name", ["mobilenet_v2", "fna_deeplabv3"])
def test_the_path_of_an_architecture_picks_that_architecture(name: str) -> None:
    space = named_space(mobilenet_v2(), "segmentation")
    assert space.pick(space.path_of(build(name))) == build(name)


def test_identities_vanish_and_later_layers_move_up() -> None:
    space = expand(Arch(8, (Stage(8, 1, (MBConv(3, 6),)),), 8), depths=[3], kernels=[3, 5], expansions=[6])
    (_, first), (_, second), (_, third) = space.searched
    path = (first.index(MBConv(3, 6)), second.index(Skip()), third.index(MBConv(5, 6)))
    assert space.pick(path).stages[0].layers == (MBConv(3, 6), MBConv(5, 6))


def test_every_path_is_an_architecture_with_all_stages() -> None:
    space = named_space(mobilenet_v2(0.1), "segmentation")
    draw = random.Random(0)
    for _ in range(50):
        path = tuple(draw.randrange(len(candidates)) for _, candidates in space.searched)
        arch = space.pick(path)
        assert [stage.channels for stage in arch.stages] == [stage.channels for stage in space.stages]
        assert space.pick(space.path_of(arch)) == arch


@pytest.mark.parametrize(
    ("change", "words"), [((), "25 choices, got 24"), ((7,), "0 to 0|0 to 5, got 7"), ((-1,), "got -1")]
)
def test_a_wrong_path_is_an_error(change: tuple[int, ...], words: str) -> None:
    space = named_space(mobilenet_v2(0.1), "segmentation")
    with pytest.raises(UserError, match=words):
        space.pick((0,) * 24 + change)


def test_an_architecture_outside_the_space_is_an_error() -> None:
    space = named_space(mobilenet_v2(), "segmentation")
    seed = mobilenet_v2()
    too_deep = Arch(32, (*seed.stages[:6], Stage(320, 1, (MBConv(3, 6),) * 2)), 1280)
    with pytest.raises(UserError, match="stage 6 has 2 layers.*room for 1"):
        space.path_of(too_deep)
    other = Arch(32, (*seed.stages[:6], Stage(320, 1, (MBConv(9, 6),))), 1280)
    with pytest.raises(UserError, match=r"stages\.6\.0: k9_e6 is not a candidate \(k3_e3"):
        space.path_of(other)
    with pytest.raises(UserError, match="has 6 stages, the space has 7"):
        space.path_of(Arch(32, seed.stages[:6], 1280))


def test_an_unknown_space_or_impossible_depths_are_errors() -> None:
    with pytest.raises(UserError, match=r"unknown space 'segmentatoin'; did you mean 'segmentation'\?"):
        named_space(mobilenet_v2(), "segmentatoin")
    with pytest.raises(UserError, match="6 searched stages, depths has 2 numbers"):
        expand(mobilenet_v2(), depths=[4, 4])
    with pytest.raises(UserError, match=r"depths must be whole numbers of at least 1, got \[0"):
        expand(mobilenet_v2(), depths=[0, 4, 6, 6, 4, 1])
    with pytest.raises(UserError, match="kernels"):
        expand(mobilenet_v2(), kernels=[])
    with pytest.raises(UserError, match="kernel must be odd"):
        expand(mobilenet_v2(), kernels=[4])


def test_a_space_is_a_value() -> None:
    assert expand(mobilenet_v2(0.1)) == named_space(mobilenet_v2(0.1), "segmentation")
    assert isinstance(hash(expand(mobilenet_v2(0.1))), int)
    assert size_log10(Space(8, (), 8).layer_decisions(())) == 0
