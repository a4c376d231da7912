"""The tasks: one row each, with all that the rest of the package has to know of them; without torch.

Code that needs torch is named as `module:attribute` and imported when it is used (`imported`).
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from fna.arch.heads import HEADS
from fna.errors import UserError, unknown
from fna.tasks.score import Score


@dataclass(frozen=True, slots=True)
class TaskKind:
    """A task."""

    name: str
    """What users write: --task NAME."""
    title: str
    data: str
    """The kind of annotations that it learns from: masks, boxes or classes (`fna.data.samples`)."""
    head: str
    """The head where nothing is said."""
    gives: str
    """What a head must give to fit (`fna.arch.heads.HeadKind.gives`)."""
    score: Score
    """Chooses the best network, by `score` of the evaluator's result, and tells in which unit all metrics are shown."""
    class_score: str
    """What `per_class` of the evaluator's result is called."""
    absent: str
    """What a class is that has no score."""
    task: str
    """A `fna.tasks.task.Task`: data streams, losses, evaluator."""
    writer: str
    """Network and configuration -> `fna.tasks.task.Writer`, for `fna predict`."""
    ending: str | None = None
    """Of what `fna predict` writes for an image, beside NAME_overlay.png; None: OUT/predictions.json for all images."""
    view: str | None = None
    """A `fna.tasks.task.View`, for `fna figure predictions`; None: there is no such figure."""
    random_images: str | None = None
    """The task on random images in memory (`fna.study.random_images`), for projections; None: there are none."""
    recipe: str | None = None
    """The recipe of `fna demo`; None: there is no demonstration."""
    also: tuple[str, ...] = ()
    """Further metrics in tables of results."""
    imgsz: tuple[int, int] | None = None
    """Height and width of images where neither the user nor the head says them; None: as they are."""
    exported: bool = True
    """Whether the network gives one tensor of logits, which other formats can hold and be compared by."""

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads that fit, the default first."""
        fitting = [name for name, kind in HEADS.items() if kind.gives == self.gives and name != self.head]
        return (self.head, *fitting)


TASKS = {
    "seg": TaskKind(
        name="seg",
        title="semantic segmentation",
        data="masks",
        head="fpn",
        gives="masks",
        score=Score("mIoU"),
        class_score="IoU",
        absent="in neither truth nor prediction",
        task="fna.tasks.segmentation.task:Segmentation",
        writer="fna.tasks.segmentation.predict:mask_writer",
        ending="mask.png",
        view="fna.tasks.segmentation.view:Masks",
        random_images="fna.tasks.segmentation.random_images:RandomSegmentation",
        recipe="demo",
    ),
    "det": TaskKind(
        name="det",
        title="object detection",
        data="boxes",
        head="ssdlite",
        gives="boxes",
        score=Score("AP"),
        class_score="AP",
        absent="without a box in the validation images",
        task="fna.tasks.detection.task:Detection",
        writer="fna.tasks.detection.predict:boxes_writer",
        ending="boxes.json",
        view="fna.tasks.detection.view:Boxes",
        random_images="fna.tasks.detection.random_images:RandomDetection",
        recipe="demo-det",
        also=("AP50",),
        exported=False,
    ),
    "cls": TaskKind(
        name="cls",
        title="image classification",
        data="classes",
        head="classifier",
        gives="classes",
        score=Score("top1"),
        class_score="accuracy",
        absent="without a validation image",
        task="fna.tasks.classification.task:Classification",
        writer="fna.tasks.classification.predict:class_writer",
        imgsz=(224, 224),
    ),
}
"""Every task by its name."""


def find_task(name: str) -> TaskKind:
    """The row of a task; a UserError with the nearest name for an unknown one."""
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    return TASKS[name]


def task_of_data(data: str) -> str:
    """The name of the first task that learns from this kind of annotations; a UserError where none does."""
    found = [kind.name for kind in TASKS.values() if kind.data == data]
    if not found:
        raise UserError(f"no task learns from {data}; there are tasks for {', '.join(k.data for k in TASKS.values())}")
    return found[0]


def imported(reference: str) -> Any:
    """What `module:attribute` names."""
    module, _, attribute = reference.partition(":")
    return getattr(import_module(module), attribute)
