"""The verbs: each reads files, does one part of the method or all of it, and writes files into a run folder."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fna.arch.plain import AnyArch
from fna.config.config import Config
from fna.config.files import from_data, load_config, recipe_path
from fna.derivation import configured_budgets, labelled, run_derive, run_search
from fna.errors import UserError
from fna.files import write_json, write_text
from fna.jobs import Job, backbone_in, keep_design, reopen, start, wanted_network
from fna.report import write_report
from fna.search.result import read_result
from fna.search.search import make_space
from fna.tasks.kinds import TASKS
from fna.train.adapt import adapt as fine_tune
from fna.train.evaluate import evaluate
from fna.use.load import load


def run_train(job: Job, arch: AnyArch, training: str) -> None:
    """Fine-tune one architecture in a folder of its own."""
    cost = job.count(arch)
    job.run.note(f"{training}: {cost.params / 1e6:.2f} M parameters, {cost.madds / 1e9:.4f} G MAdds")
    write_json(job.run.folder / training / "cost.json", cost.as_dict())
    write_text(job.run.folder / training / "design.json", job.design(arch).to_json())
    with job.run.ledger(training):
        result = fine_tune(job.run, job.task, job.seed, job.design(arch), training)
    best, score = result["best"], TASKS[job.run.config.task].score
    job.run.note(f"  {training}: best val/{score.name} {score.shown(best['score'])} at step {best['step']}")


def do_adapt(job: Job, arch: str | None) -> None:
    """The whole method: search, derive, fine-tune, and the untouched seed trained the same way beside it."""
    run_search(job)
    changed = True
    for label, _ in configured_budgets(job):
        derived = backbone_in(job, f"design{label}.json")
        if derived == job.seed.arch:
            changed = False
            job.run.note(
                f"design{label}.json is the seed's own architecture: no change earned its cost. A smaller --budget "
                "forces one; a longer search (--search.epochs, --search.replicas) may find one"
            )
        run_train(job, derived, f"train{label}")
    # Training the seed once more, with the same weights and the same data, would only repeat what was done.
    if job.run.config.baseline and changed:
        run_train(job, job.seed.arch, "seed")


def do_search(job: Job, arch: str | None) -> None:
    """Search and derive."""
    run_search(job)


def do_train(job: Job, arch: str | None) -> None:
    """Fine-tune one network: a design, an architecture, or `seed`."""
    if not (job.run.folder / "design.json").is_file():  # the process was killed before it had written it
        keep_design(job, wanted_network(arch, job.seed))
    run_train(job, backbone_in(job, "design.json"), "train")


VERBS: dict[str, Callable[[Job, str | None], None]] = {"adapt": do_adapt, "search": do_search, "train": do_train}


def execute(verb: str, job: Job, arch: str | None = None) -> Path:
    """Run a verb on a job (what is done is skipped) and write the report; returns the run folder."""
    VERBS[verb](job, arch)
    report = write_report(job.run.folder)
    job.run.note(f"report: {report}")
    return job.run.folder


def configure(recipe: str | None = None, **changes: Any) -> Config:
    """A configuration from a recipe (a name or a YAML file) with keys changed; sections are given as dicts."""
    return changed(load_config(recipe_path(recipe)).model_dump() if recipe else {}, changes)


def changed(data: Mapping[str, Any], changes: Mapping[str, Any]) -> Config:
    """The configuration of `data` with keys changed; of a section only those that are given."""
    merged = dict(data)
    for key, value in changes.items():
        merged[key] = merged.get(key, {}) | value if isinstance(value, dict) else value
    return from_data(merged)


def adapt(data: str | Path, out: str | Path = "runs/run", recipe: str | None = None, **changes: Any) -> Path:
    """All of it on a data folder, as `fna adapt`; returns the run folder. `changes` are keys of the configuration."""
    return execute("adapt", start("adapt", data, out, configure(recipe, **changes)))


def search(data: str | Path, out: str | Path = "runs/run", recipe: str | None = None, **changes: Any) -> Path:
    """Search and derivation, as `fna search`; returns the run folder, with its design.json."""
    return execute("search", start("search", data, out, configure(recipe, **changes)))


def train(
    data: str | Path, arch: str = "seed", out: str | Path = "runs/run", recipe: str | None = None, **changes: Any
) -> Path:
    """Fine-tuning of an architecture (`seed`, a JSON file, a run folder, a zoo name), as `fna train`."""
    return execute("train", start("train", data, out, configure(recipe, **changes), arch), arch)


def validate(folder: str | Path, training: str = "train", **changes: Any) -> dict[str, Any]:
    """Evaluate the best network of a training again on the validation images.

    Writes metrics.json and, for detection, predictions.json to val/, or to val-TRAINING/ for another than `train`.
    """
    _, job, _ = reopen(folder, **changes)
    network = job.run.engine.setup(load(job.run.folder, training))
    evaluator = evaluate(job.run, job.task, network)
    result = evaluator.result()
    for name, content in ({"metrics.json": result} | evaluator.files()).items():
        write_json(job.run.folder / ("val" if training == "train" else f"val-{training}") / name, content)
    return result


def derive_again(folder: str | Path, budget: str) -> list[Path]:
    """Derive designs under further budgets (comma-separated) from a run's finished search, with its trials.

    Returns their files, one a budget; an existing one is kept as it is.
    """
    _, job, _ = reopen(folder)
    job.run.again = f"fna derive {folder} --budget {budget}"
    result = read_result(job.run.folder)
    if result is None:
        raise UserError(f"{folder} has no finished search (search/result.json)")
    budgets = labelled([text.strip() for text in budget.split(",")])
    run_derive(job, make_space(job.task, job.searched, job.run.config.search), result, budgets)
    return [job.run.folder / f"design{label}.json" for label, _ in budgets]
