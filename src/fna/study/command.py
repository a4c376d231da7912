"""What the studies that train have in common on the command line."""

import math
from collections.abc import Callable
from typing import Any

from fna.config.config import Config
from fna.config.files import from_data
from fna.errors import UserError
from fna.flags import config_parser
from fna.jobs import prepare
from fna.runs.processes import layout
from fna.study.jobs import execute
from fna.study.plan import Study, write_plan


def study_parser(name: str, description: str) -> Any:
    """A parser of data, --recipe, --out, --seeds, --jobs and every key of the configuration."""
    parser = config_parser(
        f"fna study {name}", description, f"runs/study-{name}", "folder of the study; it goes on there"
    )
    parser.add_argument("--seeds", type=int, default=2, help="random seeds, from --seed upwards")
    parser.add_argument("--jobs", type=int, default=1, help="steps side by side, each in a process of its own")
    return parser


def parsed(parser: Any, words: list[str]) -> tuple[dict[str, Any], Config]:
    """The study's own flags, and the configuration from all others.

    Raises UserError where there are no data, no weights to remap, or no random seed.
    """
    given = parser.parse_args(words).as_dict()
    given.pop("recipe", None)
    config = from_data({key: given.pop(key) for key in Config.model_fields if key in given})
    if given["data"] is None:
        raise UserError("a study needs a data folder: fna study NAME DATA ...")
    for flag in ("seeds", "jobs"):
        if given[flag] < 1:
            raise UserError(f"--{flag} must be at least 1, got {given[flag]}")
    if math.prod(layout(config)) > 1:
        raise UserError("a study trains each network in one process; --jobs runs several networks side by side")
    if config.weights == "none":
        raise UserError("a study compares with remapped weights, so it needs some: --weights FILE, or DEFAULT")
    return given, config


def random_seeds(given: dict[str, Any], config: Config) -> range:
    """The random seeds of the study."""
    return range(config.seed, config.seed + given["seeds"])


def conduct(study: Study, tabulate: Callable[[], None], jobs: int) -> int:
    """Write the plan, do what is left of it, and the table after every step; returns the exit status."""
    if not (study.folder / "study.json").is_file():
        # A mistake in data, seed or flags is found before the plan is written down.
        prepare(study.data, study.config)
    write_plan(study)
    tabulate()
    execute(study, tabulate, jobs)
    print(f"\n{(study.folder / 'table.md').read_text(encoding='utf-8')}", flush=True)
    return 0
