"""Training images as torchvision's reference scripts make them, with its transforms v2 and Pillow's decoder."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from fna.data.samples import IGNORE, BoxSample, Sample

Backend = Literal["Pillow", "tensors"]
"""What the transforms work on; the reference scripts know both, as `pil` and `tv_tensor`."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MEAN_COLOUR = [123.0, 117.0, 104.0]


@dataclass
class Reference:
    """`decode` a sample to what `transform` takes; with `keep`, what was decoded stays in memory."""

    decode: Callable[[Any], tuple[Any, ...]]
    transform: Callable[..., Any]
    keep: bool
    kept: dict[int, tuple[Any, ...]] = field(default_factory=dict)

    def __call__(self, number: int, sample: Any) -> Any:
        parts = self.kept.get(number)
        if parts is None:
            parts = self.decode(sample)
            if self.keep:
                self.kept[number] = parts
        return self.transform(*parts)


def segmentation(scales: tuple[float, float], height: int, crop: tuple[int, int], backend: Backend) -> v2.Compose:
    """references/segmentation: random size, flip, padding, crop, normalising; `scales` of the image's `height`."""
    return v2.Compose(
        [
            v2.RandomResize(round(scales[0] * height), round(scales[1] * height)),
            v2.RandomHorizontalFlip(0.5),
            v2.RandomCrop(crop, pad_if_needed=True, fill={tv_tensors.Mask: IGNORE, "others": 0}),
            *([v2.PILToTensor()] if backend == "Pillow" else []),
            v2.ToDtype(_dtypes(backend) | {tv_tensors.Mask: torch.int64}, scale=True),
            v2.Normalize(MEAN, STD),
            v2.ToPureTensor(),
        ]
    )


def detection(ssd: bool, size: tuple[int, int], backend: Backend) -> v2.Compose:
    """references/detection, presets `hflip` and `ssd`; resizing and normalising, which its models do, added."""
    augment = [v2.RandomPhotometricDistort(), v2.RandomZoomOut(fill=MEAN_COLOUR), v2.RandomIoUCrop()] if ssd else []
    return v2.Compose(
        [
            *augment,
            v2.RandomHorizontalFlip(0.5),
            v2.Resize(size),
            *([v2.PILToTensor()] if backend == "Pillow" else []),
            v2.ToDtype(_dtypes(backend), scale=True),
            v2.Normalize(MEAN, STD),
            v2.SanitizeBoundingBoxes(),
            v2.ToPureTensor(),
        ]
    )


def _dtypes(backend: Backend) -> dict[Any, Any]:
    return {Tensor if backend == "Pillow" else tv_tensors.Image: torch.float32, "others": None}


def decode_masked(sample: Sample, backend: Backend) -> tuple[Any, ...]:
    """An image and its mask."""
    with Image.open(sample.mask) as mask:
        return _decoded(sample, backend), tv_tensors.Mask(v2.functional.pil_to_tensor(mask))


def decode_boxed(sample: BoxSample, backend: Backend) -> tuple[Any, ...]:
    """An image and its target."""
    image, counted = _decoded(sample, backend), ~sample.crowd
    size = image.shape[-2:] if isinstance(image, Tensor) else (image.height, image.width)
    boxes = tv_tensors.BoundingBoxes(torch.from_numpy(sample.boxes[counted]).float(), format="XYXY", canvas_size=size)
    return image, {"boxes": boxes, "labels": torch.from_numpy(sample.labels[counted])}


def _decoded(sample: Sample | BoxSample, backend: Backend) -> Any:
    with Image.open(sample.image) as picture:
        image = picture.convert("RGB")
    return image if backend == "Pillow" else tv_tensors.Image(v2.functional.pil_to_tensor(image))
