"""Decoders of segmentation-models-pytorch."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from fna.arch.heads.kind import Head, OutsideHead
from fna.arch.heads.smp import STRIDES
from fna.errors import UserError

ENCODER = "fna"
"""Under this name the library finds what stands for a backbone."""


class Channels(nn.Module):
    """What the library's models ask of a backbone when they are made; it is never run."""

    def __init__(self, out_channels: list[int], depth: int, output_stride: int) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.output_stride = output_stride

    def set_in_channels(self, in_channels: int, pretrained: bool = True) -> None:
        """Images have three."""

    def make_dilated(self, output_stride: int) -> None:
        """The backbone is, by itself."""


class Decoder(nn.Module):
    """A decoder and the layer that scores pixels, as the library makes them."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        assert isinstance(head, OutsideHead)
        model = smp_model(head)
        self.decoder, self.score = model.decoder, model.segmentation_head
        self.output_stride = head.output_stride

    def forward(self, taps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Taps at strides 2 to 32 -> logits (N, classes, *size).

        The library takes images of multiples of the output stride. Of others the taps get zeros at the right and at
        the bottom, as if the image had gone on, and the logits lose what is too much.
        """
        height, width = (side * self.output_stride for side in taps[-1].shape[2:])
        image = taps[0].new_zeros(()).expand(len(taps[0]), 3, height, width)  # of which it takes the size alone
        features = [image]
        for tap, stride in zip(taps, STRIDES, strict=True):
            rows, columns = (side // min(stride, self.output_stride) for side in (height, width))
            features.append(F.pad(tap, (0, columns - tap.shape[3], 0, rows - tap.shape[2])))
        return self.score(self.decoder(features))[..., : size[0], : size[1]]


def smp_model(head: OutsideHead) -> Any:
    """The library's model, with a `Channels` for its backbone; a UserError where the library is not installed."""
    try:
        import segmentation_models_pytorch as smp
    except ImportError as error:
        raise UserError(f"the head {head.name} needs segmentation-models-pytorch: pip install 'fna[smp]'") from error
    # Registering a backbone of one's own is what the library's documentation says to do; it copies the parameters.
    smp.encoders.encoders[ENCODER] = {"encoder": Channels, "params": {"out_channels": [3, *head.channels]}}
    dilated = {"encoder_output_stride": head.output_stride} if len(head.kind.output_strides) > 1 else {}
    name = head.name.removeprefix("smp:")
    return smp.create_model(name, ENCODER, encoder_weights=None, classes=head.classes, **dilated)
