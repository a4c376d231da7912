"""A run at work: its folder with the seed and the task, made, reopened and described."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fna.arch import zoo
from fna.arch.arch import Arch
from fna.arch.design import Design, backbone_of, find, with_layers
from fna.arch.heads import parse_head
from fna.arch.plain import AnyArch
from fna.config.config import Config
from fna.config.resolved import resolved
from fna.config.types import AUTO
from fna.cost.budget import Budget
from fna.cost.count import Count
from fna.cost.count import count as count_data
from fna.cost.measure import Cost, cost_of
from fna.data.layouts.opening import open_data
from fna.errors import UserError
from fna.files import write_json, write_text
from fna.nn.cost import count
from fna.nn.plain import is_plain
from fna.runs.processes import check_batch
from fna.runs.run import Run
from fna.tasks.kinds import TASKS, imported, task_of_data
from fna.tasks.task import Task
from fna.weights.plain import AnySeed, PlainSeed, load_plain, searchable
from fna.weights.plan import plan
from fna.weights.seeds import IMAGENET_MEAN, IMAGENET_STD, Seed, load_file, load_named


def load_seed(config: Config) -> AnySeed:
    """The configured seed: a file, named weights of a library, or none (the architecture alone)."""
    if is_plain(config.backbone):
        return load_plain(config.backbone, config.weights, config.mean, config.std)
    if config.weights == "none":
        return Seed(zoo.lookup(config.backbone), {}, config.mean or IMAGENET_MEAN, config.std or IMAGENET_STD, "none")
    name = "torchvision" if config.weights == "DEFAULT" else config.weights
    if name.split(":")[0] in ("torchvision", "timm"):
        seed = load_named(name)
        return replace(seed, mean=config.mean or seed.mean, std=config.std or seed.std)
    return load_file(config.weights, config.mean, config.std)


@dataclass
class Job:
    """A run folder with everything that its verb needs."""

    run: Run
    seed: AnySeed
    task: Task

    def design(self, arch: AnyArch) -> Design:
        """The run's network on a backbone."""
        return self.task.design(self.seed.name, arch)

    def count(self, arch: AnyArch) -> Count:
        """Cost of the whole model at the run's image size."""
        return count(self.design(arch), len(self.task.classes))

    def cost(self, arch: Arch, budget: Budget) -> Cost:
        """All exact measures of the whole model at the run's image size, and those measured that are limited."""
        return cost_of(self.design(arch), len(self.task.classes), budget.measured)

    @property
    def searched(self) -> Seed:
        """The seed of a search; a UserError where it has none."""
        return searchable(self.seed)


def wanted_task(config: Config) -> str | None:
    """The task that data are opened for, None where they decide."""
    return None if config.task == "auto" else config.task


def prepare(data: str | Path, config: Config) -> tuple[Config, AnySeed, Task]:
    """The resolved configuration, the seed and the task for the data; nothing is written."""
    seed = load_seed(config)
    config, task = open_task(data, config, seed)
    return config, seed, task


def open_task(data: str | Path, config: Config, seed: AnySeed) -> tuple[Config, Task]:
    """The resolved configuration and the task for the data."""
    wanted = wanted_task(config)
    opened = open_data(data, wanted)
    config = resolved(config, wanted or task_of_data(opened.kind))
    return config, imported(TASKS[config.task].task)(config, opened, seed.mean, seed.std)


def start(verb: str, data: str | Path, out: str | Path, config: Config, arch: str | None = None) -> Job:
    """Check seed, architecture and data, then make the run folder; nothing is written when one is wrong."""
    given, seed = config, load_seed(config)
    network = wanted_network(arch, seed)
    config, task = open_task(data, with_design(config, network), seed)
    check_batches(config, verb)
    if verb != "train":
        searchable(seed)
        count_data(task.design(seed.name, seed.arch), len(task.classes))  # refuses what a search cannot count
    for backbone in (seed.arch, backbone_of(network)):
        count(task.design(seed.name, backbone), len(task.classes))  # refuses what cannot be built
    run = Run.create(out, config)
    write_json(run.folder / "run.json", {"verb": verb, "data": str(Path(data).resolve()), "arch": arch})
    job = Job(run, seed, task)
    if verb == "train":
        keep_design(job, network)
    describe(job)
    for line in given_way(given, network, job.design(seed.arch)):
        run.note(f"  note: {line}")
    return job


