"""A Markdown section about many runs: every network over several random seeds, with mean and spread."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from string import ascii_uppercase

from fna.errors import UserError
from fna.report.files import RunFiles, dense
from fna.report.groups import Group, collect, difference, paired_difference, spread
from fna.report.text import giga, mega, minutes, shorten_paths, table
from fna.tasks.score import Score


def results(folders: Sequence[str | Path], title: str = "Results", brief: bool = False) -> str:
    """A Markdown section made from run folders: scores by kind of network, differences, search, commands, machines.

    `brief` leaves out the architectures, the commands and the title.

    Scores come with the standard deviation of the sample (n - 1). Standard errors of differences are of the pairs where
    both networks have the same random seeds, else they treat the random seeds as independent. Absolute paths in
    commands are cut to their last two components. Raises UserError where a folder is no run folder, no training is
    finished, or the runs differ in schedule, data or seed architecture.
    """
    paths = [Path(folder) for folder in folders]
    runs = [RunFiles(path) for path in dict.fromkeys(path.resolve() for path in paths)]
    groups, notes = collect(runs)
    if not groups:
        raise UserError(
            f"none of {', '.join(map(str, paths)) or 'no folders'} has a finished fine-tuning (metrics.json)"
        )
    names = group_names(groups)
    summary = [
        conditions(groups),
        score_table(groups, names),
        bullets([*differences(groups, names), *searches(runs, groups)]),
    ]
    details = [architectures(groups, names), commands(runs)]
    footer = bullets([*machines(runs), *notes])
    parts = [*summary, footer] if brief else [f"### {title}", *summary, *details, footer]
    return "\n\n".join(part for part in parts if part) + "\n"


def bullets(lines: Sequence[str]) -> str:
    """A Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def group_names(groups: Sequence[Group]) -> list[str]:
    """The kind of each group, with what is around its backbone where that differs."""
    names = kind_names(groups)
    if len({group.around for group in groups}) == 1:
        return names
    return [f"{name}, {around_text(group)}" for name, group in zip(names, groups, strict=True)]


def around_text(group: Group) -> str:
    """Head, output stride and the size of images: `fpn, OS 32, 240x320`."""
    head, stride, size = group.around
    return f"{head}, OS {stride}" + (f", {size[0]}x{size[1]}" if size else "")


def kind_names(groups: Sequence[Group]) -> list[str]:
    """The kind of each group, with a letter for the architecture where several were adapted."""
    archs = list(dict.fromkeys(dense(group.arch) for group in groups if not group.is_seed))
    if len(archs) < 2:
        return [group.kind for group in groups]
    letter = {arch: label(n) for n, arch in enumerate(archs)}
    return [
        group.kind if group.is_seed else group.kind.replace("architecture", f"architecture {letter[dense(group.arch)]}")
        for group in groups
    ]


def label(n: int) -> str:
    """A, B, ... Z, then numbers."""
    return ascii_uppercase[n] if n < len(ascii_uppercase) else str(n + 1)


def conditions(groups: Sequence[Group]) -> str:
    """Data, schedule and what is measured, in a sentence or two."""
    run, alike = groups[0].results[0][0], len({group.around for group in groups}) == 1
    splits = ", ".join(f"{len(names)} {split}" for split, names in run.dataset.get("splits", {}).items())
    size = f" of {run.imgsz[0]}x{run.imgsz[1]} (height x width)" if run.imgsz else ""
    how, score = run.config.get("adapt", {}), run.kind.score
    direction = f" ({score.direction})" if score.direction else ""
    steps = next((training.metrics["steps"] for training in run.trainings if training.metrics), how.get("steps"))
    return (
        (f"Head {groups[0].design.head}, output stride {run.output_stride}, " if alike else "")
        + f"{len(run.dataset.get('classes', []))} classes, {splits} images; every network is fine-tuned for "
        f"{steps} steps of batch {how.get('batch')}, on the same schedule. Val {score.name}{score.in_unit}{direction}, "
        f"mean ± standard deviation over random seeds; MAdds and params of the whole model, one image{size}."
    )


def score_table(groups: Sequence[Group], names: Sequence[str]) -> str:
    """One row a group."""
    kind = groups[0].results[0][0].kind
    score, also = kind.score, kind.also
    header = ["", "random seeds", f"best val {score.name}", "each", f"last val {score.name}"]
    header += [f"val {name} at the best" for name in also] + ["MAdds", "params", "fine-tuning, min"]
    rows = []
    for group, name in zip(groups, names, strict=True):
        best, cost = group.scores(), group.results[0][1].cost
        each = ", ".join(map(score.shown, best))
        rows.append(
            [name, len(best), mean_and_spread(best, score), each, score.shown(fmean(group.scores("last")))]
            + [mean_and_spread(group.scores(key=metric), score) for metric in also]
            + [giga(cost.get("madds")), mega(cost.get("params")), minutes(group.mean_seconds)]
        )
    return table(header, rows)


def mean_and_spread(values: Sequence[float], score: Score) -> str:
    """`42.0 ± 1.1`, or the lone value."""
    deviation = spread(values)
    return score.shown(fmean(values)) + ("" if deviation is None else f" ± {score.shown(deviation)}")


