"""Typed configuration: every key is a flag, a line of a recipe, and a line of the resolved copy in the run folder."""

import re
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from fna.arch.arch import parse_imgsz
from fna.arch.heads import HEADS, DetectorKind, HeadKind, head_from_data, parse_head
from fna.arch.heads.ssdlite import ssd_scales
from fna.arch.space import SPACES
from fna.cost.budget import Budget
from fna.errors import UserError, unknown
from fna.tasks.kinds import TASKS

PositiveHW = tuple[PositiveInt, PositiveInt]


def parse_hw(value: object) -> object:
    """Text or one number -> (height, width); anything else is passed on to be judged by its type."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value, value)
    return parse_imgsz(value) if isinstance(value, str) else value


ImageSize = Annotated[PositiveHW, BeforeValidator(parse_hw)]


def head_text(value: object) -> object:
    """A head in its shortest text, from a longer one or its JSON form; `auto` and what is neither are passed on."""
    if isinstance(value, dict):
        return str(head_from_data(value))
    return str(parse_head(value)) if isinstance(value, str) and value != AUTO else value


AUTO = "auto"
HeadText = Annotated[str, BeforeValidator(head_text)]


def checked_budgets(value: object) -> object:
    """Texts joined by commas, each of which must be a budget; anything else is passed on to be judged by its type."""
    texts = split_commas(value)
    for text in texts if isinstance(texts, (tuple, list)) else ():
        if isinstance(text, str):
            Budget.parse(text)
    return texts


def split_commas(value: object) -> object:
    """`0.5G,0.6G` -> ("0.5G", "0.6G"); a lone number is one item; anything else is passed on."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (str(value),)
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


Budgets = Annotated[tuple[str, ...], BeforeValidator(checked_budgets)]
Triple = Annotated[tuple[float, float, float], BeforeValidator(split_commas)]

MEMORY_SUFFIXES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_bytes(text: str) -> int:
    """`1G`, `500M`, `1.5G` (powers of 1024) or a number of them -> bytes."""
    number, suffix = (text[:-1], text[-1].upper()) if text[-1:].upper() in MEMORY_SUFFIXES else (text, "")
    if not re.fullmatch(r"\d+(\.\d+)?", number):
        raise UserError(f"cache {text!r} is not an amount of memory: write 1G, 500M, a number of bytes, or 0 for none")
    return int(float(number) * MEMORY_SUFFIXES.get(suffix, 1))


def _memory_size(value: object) -> object:
    """Text that `parse_bytes` takes; whole numbers become it, anything else is passed on to be judged by its type."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(text, str):
        parse_bytes(text)
    return text


MemorySize = Annotated[str, BeforeValidator(_memory_size)]


def _known_task(value: str) -> str:
    if value not in ("auto", *TASKS):
        raise unknown("task", value, ("auto", *TASKS))
    return value


TaskName = Annotated[str, AfterValidator(_known_task)]


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
Milestones = Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], BeforeValidator(split_commas)]


class Search(Section):
    """Architecture adaptation (paper 3.2)."""

    init: Start = Field("remap", description=f"super network: {START_HELP}")
    method: Literal["alphas", "swaps"] = Field(
        "swaps",
        description="alphas: the paper's gradient of the mixture; swaps: paired loss change of single changes",
    )
    swap: Literal["stage", "layer"] = Field(
        "stage", description="swaps: what decides as one, a whole stage (kernel, expansion, depth) or each layer"
    )
    depths: tuple[PositiveInt, ...] = Field(
        (), description="layers per searched stage; default: the paper's for the head"
    )
    kernels: tuple[PositiveInt, ...] = Field((3, 5, 7), description="kernel candidates")
    expansions: tuple[PositiveInt, ...] = Field((3, 6), description="expansion candidates")
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


DETECTION_DEFAULTS: dict[str, dict[str, Any]] = {
    "ssd": {"score_threshold": 0.02, "nms_threshold": 0.6, "detections": 200},  # the authors' SSD configuration
    "retinanet": {"score_threshold": 0.05, "nms_threshold": 0.5, "detections": 100},  # their detection library's
}
SSD_SIZE = (320, 320)
SMALLEST_SIDE = 32
"""Pixels of an image that a detector takes: one cell at the deepest stride."""
RETINANET_SHORT_SIDE = 800
"""Paper A.1."""


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
    def _plain_norms_cannot_be_silenced(self) -> Self:
        if self.remap.depth == "identity" and self.search.norm == "plain":
            raise ValueError("remap.depth 'identity' silences a norm's scale, which search.norm 'plain' does not have")
        return self


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
    if imgsz is not None and min(imgsz) < SMALLEST_SIDE:
        raise UserError(f"imgsz is {imgsz[0]}x{imgsz[1]}; detectors need sides of at least {SMALLEST_SIDE} pixels")
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


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    folder = resources.files("fna") / "recipes"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def recipe_path(name: str) -> Path:
    """The file of a recipe: a name from the package, or a YAML file of the user's."""
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise UserError(f"no recipe file at {name}")
        return Path(name)
    if name not in recipe_names():
        raise unknown("recipe", name, recipe_names())
    return Path(str(resources.files("fna") / "recipes" / f"{name}.yaml"))


def load_config(path: str | Path) -> Config:
    """Read a YAML file, strictly."""
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"cannot read the configuration {path}: {error}") from error
    return from_data(data, str(path))


def from_data(data: Any, source: str = "configuration") -> Config:
    """A configuration from nested dicts; a UserError names each key that is wrong and the near name."""
    if not isinstance(data, dict):
        raise UserError(f"{source}: a mapping of keys was expected, got {type(data).__name__}")
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{source}: " + "; ".join(_explain(e) for e in error.errors())) from error


def _explain(error: Any) -> str:
    *parents, key = [part for part in error["loc"] if isinstance(part, str)] or ["value"]
    dotted = ".".join([*parents, key])
    if error["type"] == "extra_forbidden":
        section: Any = Config
        for parent in parents:
            section = section.model_fields[parent].annotation
        return str(unknown("key", dotted, [".".join([*parents, name]) for name in section.model_fields]))
    return f"{dotted} is {error['input']!r}: {error['msg']}"


def to_yaml(config: Config) -> str:
    """The resolved configuration; `load_config` reads it back to an equal value."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
