"""The outside baseline: it trains as `fna adapt` does, counts and tells right, and ModelOpt prunes what it should."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.modelopt_fastnas import command, pruning, rows
from benchmarks.modelopt_fastnas.pruning import changes, madds, widths
from benchmarks.modelopt_fastnas.training import fine_tune, with_samples
from drawn import TINY, draw_data
from fna import jobs
from fna.config.files import from_data
from fna.errors import UserError
from fna.nn.layers import ConvNormActivation
from fna.nn.network import Network
from fna.train.adapt import adapt, remapped
from fna.train.evaluate import evaluate


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_data(tmp_path_factory.mktemp("data") / "scenes")


@pytest.fixture
def job(data: Path, tmp_path: Path) -> jobs.Job:
    return jobs.start("train", data, tmp_path / "run", from_data(TINY))


def network_of(job: jobs.Job) -> Network:
    return remapped(job.run.config, job.task, job.seed, job.design(job.seed.arch))[0]


def test_fine_tuning_a_made_network_is_that_of_fna_adapt_to_the_bit(job: jobs.Job) -> None:
    network = network_of(job)
    with job.run.ledger("theirs"):
        expected = adapt(job.run, job.task, job.seed, job.design(job.seed.arch), "theirs")
    with job.run.ledger("ours"):
        found = fine_tune(job.run, job.task, network, "ours", replica=0)
    theirs, ours = (torch.load(job.run.folder / training / "last.ckpt")["network"] for training in ("theirs", "ours"))
    assert all(torch.equal(theirs[name], value) for name, value in ours.items())
    # metrics.csv has six digits.
    assert found["best"] == pytest.approx(expected["best"]["score"], abs=1e-6)
    assert found["last"] == pytest.approx(expected["last"]["score"], abs=1e-6)


def test_a_second_fine_tuning_sees_other_batches_and_a_finished_one_is_not_repeated(job: jobs.Job) -> None:
    with job.run.ledger("trainings"):
        for training, replica in (("first", 0), ("second", 1)):
            fine_tune(job.run, job.task, network_of(job), training, replica)
        weights = [
            torch.load(job.run.folder / s / "last.ckpt")["network"]["head.score.conv.weight"]
            for s in ("first", "second")
        ]
        assert not torch.equal(*weights)
        untouched = network_of(job)
        before = untouched.head.score.conv.weight.clone()  # type: ignore[union-attr]
        fine_tune(job.run, job.task, untouched, "first", 0)
    assert torch.equal(untouched.head.score.conv.weight, before)  # type: ignore[union-attr]


def test_subnets_are_judged_on_the_given_images_alone(job: jobs.Job) -> None:
    learn, held = job.task.splits()
    judging = with_samples(job.task, val=held[:2])
    pixels = sum(sum(row) for row in evaluate(job.run, judging, network_of(job)).result()["confusion"])
    assert pixels == 2 * 40 * 56
    assert with_samples(job.task, train=learn).training(job.run.config.adapt.augment).samples == tuple(learn)
    assert len(job.task.validation()) == 4, "the task itself is as it was"  # type: ignore[arg-type]


def hand_counted() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8), nn.Conv2d(8, 5, 1)
    )


def test_multiply_adds_by_hand_and_modes_kept() -> None:
    net = hand_counted()
    net[1].eval()
    # 10x12 outputs of 3x3x3 taps, 5x6 of 3x3, 5x6 of 8; a bias is no multiply-add.
    assert madds(net, (10, 12)) == 120 * 8 * 27 + 30 * 8 * 9 + 30 * 5 * 8
    assert net.training
    assert not net[1].training


def test_a_depthwise_convolution_has_no_width_of_its_own() -> None:
    assert widths(hand_counted()) == {"0": 8, "2": 5}
    assert changes({"a": 8, "b": 5}, {"a": 8, "b": 3}) == {"b": (5, 3)}


def result(random_seed: int, best: dict[str, float]) -> dict[str, Any]:
    cost = {"madds": 500_000_000, "params": 700_000}
    trainings = {training: {"best": value, "last": value - 0.01} | cost for training, value in best.items()}
    trainings["fastnas"] |= {"madds": 475_000_000}
    pruned = {"searchable": {"a": [8, 16], "b": [8]}, "changed": {"a": [16, 8]}, "forced": {}, "scores": [0.4, 0.35]}
    seconds = {"seed": 60.0, "first": 66.0, "again": 54.0, "prune": 600.0, "fastnas": 42.0}
    return {
        "random_seed": random_seed,
        "score": "mIoU",
        "score_images": 8,
        "stages": trainings,
        "seconds": seconds,
        "pruned": pruned,
    }


def test_the_table_has_means_differences_and_the_time_of_all_that_a_network_needed() -> None:
    found = [
        result(0, {"seed": 0.50, "again": 0.54, "fastnas": 0.52}),
        result(1, {"seed": 0.46, "again": 0.50, "fastnas": 0.53}),
    ]
    lines = rows.markdown(found).splitlines()
    assert lines[2] == "| seed | 2 | 48.0 ± 2.8 | 50.0, 46.0 | 47.0 | 0.5000 G | 0.70 M | 1.0 | – |"
    assert lines[3].endswith("| 2.0 | – |")
    assert lines[4] == "| FastNAS | 2 | 52.5 ± 0.7 | 52.0, 53.0 | 51.5 | 0.4750 G | 0.70 M | 1.8 | 10.0 |"
    assert "- FastNAS minus seed: **+4.5** points (by random seed +2.0, +7.0)." in lines
    assert "- FastNAS minus seed, fine-tuned twice: **+0.5** points (by random seed -2.0, +3.0)." in lines
    assert "- random seed 1, changed: a 16 to 8." in lines


def test_a_folder_goes_on_with_the_same_command_only(tmp_path: Path) -> None:
    given = {"data": "images", "seeds": 2, "divisor": 32, "score_images": 8, "order": "after"}
    config = from_data(TINY | {"weights": "seed.safetensors"})
    command.check(tmp_path, dict(given), config)
    command.check(tmp_path, dict(given), config.model_copy(update={"threads": 2}))
    with pytest.raises(UserError, match="another command"):
        command.check(tmp_path, given | {"divisor": 8}, config)


@pytest.mark.parametrize(
    ("changes", "weights", "message"),
    [({"seeds": 0}, "x", "--seeds"), ({"data": None}, "x", "data folder"), ({}, "none", "--weights")],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_written(
    tmp_path: Path, changes: dict[str, Any], weights: str, message: str
) -> None:
    given = {"data": "images", "seeds": 1, "divisor": 32, "score_images": 8, "order": "after"} | changes
    with pytest.raises(UserError, match=message):
        command.check(tmp_path / "out", given, from_data(TINY | {"weights": weights}))
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore")  # ModelOpt's own, and those of what it imports
def test_fastnas_prunes_the_one_layer_that_the_score_does_not_miss(job: jobs.Job, tmp_path: Path) -> None:
    pytest.importorskip("modelopt", reason="ModelOpt is not installed (docs/studies.md)")
    network, free = network_of(job), "backbone.stages.5.1.expand"

    def score(subnet: nn.Module) -> float:
        """Channels outside of stage 5's second layer; in small units, for the search halves a range down to 1e-5."""
        convs = {name: part for name, part in subnet.named_modules() if isinstance(part, ConvNormActivation)}
        missed = [part.conv.out_channels for name, part in convs.items() if "stages.5.1." not in name]
        return 1e-4 * sum(missed)

    before = widths(network)
    limit = madds(network, (64, 64)) - 1
    images = [torch.randn(2, 3, 32, 32) for _ in range(pruning.CALIBRATION_BATCHES)]
    pruned = pruning.prune(network, limit, (64, 64), score, images, 8, str(tmp_path / "sensitivity.pth"))
    assert list(pruned.changed) == [free]
    assert pruned.changed[free] == (before[free], min(pruned.searchable[free]))
    assert changes(before, widths(network)) == pruned.changed
    assert madds(network, (64, 64)) <= limit
    assert pruned.scores[0] == pruned.scores[1]
    assert not any("head" in name for name in pruned.searchable), "docs/studies.md says that the head is left alone"
    assert type(network) is Network
    network.train()(torch.randn(2, 3, 64, 64)).sum().backward()
    assert network.get_submodule(free).conv.weight.grad.abs().sum() > 0  # type: ignore[union-attr, operator]
