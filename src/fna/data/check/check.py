"""What is in a data set and what is wrong with it, by the kind of its annotations."""

from collections.abc import Callable
from typing import Any, overload

from fna.data.check.box_check import BoxCheckReport, check_boxes
from fna.data.check.class_check import ClassCheckReport, check_classes
from fna.data.check.mask_check import MaskCheckReport, check_masks
from fna.data.samples import ClassificationData, Data, DetectionData, SegmentationData

CHECKS: dict[type[Data], Callable[[Any], Any]] = {
    SegmentationData: check_masks,
    DetectionData: check_boxes,
    ClassificationData: check_classes,
}
"""The check of each kind of data set."""


@overload
def check(data: SegmentationData) -> MaskCheckReport: ...
@overload
def check(data: DetectionData) -> BoxCheckReport: ...
@overload
def check(data: ClassificationData) -> ClassCheckReport: ...
@overload
def check(data: Data) -> MaskCheckReport | BoxCheckReport | ClassCheckReport: ...
def check(data: Data) -> MaskCheckReport | BoxCheckReport | ClassCheckReport:
    """Read every file of the data set once and say what is wrong with it.

    What is an error and what a warning is told by `check_masks`, `check_boxes` and `check_classes`.
    """
    report: MaskCheckReport | BoxCheckReport | ClassCheckReport = CHECKS[type(data)](data)
    return report