def given_way(config: Config, network: Design | AnyArch, made: Design) -> list[str]:
    """What a design overrules of the configuration, and what of it gives way in the network that is made."""
    if not isinstance(network, Design):
        return []
    lines = []
    if config.head != AUTO and parse_head(config.head) != network.head:
        lines.append(f"head {config.head} gives way to the design's {network.head}")
    if config.output_stride not in (0, network.output_stride):
        lines.append(f"output_stride {config.output_stride} gives way to the design's {network.output_stride}")
    if network.resize and config.imgsz not in (None, network.imgsz):
        lines.append(f"imgsz {config.imgsz} gives way to the design's {network.imgsz}")
    if network.seed not in ("none", made.seed):
        lines.append(f"the design names the seed {network.seed}; what is trained starts from {made.seed}")
    if made.resize and not network.resize:
        size = f"{made.imgsz[0]}x{made.imgsz[1]}"
        lines.append(f"the design has images as they are; {made.head.name} has them resized to {size} (--imgsz)")
    return lines


def check_batches(config: Config, verb: str) -> None:
    """A UserError where several processes cannot share a batch that the verb uses."""
    for section in ("adapt",) if verb == "train" else ("adapt", "search"):
        check_batch(config, section)


def reopen(folder: str | Path, **changes: Any) -> tuple[str, Job, str | None]:
    """An existing run with the same data and seed; `changes` only of keys that do not alter results."""
    run = Run.open(folder, **changes)
    what = run.read_json("run.json")
    if what is None:
        raise UserError(f"{folder} has no run.json, so what it was doing is unknown")
    run.config, seed, task = prepare(what["data"], run.config)
    job = Job(run, seed, task)
    if not (run.folder / "seed-design.json").is_file():
        # The last file of a new folder: without it the process was killed before it had described the run.
        describe(job)
    return what["verb"], job, what["arch"]


def describe(job: Job) -> None:
    """Write dataset.json and say what was found."""
    task, run = job.task, job.run
    run.note(f"run {run.folder}")
    for line in task.summary():
        run.note(f"  {line}")
    write_json(run.folder / "dataset.json", task.describe())
    if not job.seed.weights:
        run.note("  note: no pretrained weights, so training starts from random ones; give --weights FILE, or DEFAULT")
    seed_cost = job.count(job.seed.arch)
    height, width = task.imgsz
    run.note(
        f"  seed {job.seed.source}: {seed_cost.params / 1e6:.2f} M parameters, "
        f"{seed_cost.madds / 1e9:.4f} G MAdds (whole model at {height}x{width})"
    )
    write_json(run.folder / "seed.json", {"source": job.seed.source, "cost": seed_cost.as_dict()})
    run.note(f"  design: {job.design(job.seed.arch)}")
    write_text(run.folder / "seed-design.json", job.design(job.seed.arch).to_json())


def wanted_network(text: str | None, seed: AnySeed) -> Design | AnyArch:
    """What to train: `seed` (or nothing), a design or an architecture in a file, a run folder or a zoo name.

    A plain backbone is trained as it is; a UserError for any other architecture.
    """
    if text in (None, "seed"):
        return seed.arch
    found = find(str(text))
    arch = backbone_of(found)
    if isinstance(seed, PlainSeed) and arch != seed.arch:
        raise UserError(f"--arch {text}: {seed.arch.name} is trained as it is; leave out --arch")
    if isinstance(seed, Seed):
        layers = with_layers(arch, str(text))
        if seed.weights:
            plan(seed.arch, layers)  # refuses what the seed's weights cannot start
    return found


def with_design(config: Config, network: Design | AnyArch) -> Config:
    """The configuration with the head, output stride and image size of a design, which says them for itself."""
    if not isinstance(network, Design):
        return config
    size = {"imgsz": network.imgsz} if network.resize else {}
    return config.model_copy(update={"head": str(network.head), "output_stride": network.output_stride} | size)


def backbone_in(job: Job, name: str) -> AnyArch:
    """The backbone of a design in the run folder, which may have been edited there.

    Raises UserError where what is around the backbone was: that is the run's, and all its networks share it.
    """
    file = job.run.folder / name
    found = Design.load(file)
    own = job.design(found.arch)
    if (found.head, found.output_stride, found.resize) != (own.head, own.output_stride, own.resize) or (
        found.resize and found.imgsz != own.imgsz
    ):
        raise UserError(
            f"{file} has another head, output stride or image size than its run, which trains: {own}. Put them back, "
            f"or train it in a run of its own: fna train DATA --arch {file}"
        )
    return found.arch


def keep_design(job: Job, network: Design | AnyArch) -> None:
    """What a run of `fna train` trains, in its design.json, so that it goes on without the file that it is from."""
    write_text(job.run.folder / "design.json", job.design(backbone_of(network)).to_json())
