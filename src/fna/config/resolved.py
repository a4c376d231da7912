"""What the configuration leaves to task and head, filled in."""

from typing import Any

from fna.arch.heads import DetectorKind, parse_head
from fna.arch.heads.ssdlite import ssd_scales
from fna.arch.space import SPACES
from fna.config.config import Config
from fna.config.sections import Detection
from fna.config.types import AUTO
from fna.errors import UserError
from fna.tasks.kinds import TASKS

DETECTION_DEFAULTS: dict[str, dict[str, Any]] = {
    "ssd": {"score_threshold": 0.02, "nms_threshold": 0.6, "detections": 200},  # the authors' SSD configuration
    "retinanet": {"score_threshold": 0.05, "nms_threshold": 0.5, "detections": 100},  # their detection library's
}
SSD_SIZE = (320, 320)
RETINANET_SHORT_SIDE = 800
"""Paper A.1."""


def resolved(config: Config, task: str) -> Config:
    """The configuration for data of `task`: what was left to the task and the head is filled in.

    Raises UserError where task, head, output stride and image size do not go together.
    """
    if config.task not in ("auto", task):
        raise UserError(f"task is {config.task!r}, but the data are for the task {task!r}")
    kind = parse_head(TASKS[task].heads[0] if config.head == AUTO else config.head)
    head = kind.name
    if head not in TASKS[task].heads:
        raise UserError(f"head {head!r} does not fit the task {task!r}; its heads are {', '.join(TASKS[task].heads)}")
    stride = config.output_stride or kind.output_stride
    if stride not in kind.output_strides:
        raise UserError(f"output_stride is {stride}, but the head {head} needs {kind.strides_text}")
    depths = config.search.depths or SPACES[kind.space][0]
    search = config.search.model_copy(update={"depths": depths})
    found: dict[str, Any] = {"task": task, "head": str(kind), "output_stride": stride, "search": search}
    if isinstance(kind, DetectorKind):
        found |= _detector_sizes(kind, config)
    if TASKS[task].imgsz is not None:
        found["imgsz"] = config.imgsz or TASKS[task].imgsz
    return config.model_copy(update=found)


def _detector_sizes(kind: DetectorKind, config: Config) -> dict[str, Any]:
    how, imgsz = with_defaults(kind, config.detection), config.imgsz
    if kind.rules == "ssd":
        if how.short_side is not None:
            raise UserError(f"detection.short_side is for retinanet; {kind.name} resizes images to --imgsz exactly")
        imgsz = imgsz or SSD_SIZE
    elif imgsz is None and how.short_side is None:
        how = how.model_copy(update={"short_side": RETINANET_SHORT_SIDE})
    if imgsz is not None and min(imgsz) < kind.least_side:
        raise UserError(f"imgsz is {imgsz[0]}x{imgsz[1]}; detectors need sides of at least {kind.least_side} pixels")
    return {"imgsz": imgsz, "detection": how}


def with_defaults(kind: DetectorKind, how: Detection) -> Detection:
    """The detection settings with the head's own thresholds and scales where none are given.

    Raises UserError where the number of scales is not that of the head.
    """
    maps = len(kind.anchors)
    if how.anchor_scales is not None and kind.rules == "ssd" and len(how.anchor_scales) != maps + 1:
        raise UserError(
            f"detection.anchor_scales has {len(how.anchor_scales)} numbers, but {kind} has {maps} maps: give {maps + 1}"
        )
    own = DETECTION_DEFAULTS[kind.rules] | {"anchor_scales": ssd_scales(maps)}
    given = {key: value for key, value in how.model_dump().items() if value is not None}
    return how.model_copy(update=own | given)
