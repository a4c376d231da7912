"""What a search is worth: its architecture against the seed, random, largest and untrained ones under one budget."""

from pathlib import Path
from statistics import fmean
from typing import Any

from fna.arch.arch import Arch
from fna.config.config import Config
from fna.cost.budget import Budget
from fna.cost.count import candidate_madds
from fna.errors import UserError
from fna.jobs import prepare
from fna.nn.cost import count
from fna.report.files import RunFiles
from fna.search.ranks import spearman
from fna.search.search import make_space, strategy
from fna.study.command import conduct, parsed, random_seeds, study_parser
from fna.study.plan import Step, Study
from fna.study.rivals import Limit, largest_arch, random_archs, untrained_arch
from fna.study.table import Filled, Row, fill, write_table
from fna.study.validity import LEAST, prediction
from fna.weights.plain import searchable

ESTIMATORS: dict[str, dict[str, Any]] = {
    "swaps-stage": {"method": "swaps", "swap": "stage"},
    "swaps-layer": {"method": "swaps", "swap": "layer"},
    "alphas": {"method": "alphas"},
}
"""Name -> the keys of the search that make it this estimator."""


def main(words: list[str]) -> int:
    """`fna study search`."""
    parser = study_parser("search", "What a search is worth: against architectures that no search has chosen.")
    parser.add_argument("--random", type=int, default=8, help="random architectures under the budget")
    given, config = parsed(parser, words)
    if given["random"] < 1:
        raise UserError(f"--random must be at least 1, got {given['random']}")
    limit = limit_of(config, given["data"])
    study = plan(config, given, limit)
    return conduct(study, lambda: tabulate(study, limit), given["jobs"])


def limit_of(config: Config, data: str) -> Limit:
    """The configured space under the configured budget; the seed's own cost where there is none."""
    config, any_seed, task = prepare(data, config)
    seed = searchable(any_seed)
    space = make_space(task, seed, config.search)
    costs = candidate_madds(space, task.imgsz, config.output_stride)
    own = count(task.design(seed.name, seed.arch), len(task.classes)).madds
    searched = sum(row[c] for row, c in zip(costs, space.path_of(seed.arch), strict=True))
    budget = Budget.parse(config.budget[0]).only_madds("this study compares") if config.budget else own
    return Limit(space, costs, own - searched, budget)


def search_changes(config: Config, estimator: str) -> dict[str, Any]:
    """The configured search with another estimator, and at least two replicas, which show whether it repeats itself."""
    how = config.search
    changes = ESTIMATORS[estimator] | {"replicas": max(2, how.replicas)}
    if estimator == "alphas" and how.alpha_epoch >= how.epochs:
        # A recipe for swaps has no use for alphas and may start them after the end.
        changes |= {"alpha_epoch": how.epochs / 2}
    return changes


def plan(config: Config, given: dict[str, Any], limit: Limit) -> Study:
    """One search by each estimator, and every architecture fine-tuned with every random seed."""
    archs = {"largest": largest_arch(limit), "untrained": untrained_arch(limit, config.seed)}
    archs |= {f"random-{n}": arch for n, arch in enumerate(random_archs(limit, given["random"], config.seed))}
    steps = [Step(f"search-{name}", "search", {"search": search_changes(config, name)}) for name in ESTIMATORS]
    for random_seed in random_seeds(given, config):
        how = {"seed": random_seed}
        steps += [Step(f"{name}-{random_seed}", "train", how, arch_of=f"search-{name}") for name in ESTIMATORS]
        steps.append(Step(f"seed-{random_seed}", "train", how, arch="seed"))
        steps += [Step(f"{name}-{random_seed}", "train", how, arch=f"archs/{name}.json") for name in archs]
    return Study("search", Path(given["out"]), given["data"], config, tuple(steps), archs)


NAMES = {
    "seed": "seed architecture",
    "largest": "largest under the budget",
    "untrained": "untrained search",
}


def tabulate(study: Study, limit: Limit) -> None:
    """The table, repeatability and validity from what is finished."""
    own = f"searched by {strategy(study.config.search)}"
    rows = [row(study, name, f"searched by {name}", own) for name in ESTIMATORS]
    rows += [row(study, name, text, own) for name, text in NAMES.items()]
    drawn = [row(study, name, name, own) for name in study.archs if name.startswith("random-")]
    notes = [
        f"all under {limit.budget / 1e9:.4f} G MAdds, remapped and fine-tuned alike; the searches are those of random "
        f"seed {study.config.seed}, so the spread is that of fine-tuning alone.",
        *random_notes(fill(study, drawn)),
    ]
    checks = {name: validity(study, limit, name, fill(study, [*rows, *drawn])) for name in ESTIMATORS}
    found = {name: values for name, values in checks.items() if values}
    notes += [validity_note(name, values) for name, values in found.items()]
    write_table(study, [*rows, *drawn], "What the search is worth", notes, extra={"estimators": found})


def row(study: Study, name: str, text: str, against: str) -> Row:
    """The row of one architecture, over all random seeds."""
    return Row(text, tuple(step.name for step in study.steps if step.name.rpartition("-")[0] == name), against)


def random_notes(drawn: list[Filled]) -> list[str]:
    """The mean of the random architectures, and the best of them with what is wrong with it."""
    if not drawn:
        return []
    score, means = drawn[0].group.score, {part.row.name: fmean(part.group.scores()) for part in drawn}
    best = next(name for name, mean in means.items() if mean == score.best(means.values()))
    return [
        f"mean of {len(means)} random architectures: {score.shown(fmean(means.values()))}.",
        f"best of {len(means)} random architectures: {score.shown(means[best])} ({best}). It was chosen by the very "
        "scores that it is shown with, so this baseline is optimistic; it costs as many fine-tunings as there are "
        "architectures.",
    ]


def validity(study: Study, limit: Limit, estimator: str, filled: list[Filled]) -> dict[str, Any]:
    """Repeatability of a finished search, and the rank correlation of what it predicts with the mean best scores.

    Every architecture counts once, however many rows it has. Empty where the search is not finished.
    """
    folder = study.folder / f"search-{estimator}"
    result = RunFiles(folder).search if (folder / "config.yaml").is_file() else None
    if result is None:
        return {}
    archs = {part.group.arch: part for part in filled if isinstance(part.group.arch, Arch)}
    predicted = [prediction(result, limit.space, arch) for arch in archs]
    scores = [fmean(part.group.scores()) for part in archs.values()]
    gains = [part.group.score.gain(score) for part, score in zip(archs.values(), scores, strict=True)]
    return {
        "repeatability": result.repeatability,
        "validity": spearman(predicted, gains),
        "rows": [part.row.name for part in archs.values()],
        "predicted": predicted,
        "scores": scores,
    }


def validity_note(name: str, values: dict[str, Any]) -> str:
    """One sentence on an estimator."""
    shown = {key: "not known" if values[key] is None else f"{values[key]:.2f}" for key in ("repeatability", "validity")}
    count = len(values["scores"])
    few = f" (fewer than {LEAST}: this says little)" if count < LEAST else ""
    return (
        f"{name}: rank correlation between its independent searches {shown['repeatability']}; between what it predicts "
        f"and what fine-tuning gives {shown['validity']} over {count} architectures{few}."
    )
