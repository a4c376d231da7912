"""Paper Table 6: how weights are mapped, in width and in the kernel."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from fna.arch.arch import Arch, Stage, Tap
from fna.arch.design import find_arch
from fna.arch.layers import LayerOp
from fna.config.config import Config
from fna.errors import UserError
from fna.jobs import prepare
from fna.report.groups import Group
from fna.search.search import seed_head
from fna.study.command import conduct, parsed, random_seeds, study_parser
from fna.study.plan import Step, Study
from fna.study.table import Column, Row, write_table
from fna.weights.plain import searchable

STRATEGIES: dict[str, tuple[str, str, float]] = {
    "Width-BN": ("norm_scale", "centre", 0.758),
    "Width-Std": ("std", "centre", 0.758),
    "Width-L1": ("l1", "centre", 0.753),
    "Kernel-Dilate": ("first", "dilate", 0.756),
    "FNA": ("first", "centre", 0.766),
}
"""Name in the paper -> remap.width, remap.kernel, and mIoU, DeepLabv3 on Cityscapes (paper, Table 6)."""
REFERENCE = "FNA"
NARROW = 3
"""The expansion of the network in which every width strategy has something to choose."""


def main(words: list[str]) -> int:
    """`fna study strategies`."""
    parser = study_parser("strategies", "How weights are mapped: the paper's Table 6 on your data.")
    parser.add_argument("--arch", help="a JSON file, a run folder or a zoo name: fine-tune it, without any search")
    given, config = parsed(parser, words)
    study = plan(config, given)
    return conduct(study, lambda: tabulate(study), given["jobs"])


def plan(config: Config, given: dict[str, Any]) -> Study:
    """For every random seed and strategy: a search (without --arch), its network, and the narrowed seed."""
    _, started, task = prepare(given["data"], config)
    seed = searchable(started)
    folder = Path(given["out"])
    narrow = narrowed(seed.arch, seed_head(task, seed).taps)
    if narrow == seed.arch:
        raise UserError(f"the seed has no layer of an expansion above {NARROW}, so no width strategy has a choice")
    if given["arch"] is not None:
        find_arch(given["arch"])
    steps = []
    for random_seed in random_seeds(given, config):
        for name, (width, kernel, _) in STRATEGIES.items():
            how: dict[str, Any] = {"seed": random_seed, "remap": {"width": width, "kernel": kernel}}
            searched = None
            if given["arch"] is None:
                searched = f"search-{name}-{random_seed}"
                steps.append(Step(searched, "search", how))
            steps.append(Step(f"{name}-{random_seed}", "train", how, arch=given["arch"], arch_of=searched))
            # A narrowed seed has the seed's kernels, so the kernel strategies are one and the same there.
            if kernel == "centre":
                steps.append(Step(f"{name}-narrow-{random_seed}", "train", how, arch="archs/narrow.json"))
    return Study("strategies", folder, given["data"], config, tuple(steps), {"narrow": narrow})


def narrowed(arch: Arch, taps: tuple[Tap, ...]) -> Arch:
    """`arch` with expansion 3 in every stage of more, but where a head reads the expanded tensor."""
    read_inside = {tap.stage for tap in taps if tap.expanded}

    def layers(s: int, stage: Stage) -> tuple[LayerOp, ...]:
        kept = 1 if s in read_inside else 0
        if stage.layers[0].expansion <= NARROW:
            return stage.layers
        return tuple(op if i < kept else replace(op, expansion=NARROW) for i, op in enumerate(stage.layers))

    stages = tuple(replace(stage, layers=layers(s, stage)) for s, stage in enumerate(arch.stages))
    return replace(arch, stages=stages)


def exercised(seed: Arch, target: Arch) -> tuple[int, int]:
    """How many layers of `target` are narrower, and how many have a larger kernel, than the seed's they start from."""
    pairs = [
        (old.layers[min(i, len(old.layers) - 1)], op)
        for old, new in zip(seed.stages, target.stages, strict=True)
        for i, op in enumerate(new.layers)
    ]
    return sum(op.expansion < own.expansion for own, op in pairs), sum(op.kernel > own.kernel for own, op in pairs)


def exercised_text(group: Group) -> str:
    """Those numbers for every network of a row, as `5 / 3`."""
    archs = [(run.seed_arch, training.arch) for run, training in group.results]
    found = [exercised(seed, arch) for seed, arch in archs if isinstance(seed, Arch) and isinstance(arch, Arch)]
    return ", ".join(dict.fromkeys(f"{narrow} / {large}" for narrow, large in found))


def tabulate(study: Study) -> None:
    """Table 6 from what is finished: the searched (or given) architectures, then the narrowed seed."""
    names = [step.name for step in study.steps]
    rows = []
    for infix, suffix in (("", ""), ("-narrow", f", seed at e{NARROW}")):
        for name, (_, _, paper) in STRATEGIES.items():
            steps = tuple(step for step in names if step.rpartition("-")[0] == f"{name}{infix}")
            if steps:
                rows.append(Row(name + suffix, steps, REFERENCE + suffix, None if infix else paper))
    notes = [
        "a strategy is used in the super network and in the target network of its row; Width-* choose the channels of "
        "narrower layers by norm scale, standard deviation or L1 norm, Kernel-Dilate spreads the seed's taps.",
        "a row whose layers are nowhere narrower (or nowhere larger) does not use its strategy in the target network; "
        f"in the rows `seed at e{NARROW}` every searched layer of the seed is narrowed, its kernels are as they were.",
        "the paper's figures are mIoU of DeepLabv3 on Cityscapes.",
    ]
    column = Column("layers narrower / with a larger kernel", exercised_text)
    write_table(study, rows, "How weights are mapped (paper, Table 6)", notes, column)
