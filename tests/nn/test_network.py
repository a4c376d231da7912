"""Networks are built from data and one number."""

import torch

from fna.arch.heads import describe
from fna.arch.space import named_space
from fna.arch.zoo import build as build_arch
from fna.nn.network import assemble, build_supernet
from fna.nn.supernet import SuperNet

ARCH = build_arch("mobilenet_v2", 0.1)
HEAD = describe("deeplabv3", ARCH, 3, 16)


def test_equal_random_seeds_give_equal_weights_and_others_do_not() -> None:
    first, again, other = (assemble(ARCH, HEAD, 16, random_seed).state_dict() for random_seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["backbone.stem.conv.weight"], other["backbone.stem.conv.weight"])


def test_building_leaves_the_global_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    assemble(ARCH, HEAD, 16, 1)
    build_supernet(named_space(ARCH, "segmentation"), HEAD, 16, 1)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_space_becomes_a_super_network_and_a_path_reaches_it() -> None:
    space = named_space(ARCH, "segmentation")
    net = build_supernet(space, HEAD, 16, 0, bare_norm=True).eval()
    assert isinstance(net.backbone, SuperNet)
    x, path = torch.randn(2, 3, 33, 33), (0,) * len(space.searched)
    torch.testing.assert_close(net(x, path), net.head(net.backbone(x, path), (33, 33)))
    assert not torch.allclose(net(x, path), net(x))