def differences(groups: Sequence[Group], names: Sequence[str]) -> list[str]:
    """Adapted minus seed, and remapped minus random, for every architecture that has both."""
    lines = []
    named = list(zip(groups, names, strict=True))
    for (a, name), (b, other) in product(named, named):
        if a.around != b.around:
            continue
        to_random = a.pretrained and not b.pretrained and dense(a.arch) == dense(b.arch)
        if not a.is_seed and b.is_seed and a.pretrained and b.pretrained:
            beaten = a.score.better(fmean(a.scores()), fmean(b.scores()))
            advice = "" if beaten else " It does NOT beat its seed: keep the seed architecture."
            lines.append(difference_of_groups(f"{name} - {other}", a, b) + advice)
        elif to_random:
            lines.append(difference_of_groups(f"{name} - {other}", a, b))
    lines += head_differences([(group, name) for group, name in named if group.pretrained and group.is_seed])
    adapted = [group for group in groups if group.pretrained and not group.is_seed]
    seeds = [group for group in groups if group.pretrained and group.is_seed]
    if len(adapted) > 1 and seeds:
        # One number an architecture: random seeds of the same one are no independent draws of a search.
        scores = [fmean(group.scores()) for group in adapted]
        lines.append(
            difference_line(
                f"mean of {len(adapted)} adapted architectures - seed architecture",
                scores,
                seeds[0].scores(),
                seeds[0].score,
            )
        )
    return lines


def head_differences(seeds: Sequence[tuple[Group, str]]) -> list[str]:
    """Of the seed's backbone under each head minus that under the first one: its score, and its cost in percent."""
    lines = []
    for group, name in seeds[1:]:
        reference, other = seeds[0]
        share = group.results[0][1].cost["madds"] / reference.results[0][1].cost["madds"]
        line = difference_of_groups(f"{name} - {other}", group, reference)
        lines.append(f"{line} At {100 * share:.0f} % of its MAdds.")
    return lines


def difference_of_groups(name: str, a: Group, b: Group) -> str:
    """A difference of best scores, pair by pair where both have the same random seeds."""
    score = a.score
    paired = paired_difference(a, b)
    if paired is None:
        return difference_line(name, a.scores(), b.scores(), score)
    values, error = paired
    mean = fmean(values)
    chance = ", so this can be chance" if abs(mean) < 2 * error else ""
    each = ", ".join(map(score.difference, values))
    return (
        f"{name}: **{score.difference(mean)}**{score.points} "
        f"(by random seed {each}; standard error {score.shown(error)}{chance})."
    )


def difference_line(name: str, a: Sequence[float], b: Sequence[float], score: Score) -> str:
    """A difference of best scores, with its standard error."""
    value, error = difference(a, b)
    known = f"standard error {score.shown(error)}" if error is not None else "standard error unknown: one random seed"
    if error is not None and abs(value) < 2 * error:
        known += ", so this can be chance"
    return f"{name}: **{score.difference(value)}**{score.points} ({known})."


def searches(runs: Sequence[RunFiles], groups: Sequence[Group]) -> list[str]:
    """Strategy, size of the space, wall time and repeatability of every search."""
    times = [group.mean_seconds for group in groups if not group.is_seed and group.mean_seconds is not None]
    lines = []
    for run in runs:
        if not run.search:
            continue
        wall, rank = run.search.wall_seconds, run.search.repeatability
        ratio = f", {wall / fmean(times):.2f} times one fine-tuning" if times else ""
        lines.append(
            f"search `{run.folder.name}`: `{run.search.strategy}`, 10^{run.search.size_log10:.1f} architectures, "
            f"independent searches: {len(run.search.worth.replicas)}, {minutes(wall)} min in all{ratio}; "
            f"rank correlation between them: {'not measured' if rank is None else f'{rank:.2f}'}."
        )
    return lines


def architectures(groups: Sequence[Group], names: Sequence[str]) -> str:
    """The layers of every architecture, stage by stage."""
    first = {dense(group.arch): name for group, name in reversed(list(zip(groups, names, strict=True)))}
    texts = [
        f"{name.partition(' (')[0]}\n{group.arch}"
        for group, name in zip(groups, names, strict=True)
        if first[dense(group.arch)] == name
    ]
    return "```text\n" + "\n\n".join(texts) + "\n```"


def commands(runs: Sequence[RunFiles]) -> str:
    """The commands as typed."""
    typed = [shorten_paths(run.environment["command"]) for run in runs if run.environment.get("command")]
    return "```sh\n" + "\n".join(dict.fromkeys(typed)) + "\n```" if typed else ""


def machines(runs: Sequence[RunFiles]) -> list[str]:
    """Where the runs were made."""
    lines = []
    for run in runs:
        get = run.environment.get
        threads = sorted({entry["threads"] for entry in run.ledger.values() if "threads" in entry})
        where = [f"{get('processor')}, {get('cores')} cores", *([str(get("gpu"))] if get("gpu") else [])]
        where += [f"torch threads: {' or '.join(map(str, threads))}"] if threads else []
        where += [f"torch {get('torch')}"]
        lines.append(f"machine: {', '.join(where)}.")
    return list(dict.fromkeys(lines))
