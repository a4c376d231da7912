"""The sections of the configuration: every key is a flag, a line of a recipe, and one of the copy in the run folder."""

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from fna.arch.space import GROUPINGS
from fna.config.types import Expansions, Grouping, ImageSize, Milestones, split_commas


class Section(BaseModel):
    """A part of the configuration: unknown keys are errors, values are checked when they are set."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Augment(Section):
    """How training images are changed."""

    resize: ImageSize | None = Field(
        None,
        description="resize images (classification: their random crops) to HxW first; default: --imgsz where given",
    )
    scales: tuple[PositiveFloat, ...] = Field(
        (0.75, 1.0, 1.25), description="segmentation: one of these factors at random"
    )
    crop: ImageSize = Field(
        (320, 320), description="segmentation: random crop HxW in pixels, padded where the image is smaller"
    )
    flip: bool = Field(True, description="mirror left-right at random")
    ssd: bool = Field(False, description="detection: photometric distortion, zoom out and IoU crop, as SSD has it")
    jitter: float = Field(
        0.0, ge=0, lt=1, description="segmentation: random change of colour channels and contrast by this share"
    )


Optimizer = Literal["sgd", "rmsprop", "adamw"]
Start = Literal["remap", "random", "kaiming"]
START_HELP = "start from the remapped seed, from the standard normal (paper 4.3), or from Kaiming's normal"


class Search(Section):
    """Architecture adaptation (paper 3.2)."""

    init: Start = Field("remap", description=f"super network: {START_HELP}")
    method: Literal["alphas", "swaps"] = Field(
        "swaps",
        description="alphas: the paper's gradient of the mixture; swaps: paired loss change of single changes",
    )
    swap: Grouping = Field(
        "stage",
        description=f"swaps: what decides as one ({', '.join(GROUPINGS)}): a whole stage has one kernel, one expansion "
        "and so many layers",
    )
    depths: tuple[PositiveInt, ...] = Field(
        (), description="layers per searched stage; default: the paper's for the head"
    )
    kernels: tuple[PositiveInt, ...] = Field((3, 5, 7), description="kernel candidates")
    expansions: Expansions = Field((3, 6), description="expansion candidates")
    norm: Literal["seed", "plain"] = Field(
        "seed", description="super network norms: the seed's scale and shift, or batch statistics alone (the authors)"
    )
    share: bool = Field(
        False,
        description="candidates are parts of their layer's largest one; false: each has its own weights (the paper)",
    )
    epochs: PositiveFloat = Field(8, description="passes over the weights' part of the training set")
    alpha_epoch: NonNegativeFloat = Field(4, description="alphas start after this epoch")
    alpha_interval: PositiveInt = Field(1, description="weight steps per alpha step, once alphas have started")
    alpha_paths: Literal[0, 2] = Field(
        0, description="candidates of each layer in a step of the alphas: 0 for all (the paper), or 2 sampled ones"
    )
    alpha_graph: bool = Field(
        True, description="CUDA: start all operations of an alpha step's mixture at once, from a recorded graph"
    )
    alpha_split: float = Field(0.2, gt=0, lt=1, description="part of the training set held out for the alphas")
    explore: float = Field(
        0.3,
        ge=0,
        le=1,
        description="chance that a layer (or stage, see swap) leaves the seed's choice in a step before alphas start",
    )
    batch: PositiveInt = Field(8, description="images in a step, over all processes")
    augment: Augment = Augment()
    optimizer: Optimizer = Field("adamw", description="of the weights")
    optimizer_eps: PositiveFloat = Field(1e-8, description="of RMSprop; the authors have 1.0")
    lr: PositiveFloat = Field(1e-3, description="learning rate of the weights after the warm-up")
    lr_start: NonNegativeFloat = Field(1e-5, description="learning rate at the first step of the warm-up")
    lr_end: NonNegativeFloat = Field(1e-5, description="learning rate at the end of the cosine")
    milestones: Milestones = Field(
        (), description="learning rate / 10 after each of these shares of the search, instead of the cosine"
    )
    warmup_epochs: NonNegativeFloat = Field(1, description="the learning rate rises linearly for so long")
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD and RMSprop, and AdamW's first beta")
    weight_decay: NonNegativeFloat = Field(0.01, description="of the weights")
    clip: NonNegativeFloat = Field(10.0, description="gradient norm limit, 0 for none")
    replicas: PositiveInt = Field(2, description="independent searches; their rank correlation is reported")
    combine: Literal["mean", "worst"] = Field(
        "worst", description="score over replicas: their mean, or the worst, so that only what all favour is chosen"
    )
    caution: NonNegativeFloat = Field(
        1.0, description="standard errors (from the replicas) that a change of the seed has to earn (swaps)"
    )
    trials: NonNegativeInt = Field(
        3,
        description="swaps: fine-tune so many proposals, and the seed, for trial_steps on the same batches, and keep "
        "the best; 0: no trials, the scores decide",
    )
    trial_steps: PositiveInt = Field(150, ge=4, description="steps of one trial")
    trial_seeds: PositiveInt = Field(
        1, description="random seeds of every trial; with several, what chance does to a training counts in the error"
    )
    trial_augment: Augment | None = Field(None, description="how trials change images; default: as adapt does")
    swap_batches: PositiveInt = Field(6, description="held-out batches on which each candidate is scored (swaps)")
    alpha_lr: PositiveFloat = Field(1e-3, description="learning rate of the alphas")
    alpha_betas: tuple[float, float] = Field((0.5, 0.999), description="Adam betas of the alphas")
    alpha_weight_decay: NonNegativeFloat = Field(4e-5, description="of the alphas")
    alpha_clip: NonNegativeFloat = Field(35.0, description="gradient norm limit of the alphas, 0 for none")
    alpha_start: Literal["random", "seed"] = Field("random", description="alphas at 1e-3 normal, or favouring the seed")
    cost_weight: NonNegativeFloat = Field(9e-3, description="lambda of the loss")
    cost_base: float = Field(45.0, gt=1, description="tau, base of the logarithm")
    cost_scale: PositiveFloat = Field(10.0, description="gamma, multiplies the cost in billions of MAdds")


class Adapt(Section):
    """Parameter adaptation (paper 3.2): remap the seed, refresh norm statistics, fine-tune."""

    init: Start = Field("remap", description=START_HELP)
    steps: PositiveInt = Field(1000, description="steps of the fine-tuning")
    epochs: PositiveFloat | None = Field(None, description="passes over the training set, in place of steps")
    refresh_steps: NonNegativeInt = Field(50, description="batches to refresh batch-norm statistics before training")
    batch: PositiveInt = Field(8, description="images in a step, over all processes")
    augment: Augment = Augment()
    optimizer: Optimizer = Field("adamw", description="of backbone and head")
    optimizer_eps: PositiveFloat = Field(1e-8, description="of RMSprop; the authors have 1.0")
    lr: PositiveFloat = Field(1e-3, description="learning rate of the backbone after the warm-up")
    lr_start: NonNegativeFloat = Field(1e-5, description="learning rate at the first step of the warm-up")
    warmup_steps: NonNegativeInt = Field(50, description="the learning rate rises linearly for so many steps")
    power: NonNegativeFloat = Field(0.9, description="of the polynomial decay")
    milestones: Milestones = Field(
        (), description="learning rate / 10 after each of these shares of the steps, instead of the polynomial decay"
    )
    head_lr_factor: PositiveFloat = Field(2.0, description="learning rate of the head over that of the backbone")
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD and RMSprop, and AdamW's first beta")
    weight_decay: NonNegativeFloat = Field(0.01, description="of backbone and head")
    clip: NonNegativeFloat = Field(10.0, description="gradient norm limit, 0 for none")
    norm: Literal["batch", "frozen"] = Field(
        "batch", description="backbone norms: statistics of the batch, or the running ones as they were (small batches)"
    )
    validate_steps: PositiveInt = Field(250, description="validate every so many steps, and at the end")


class Remap(Section):
    """How the seed's weights are mapped into another architecture (paper 3.1, 4.4)."""

    width: Literal["first", "norm_scale", "std", "l1"] = Field(
        "first",
        description="expanded channels that are kept where there are fewer: the first, or those with the largest norm "
        "scale, standard deviation or L1 norm",
    )
    kernel: Literal["centre", "dilate"] = Field(
        "centre", description="a larger kernel: the seed's in the centre and zeros around, or spread out (Eq. 6)"
    )
    depth: Literal["copy", "identity"] = Field(
        "copy", description="further layers of a stage: copies of its last one, or such silenced to the identity"
    )


class Evaluate(Section):
    """Segmentation: how whole images are judged."""

    window: ImageSize | None = Field(None, description="sliding window HxW; default: the whole image at once")
    window_stride: float = Field(2 / 3, gt=0, le=1, description="step of the window as part of its size")


class Detection(Section):
    """Detection: how images are sized, and how outputs become boxes."""

    short_side: PositiveInt | None = Field(
        None, description="resize images to this shorter side, not to --imgsz; default: 800 for retinanet without one"
    )
    long_side: PositiveInt = Field(1333, description="largest longer side after that")
    anchor_scales: Annotated[tuple[PositiveFloat, ...], BeforeValidator(split_commas)] | None = Field(
        None,
        description="ssdlite and ssdlite_fpn: box sizes of the maps, and the next one, as shares of the image; "
        "default: 0.1, and from 0.2 to 1.1 in equal steps",
    )
    score_threshold: float | None = Field(None, ge=0, lt=1, description="default: retinanet 0.05, else 0.02")
    nms_threshold: float | None = Field(None, gt=0, le=1, description="default: retinanet 0.5, else 0.6")
    detections: PositiveInt | None = Field(None, description="boxes per image; default: retinanet 100, else 200")
