"""A trained network is an ordinary module again, from a run folder or from its file alone."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fna.cli.main import main
from fna.errors import UserError
from fna.nn.network import Network
from fna.use.load import load, load_backbone
from fna.weights.checkpoint import save_network
from fna.weights.trained import prepare
from networks import ARCH, info, trained

INFO = info("deeplabv3plus")


@pytest.fixture(scope="module")
def networks() -> dict[str, Network]:
    """Two trained networks, different from each other, by training."""
    return {"train": trained(INFO, 1), "seed": trained(INFO, 2)}


@pytest.fixture(scope="module")
def run(networks: dict[str, Network], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with both."""
    folder = tmp_path_factory.mktemp("run")
    for training, network in networks.items():
        save_network(folder / training / "best.safetensors", network.state_dict(), INFO)
    return folder


@torch.no_grad()
def test_a_loaded_network_computes_what_the_saved_one_did(run: Path, networks: dict[str, Network]) -> None:
    images = torch.rand(2, 3, 33, 64)
    before = torch.random.get_rng_state()
    loaded = [(load(run), "train"), (load(run, "seed"), "seed"), (load(run / "seed" / "best.safetensors"), "seed")]
    assert torch.equal(torch.random.get_rng_state(), before)
    for network, training in loaded:
        torch.testing.assert_close(network(images), networks[training](images))
        assert not network.training
        assert network.info == INFO


@torch.no_grad()
def test_the_backbone_alone_gives_every_stage_with_the_channels_and_strides_it_says(run: Path) -> None:
    before = torch.random.get_rng_state()
    backbone = load_backbone(run)
    assert torch.equal(torch.random.get_rng_state(), before)
    images = torch.rand(1, 3, 64, 96)
    taps = backbone(images)
    assert not backbone.training
    assert backbone.channels == [tap.shape[1] for tap in taps] == [stage.channels for stage in ARCH.stages]
    assert backbone.strides == [64 // tap.shape[2] for tap in taps] == [96 // tap.shape[3] for tap in taps]
    # The head of the whole network reads two of these stages.
    network = load(run)
    for ours, its in zip([taps[1], taps[-1]], network.backbone(images), strict=True):
        torch.testing.assert_close(ours, its)


def test_the_backbone_learns_like_any_module(run: Path) -> None:
    backbone = load_backbone(run).train()
    sum(tap.square().mean() for tap in backbone(torch.rand(2, 3, 64, 64))).backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())


def test_a_pixel_is_scaled_by_hand(run: Path) -> None:
    image = torch.tensor([0, 102, 255], dtype=torch.uint8).view(3, 1, 1).expand(3, 4, 5)
    prepared = prepare(image, INFO)
    assert prepared.shape == (3, 4, 5)
    # (0 - 0.4) / 0.2, (102 / 255 - 0.5) / 0.25, (1 - 0.6) / 0.3
    torch.testing.assert_close(prepared[:, 0, 0], torch.tensor([-2.0, -0.4, 4 / 3]))
    assert prepare(image, INFO, (8, 6)).shape == (3, 8, 6)


def test_what_is_no_trained_network_is_refused_by_name(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"missing: nothing is there"):
        load(tmp_path / "missing")
    with pytest.raises(UserError, match=r"of a training 'train-1G'.*Trainings with one: seed, train"):
        load(run, "train-1G")
    with pytest.raises(UserError, match=r"Is it a run folder"):
        load(tmp_path)
    weights = load_file(run / "train" / "best.safetensors")
    save_file(weights, tmp_path / "bare.safetensors")
    with pytest.raises(UserError, match=r"bare\.safetensors"):
        load(tmp_path / "bare.safetensors")
    del weights["head.score.conv.bias"]
    save_network(tmp_path / "part.safetensors", weights, INFO)
    with pytest.raises(UserError, match=r"part\.safetensors: its weights do not fit.*[\s\S]*head\.score\.conv\.bias"):
        load(tmp_path / "part.safetensors")


@pytest.mark.parametrize("flag", ["--training", "--stage"])
def test_the_command_line_takes_the_training_by_its_former_name_too(
    flag: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(run), flag, "train-1G"]) != 0
    assert "train-1G/best.safetensors" in capsys.readouterr().err
