"""Fine-tuned networks out of many run folders, grouped by what they are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from fna.arch.arch import HW
from fna.arch.design import Design
from fna.arch.heads import HeadKind
from fna.arch.plain import AnyArch
from fna.errors import UserError
from fna.report.files import RunFiles, TrainingFiles, dense, same_backbone
from fna.tasks.score import Score

FREE = {"seed", "search", "budget", "baseline", "weights", "backbone", "mean", "std"}
FREE |= {"head", "output_stride", "imgsz"}
FREE |= {"remap", "device", "threads", "workers", "cache", "checkpoint_minutes"}
"""Keys of the configuration that may differ between results of one table: what is compared, and how it was run.

So may `adapt.init`: a network from random weights is a row of its own."""


@dataclass
class Group:
    """One network with one start, fine-tuned with several random seeds; `is_seed`: on the seed's own backbone."""

    is_seed: bool
    pretrained: bool
    design: Design
    results: list[tuple[RunFiles, TrainingFiles]] = field(default_factory=list)

    @property
    def arch(self) -> AnyArch:
        """The backbone."""
        return self.design.arch

    @property
    def around(self) -> tuple[HeadKind, int, HW | None]:
        """What is around the backbone: head, output stride, and the size to which images are brought."""
        return self.design.head, self.design.output_stride, self.design.imgsz if self.design.resize else None

    @property
    def kind(self) -> str:
        """What the group is called."""
        if self.is_seed:
            return "seed architecture" if self.pretrained else "seed architecture, random weights"
        return "adapted architecture " + ("(remapped)" if self.pretrained else "(random weights)")

    @property
    def score(self) -> Score:
        """What the scores are of."""
        return self.results[0][0].kind.score

    def scores(self, which: str = "best", key: str = "score") -> list[float]:
        """The `best` or `last` validation scores, or another metric there, one a random seed."""
        return [training.metrics[which][key] for _, training in self.results if training.metrics]

    def by_random_seed(self) -> dict[int, float]:
        """The best score of each random seed."""
        return {
            random_seed(run): training.metrics["best"]["score"] for run, training in self.results if training.metrics
        }

    @property
    def mean_seconds(self) -> float | None:
        """Mean wall time of fine-tuning, of the trainings whose time is known."""
        times = [training.seconds for _, training in self.results if training.seconds is not None]
        return fmean(times) if times else None


def collect(runs: Sequence[RunFiles]) -> tuple[list[Group], list[str]]:
    """Groups of all finished trainings (seed, remapped, random), and a sentence on each training that is not counted.

    Raises UserError where the trainings are not comparable: another seed architecture, schedule or data.
    """
    found = [(run, training) for run in runs for training in run.trainings]
    notes = [
        f"`{run.folder.name}/{training.name}` is not finished and left out."
        for run, training in found
        if not training.metrics
    ]
    finished = [(run, training) for run, training in found if training.metrics]
    used = list(dict.fromkeys(run for run, _ in finished))
    check_comparable(used)
    seed_arch = the_seed_arch(used)
    groups: list[Group] = []
    for run, training in finished:
        is_seed = seed_arch is not None and same_backbone(training.arch, seed_arch)
        group = Group(is_seed, run.pretrained, training.design)
        same = [g for g in groups if (g.kind, g.around, dense(g.arch)) == (group.kind, group.around, dense(group.arch))]
        group = same[0] if same else group
        if not same:
            groups.append(group)
        twin = next((f"{r.folder.name}/{s.name}" for r, s in group.results if random_seed(r) == random_seed(run)), None)
        if twin is None:
            group.results.append((run, training))
        else:
            notes.append(
                f"`{run.folder.name}/{training.name}` repeats `{twin}` (the same network and random seed) "
                "and is not counted again."
            )
    return sorted(groups, key=lambda g: (not g.is_seed, not g.pretrained)), notes


def random_seed(run: RunFiles) -> int:
    """The configured random seed."""
    return int(run.config.get("seed", 0))


def the_seed_arch(runs: Iterable[RunFiles]) -> AnyArch | None:
    """The one seed architecture of the runs; those without weights do not say it where others have weights."""
    runs = list(runs)
    with_weights = [run for run in runs if run.pretrained] or runs
    archs = [(run, run.seed_arch) for run in with_weights if run.seed_arch]
    for run, arch in archs[1:]:
        if not same_backbone(arch, archs[0][1]):
            raise UserError(
                f"{archs[0][0].folder} and {run.folder} start from different seed architectures; "
                "make one table for each seed"
            )
    return archs[0][1] if archs else None


def check_comparable(runs: Sequence[RunFiles]) -> None:
    """Refuse runs that differ in schedule, data or evaluation: a difference of scores would not be of the networks.

    Keys that only one of two configurations has, written by different versions, are not compared.
    """
    for run in runs[1:]:
        first = runs[0]
        for get in (comparable_values, data_values):
            one, other = get(first), get(run)
            for key in one:
                if key in other and one[key] != other[key]:
                    raise UserError(
                        f"{key} is {shown(one[key])} in {first.folder} and {shown(other[key])} in {run.folder}: "
                        "results of one table need the same schedule and data; make two tables"
                    )


def comparable_values(run: RunFiles) -> dict[str, Any]:
    """The configuration by dotted key, without the keys that may differ."""
    values = flat({key: value for key, value in run.config.items() if key not in FREE})
    return {key: value for key, value in values.items() if key != "adapt.init"}


def data_values(run: RunFiles) -> dict[str, Any]:
    """What identifies the data: classes and the names of the images."""
    splits = run.dataset.get("splits", {})
    return {"the list of classes": run.dataset.get("classes")} | {
        f"the {n} split": names for n, names in splits.items()
    }


def flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one, by dotted key."""
    values: dict[str, Any] = {}
    for key, value in data.items():
        values |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return values


def shown(value: Any) -> str:
    """A value for an error message, long lists by their length."""
    return f"a list of {len(value)}" if isinstance(value, list) and len(value) > 6 else repr(value)


def spread(values: Sequence[float]) -> float | None:
    """Standard deviation of a sample (n - 1); None for fewer than two values."""
    return stdev(values) if len(values) > 1 else None


def difference(a: Sequence[float], b: Sequence[float]) -> tuple[float, float | None]:
    """Mean of `a` minus mean of `b`, and its standard error from independent samples (None below two values each)."""
    sa, sb = spread(a), spread(b)
    error = None if sa is None or sb is None else (sa**2 / len(a) + sb**2 / len(b)) ** 0.5
    return fmean(a) - fmean(b), error


def paired_difference(a: Group, b: Group) -> tuple[list[float], float] | None:
    """The differences of best scores for each random seed, and the standard error of their mean.

    Networks with the same random seed saw the same batches and started from the same head, so what those do to a score
    cancels. None where the groups do not have the same random seeds, two of them at least.
    """
    one, other = a.by_random_seed(), b.by_random_seed()
    if one.keys() != other.keys() or len(one) < 2:
        return None
    values = [one[n] - other[n] for n in sorted(one)]
    return values, stdev(values) / len(values) ** 0.5
