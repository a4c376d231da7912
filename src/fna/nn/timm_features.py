"""Backbones of timm: any model that has `features_only`, at the strides that heads read."""

import logging
from difflib import get_close_matches
from typing import Any

from torch import Tensor, nn

from fna.arch.plain import commas
from fna.errors import UserError

STRIDES = (2, 4, 8, 16, 32)
"""Those that a head may read; outputs at others are left out."""


class TimmFeatures(nn.Module):
    """A `features_only` model of timm whose outputs are those at `STRIDES`, channels before height and width."""

    def __init__(self, name: str, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        info: Any = body.feature_info
        self.kept = [i for i, stride in enumerate(info.reduction()) if stride in STRIDES]
        if not self.kept:
            raise UserError(f"timm:{name} has outputs at strides {commas(info.reduction())} only, heads read 4 to 32")
        self.channels = tuple(info.channels()[i] for i in self.kept)
        self.strides = tuple(info.reduction()[i] for i in self.kept)
        self.channels_first = str(getattr(body, "output_fmt", "NCHW")) in ("NCHW", "Format.NCHW")

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> one (N, channels, H / stride, W / stride) per output, strides ascending."""
        outputs = self.body(images)
        kept = [outputs[i] for i in self.kept]
        return kept if self.channels_first else [x.permute(0, 3, 1, 2) for x in kept]


def create(name: str, **options: Any) -> TimmFeatures:
    """The features of a timm model; `options` are those of `timm.create_model`, whose exceptions pass."""
    import timm

    # It warns of every tensor of a pretrained model that `features_only` leaves out.
    logging.getLogger("timm.models._builder").setLevel(logging.ERROR)
    try:
        # Swin and its kin take images of other sizes than their own only when told so at the start.
        body = timm.create_model(name, features_only=True, strict_img_size=False, **options)
    except TypeError:
        body = timm.create_model(name, features_only=True, **options)
    return TimmFeatures(name, body)


def timm_features(name: str, output_stride: int = 32) -> TimmFeatures:
    """The features of timm's model `name` (`resnet18`, `resnet18.a1_in1k`), with dilation below output stride 32.

    Raises UserError for an unknown name, and for a model without `features_only` or without that output stride.
    """
    check_name(name)
    try:
        return create(name) if output_stride == 32 else create(name, output_stride=output_stride)
    except (TypeError, AssertionError, NotImplementedError, ValueError, RuntimeError) as error:
        if isinstance(error, UserError):
            raise
        what = "features_only" if output_stride == 32 else f"output stride {output_stride}; try --output_stride 32"
        raise UserError(f"timm:{name} has no {what} ({' '.join(str(error).split()) or 'as timm says'})") from error


def check_name(name: str) -> None:
    """Raise a UserError, with near names, for a model or a tag that timm does not have."""
    import timm

    model, _, tag = name.partition(".")
    if not timm.is_model(model):
        near = get_close_matches(model, timm.list_models(), n=3)
        hint = f"did you mean {', '.join(near)}?" if near else "timm.list_models() has all names"
        raise UserError(f"timm has no model {model!r}; {hint}")
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{model}.*")]
    if tag and tag not in tags:
        raise UserError(f"timm has no weights {tag!r} of {model}; it has {', '.join(tags) or 'none'}")


def same_in_timm(name: str) -> list[str]:
    """What a backbone is called here whose name, without a prefix, is that of a model of timm; nothing for others."""
    import timm

    return [f"timm:{name}"] if timm.is_model(name.partition(".")[0]) else []
