"""Paper Table 5: what remapping is worth, in the super network and in the target network."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fna.config.config import Config
from fna.config.files import load_config, recipe_path
from fna.errors import UserError
from fna.jobs import prepare
from fna.pipeline import changed
from fna.study.command import conduct, parsed, random_seeds, study_parser
from fna.study.plan import Step, Study
from fna.study.table import Row, write_table

PAPER = {
    ("random", "random"): 0.724,
    ("remap", "random"): 0.730,
    ("random", "remap"): 0.760,
    ("remap", "pretrained"): 0.765,
    ("remap", "remap"): 0.766,
}
"""(start of the super network, start of the target network) -> mIoU, DeepLabv3 on Cityscapes (paper, Table 5)."""
KAIMING = (("kaiming", "kaiming"), ("remap", "kaiming"), ("kaiming", "remap"))
"""The rows with random weights once more, from the usual distribution."""
WORDS = {"remap": "remapped"}
REFERENCE = "remapped / remapped"


def main(words: list[str]) -> int:
    """`fna study effectiveness`."""
    parser = study_parser("effectiveness", "What remapping is worth: the paper's Table 5 on your data.")
    parser.add_argument(
        "--classification", metavar="DATA", help="folder of images by class, to pretrain the derived architectures on"
    )
    parser.add_argument(
        "--classification_recipe",
        metavar="RECIPE",
        help="how to pretrain; default: the schedule of the study's fine-tuning",
    )
    given, config = parsed(parser, words)
    study = plan(config, given, random_seeds(given, config))
    pretraining = pretraining_changes(config, given)
    if pretraining is not None:
        # A mistake in these data is found now and not after the searches.
        prepare(given["classification"], changed(config.model_dump(), pretraining))
    return conduct(study, lambda: tabulate(study), given["jobs"])


def plan(config: Config, given: dict[str, Any], random_seeds: Iterable[int]) -> Study:
    """The steps: the paper's rows for all random seeds, then Kaiming's.

    Every random seed has its own searches. In a search without remapping the trials, too, start without it.
    """
    pretraining = pretraining_changes(config, given)
    steps: dict[str, Step] = {}
    for starts in (PAPER, KAIMING):
        for random_seed in random_seeds:
            for first, second in starts:
                if second != "pretrained" or pretraining is not None:
                    for step in row_steps(first, second, random_seed, given.get("classification"), pretraining or {}):
                        steps[step.name] = step
    return Study("effectiveness", Path(given["out"]), given["data"], config, tuple(steps.values()))


def row_steps(
    first: str, second: str, random_seed: int, classification: str | None, pretraining: dict[str, Any]
) -> list[Step]:
    """The search, the pretraining where there is one, and the fine-tuning of one row and random seed."""
    name, search = step_name(first, second, random_seed), f"search-{first}-{random_seed}"
    steps = [Step(search, "search", {"seed": random_seed, "search": {"init": first}, "adapt": {"init": first}})]
    if second == "pretrained":
        classifier = f"classifier-{random_seed}"
        changes = pretraining | {"seed": random_seed}
        steps.append(Step(classifier, "train", changes, arch_of=search, data=classification))
        changes = {"seed": random_seed, "adapt": {"init": "remap"}}
        return [*steps, Step(name, "train", changes, arch_of=search, seed_of=classifier)]
    changes = {"seed": random_seed, "adapt": {"init": second}}
    return [*steps, Step(name, "train", changes, arch_of=search)]


def step_name(first: str, second: str, random_seed: int) -> str:
    """The folder of a row's fine-tuning."""
    return f"{first}-{second}-{random_seed}"


def pretraining_changes(config: Config, given: dict[str, Any]) -> dict[str, Any] | None:
    """The configuration of a classifier from random weights, as changes of the study's; None without its data."""
    data, recipe = given.get("classification"), given.get("classification_recipe")
    if data is None:
        if recipe is not None:
            raise UserError("--classification_recipe says how to pretrain, so it needs --classification DATA")
        return None
    task = {"task": "cls", "head": "auto", "output_stride": 0, "imgsz": None, "budget": ()}
    if recipe is None:
        # Crops and sizes of dense images are not those of images of one thing.
        return task | {"adapt": {"init": "kaiming", "augment": {}}}
    how = load_config(recipe_path(recipe)).model_dump(mode="json")
    keys = ("imgsz", "class_weights", "precision", "adapt")
    return task | {key: how[key] for key in keys} | {"adapt": how["adapt"] | {"init": "kaiming"}}


def row_name(first: str, second: str) -> str:
    """`remapped / random`: the super network's start, then the target's."""
    return f"{WORDS.get(first, first)} / {WORDS.get(second, second)}"


def usual(start: str) -> str:
    """The paper's start that a row with Kaiming's is compared with."""
    return "random" if start == "kaiming" else start


def tabulate(study: Study) -> None:
    """Table 5 from what is finished."""
    names = [step.name for step in study.steps]
    random_seeds = sorted({step.changes["seed"] for step in study.steps})
    rows = []
    for first, second in (*PAPER, *KAIMING):
        steps = tuple(name for random_seed in random_seeds if (name := step_name(first, second, random_seed)) in names)
        if steps:
            against = REFERENCE if (first, second) in PAPER else row_name(*(usual(start) for start in (first, second)))
            rows.append(Row(row_name(first, second), steps, against, PAPER.get((first, second))))
    notes = [
        "rows: what the super network starts from / what the target network starts from; random is the standard normal "
        "of paper 4.3, kaiming the usual normal of variance 2 / fan-out; norms start at scale 1 and shift 0.",
        "every random seed has its own search, so the spread has that of the search in it; trials of a search start as "
        "its super network does.",
        "the paper's figures are mIoU of DeepLabv3 on Cityscapes.",
    ]
    if not any(step.name.startswith("classifier-") for step in study.steps):
        notes.append(
            "left out: remapped / pretrained, for want of images by class to pretrain the architecture on "
            "(--classification DATA)."
        )
    write_table(study, rows, "What remapping is worth (paper, Table 5)", notes)
