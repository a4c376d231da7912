"""The command: for every random seed the seed network and FastNAS's, fine-tuned on one schedule, and their table."""

from pathlib import Path
from typing import Any

from benchmarks.modelopt_fastnas.contest import Contest, contest
from benchmarks.modelopt_fastnas.pruning import require
from benchmarks.modelopt_fastnas.rows import markdown
from fna import jobs
from fna.config.config import Config
from fna.config.files import from_data
from fna.errors import Interrupted, UserError
from fna.files import read_json, write_json, write_text
from fna.flags import PROCESS_KEYS, config_parser
from fna.runs.machine import environment


def parser() -> Any:
    """Data, --recipe, --out and every key of the configuration, and the flags of this comparison."""
    words = "Fine-tune the seed network, and the one that ModelOpt's FastNAS prunes it to, on the same schedule."
    made = config_parser("python -m benchmarks.modelopt_fastnas", words, "runs/modelopt-fastnas", "folder of results")
    made.add_argument("--seeds", type=int, default=2, help="random seeds, from --seed upwards")
    made.add_argument(
        "--order",
        choices=("after", "before"),
        default="after",
        help="prune after a first fine-tuning on the task, as FastNAS is meant, or before any",
    )
    made.add_argument("--divisor", type=int, default=32, help="widths are multiples of it; 32 is ModelOpt's default")
    made.add_argument("--score_images", type=int, default=16, help="held-out training images that judge a subnet")
    return made


def main(words: list[str]) -> int:
    """Exit status 2 for a mistake of the user's, 130 when stopped; the same command goes on."""
    try:
        given = parser().parse_args(words).as_dict()
        given.pop("recipe", None)
        config = from_data({key: given.pop(key) for key in Config.model_fields if key in given})
        require()
        compare(Path(given["out"]), given, config)
    except UserError as error:
        print(f"error: {error}")
        return 2
    except Interrupted as stop:
        print(stop)
        return 130
    return 0


def compare(out: Path, given: dict[str, Any], config: Config) -> None:
    """All random seeds; results.json and table.md are written anew after each."""
    check(out, given, config)
    found = []
    for random_seed in range(config.seed, config.seed + given["seeds"]):
        seeded = config.model_copy(update={"seed": random_seed})
        found.append(one_random_seed(out / f"seed-{random_seed}", given, seeded))
        write_json(out / "results.json", {"asked": given, "environment": environment(), "seeds": found})
        write_text(out / "table.md", markdown(found) + "\n")
    print(markdown(found))


def check(out: Path, given: dict[str, Any], config: Config) -> None:
    """Refuse what cannot be compared, and a folder that was begun with another command."""
    if given["data"] is None or config.weights == "none":
        raise UserError("give a data folder and --weights FILE: FastNAS prunes a trained network")
    for flag in ("seeds", "divisor", "score_images"):
        if given[flag] < 1:
            raise UserError(f"--{flag} must be at least 1, got {given[flag]}")
    if len(config.budget) > 1:
        raise UserError(f"budget is {', '.join(config.budget)}; give one")
    given["data"] = str(Path(given["data"]).resolve())
    plan = given | {"config": config.model_dump(mode="json", exclude=set(PROCESS_KEYS))}
    written = read_json(out / "plan.json")
    if written is None:
        write_json(out / "plan.json", plan)
    elif written != plan:
        raise UserError(f"{out} was begun with another command; give another --out")


def one_random_seed(folder: Path, given: dict[str, Any], config: Config) -> dict[str, Any]:
    """The result of one random seed, from a run folder of its own; what is finished is not done again."""
    if (folder / "seed-design.json").is_file():
        job = jobs.reopen(folder, **{key: getattr(config, key) for key in PROCESS_KEYS})[1]
    else:
        job = jobs.start("train", given["data"], folder, config)
    job.run.again = "the same command"
    return contest(job, Contest(given["order"], given["divisor"], given["score_images"]))
