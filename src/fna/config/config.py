"""The configuration of a run."""

from typing import Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from fna.arch.heads import HEADS, HeadKind, parse_head
from fna.config.sections import Adapt, Detection, Evaluate, Remap, Search, Section
from fna.config.types import AUTO, Budgets, HeadText, ImageSize, MemorySize, TaskName, Triple
from fna.tasks.kinds import TASKS


class Config(Section):
    """One run."""

    task: TaskName = Field("auto", description=f"{', '.join(TASKS)}; auto: what the data are for")
    backbone: str = Field("mobilenet_v2", description="zoo name, where no weights say it; timm:NAME to train")
    weights: str = Field("none", description="FILE, DEFAULT (the library's), torchvision:NAME, timm:NAME, or none")
    mean: Triple | None = Field(None, description="input mean of RGB in [0, 1]; default: the seed's")
    std: Triple | None = Field(None, description="input std; default: the seed's")
    head: HeadText = Field(
        AUTO,
        description=f"{', '.join(HEADS)}; options as in fpn(width=64); auto: fpn for segmentation, ssdlite for "
        "detection, classifier for classification",
    )
    output_stride: Literal[0, 8, 16, 32] = Field(0, description="0: what the head has by itself")
    imgsz: ImageSize | None = Field(
        None,
        description="HxW at which images are read and costs counted; default: segmentation as they are (costs at the "
        "commonest size), ssdlite 320, retinanet by detection.short_side, classification 224",
    )
    budget: Budgets = Field(
        (),
        description="upper limits for the whole model at --imgsz: multiply-adds such as 0.9G, params=2M, or both "
        "(0.9G+params=2M); several (0.8G,0.9G) each give a network; none: no limit, the paper's argmax; "
        "default: the seed's own multiply-adds",
    )
    class_weights: Literal["none", "auto"] = Field(
        "auto", description="segmentation; auto: inverse square root of class frequency"
    )
    baseline: bool = Field(True, description="fna adapt: also train the untouched seed the same way, to compare")
    remap: Remap = Remap()
    search: Search = Search()
    adapt: Adapt = Adapt()
    evaluate: Evaluate = Evaluate()
    detection: Detection = Detection()
    seed: NonNegativeInt = Field(0, description="random seed")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    devices: PositiveInt = Field(1, description="processes on this machine (on each node), one a device")
    nodes: PositiveInt = Field(1, description="machines, each with so many devices")
    sync_norm: bool = Field(True, description="with several processes: batch norms see the images of all of them")
    precision: Literal["32", "bf16-mixed", "16-mixed"] = Field(
        "32", description="of the computation, as Lightning Fabric names it"
    )
    compile: bool = Field(
        False, description="torch.compile the network that is fine-tuned; minutes to compile, see docs/performance.md"
    )
    threads: NonNegativeInt = Field(0, description="CPU threads of torch, 0 for its own choice")
    workers: NonNegativeInt | Literal["auto"] = Field(
        "auto", description="processes that read images, 0 for none; auto: as many as cores are left over"
    )
    cache: MemorySize = Field(
        "1G", description="memory for decoded images of each split that is read, such as 500M or 2G; 0 for none"
    )
    checkpoint_minutes: PositiveFloat = Field(2.0, description="save the state at least this often")

    @property
    def head_kind(self) -> HeadKind:
        """The head with its options; the configuration is `resolved`."""
        return parse_head(self.head)

    @model_validator(mode="after")
    def _bare_norms_cannot_be_silenced(self) -> Self:
        if self.remap.depth == "identity" and self.search.norm == "plain":
            raise ValueError("remap.depth 'identity' silences a norm's scale, which search.norm 'plain' does not have")
        return self
