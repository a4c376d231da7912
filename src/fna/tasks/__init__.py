"""What a task adds to the method: data, head, loss, evaluator, drawing."""

from fna.tasks.classification import Classification
from fna.tasks.detection import Detection
from fna.tasks.segmentation import Segmentation
from fna.tasks.task import Task

TASKS: dict[str, type[Task]] = {"seg": Segmentation, "det": Detection, "cls": Classification}
