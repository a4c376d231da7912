"""What a CUDA graph can hold, seen without such a device: on torch's device without values the same operations run."""

from typing import Any

import pytest
import torch

from device_watch import Watch
from fna.arch.heads import describe
from fna.arch.space import expand
from fna.arch.zoo import mobilenet_v2
from fna.config.config import Config
from fna.errors import UserError
from fna.nn import recording
from fna.nn.supernet import SuperNet
from fna.search.search import one_shape


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize(
    ("head", "stride"), [("deeplabv3", 16), ("deeplabv3plus", 16), ("ssdlite", 32), ("retinanet", 32)]
)
def test_a_mixture_neither_reads_from_the_device_nor_sends_to_it(
    head: str, stride: int, share: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)  # which knows no device without values
    arch = mobilenet_v2(0.1)
    taps = describe(head, arch, 3, stride).taps
    space = expand(arch, (2, 3, 4, 3, 3, 1), (3, 5), (3, 6), taps)
    with torch.device("meta"):
        supernet, images = SuperNet(space, taps, stride, share=share).train(), torch.empty(2, 3, 64, 64)
        rows = [row.detach().requires_grad_() for row in supernet.probabilities()]
        with Watch() as watch:
            outputs = [out for out in supernet._outputs(images, None, None, rows) if out.requires_grad]
            torch.autograd.grad(outputs, rows, [torch.empty_like(out) for out in outputs])
    assert watch.count > 500
    assert watch.found == []


def test_only_images_of_one_shape_are_recorded() -> None:
    def config(**changes: Any) -> Config:
        return Config.model_validate(changes)

    assert one_shape(config(task="seg", detection={"short_side": 800}))
    assert one_shape(config(task="det", head="ssdlite"))
    assert not one_shape(config(task="det", head="retinanet", detection={"short_side": 800}))
    assert one_shape(config(task="det", detection={"short_side": 800}, search={"augment": {"resize": "320x320"}}))


def test_a_mixture_that_cannot_be_recorded_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nCompile with TORCH_USE_CUDA_DSA")

    monkeypatch.setattr(recording, "Recording", refuse)
    with pytest.raises(UserError, match=r"not permitted when stream is capturing\. .*--search.alpha_graph false"):
        recording.record(lambda x: [x], torch.zeros(1), [])
