"""The verbs: each reads files, does one part of the method or all of it, and writes files into a run folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fna.arch import zoo
from fna.arch.arch import Arch
from fna.arch.decision import path_of, size_log10
from fna.arch.design import Design, find, find_arch
from fna.arch.plain import AnyArch
from fna.arch.space import Space
from fna.config.config import Config
from fna.config.files import from_data, load_config, recipe_path
from fna.config.resolved import resolved
from fna.cost.budget import Budget
from fna.cost.count import Count
from fna.cost.count import count as count_data
from fna.cost.measure import MEASURES, Cost, cost_of
from fna.data.layouts.opening import open_data
from fna.errors import UserError
from fna.files import write_json, write_text
from fna.nn.cost import count
from fna.nn.plain import is_plain
from fna.report import write_report
from fna.runs.processes import check_batch
from fna.runs.run import Run
from fna.search.derive import proposals
from fna.search.result import Finalist, SearchResult, Tried, Verdict, design_data, read_result, write_result
from fna.search.scores import score_sets
from fna.search.search import make_decisions, make_space, wall_seconds
from fna.search.search import search as search_space
from fna.search.trials import Trial, compare
from fna.tasks.kinds import TASKS, imported, task_of_data
from fna.tasks.task import Task
from fna.train.adapt import adapt as fine_tune
from fna.train.evaluate import evaluate
from fna.use.load import load
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


def prepare(data: str | Path, config: Config, arch: str | None = None) -> tuple[Config, AnySeed, Task]:
    """The resolved configuration, the seed and the task for the data; nothing is written."""
    seed = load_seed(config)
    network = wanted_network(arch, seed)
    wanted = wanted_task(config)
    opened = open_data(data, wanted)
    config = with_design(config, network) if isinstance(network, Design) else config
    config = resolved(config, wanted or task_of_data(opened.kind))
    return config, seed, imported(TASKS[config.task].task)(config, opened, seed.mean, seed.std)


def start(verb: str, data: str | Path, out: str | Path, config: Config, arch: str | None = None) -> Job:
    """Check seed, architecture and data, then make the run folder; nothing is written when one is wrong."""
    config, seed, task = prepare(data, config, arch)
    check_batches(config, verb)
    if verb != "train":
        searchable(seed)
        count_data(task.design(seed.name, seed.arch), len(task.classes))  # refuses what a search cannot count
    for backbone in (seed.arch, wanted_backbone(arch, seed)):
        count(task.design(seed.name, backbone), len(task.classes))  # refuses what cannot be built
    run = Run.create(out, config)
    write_json(run.folder / "run.json", {"verb": verb, "data": str(Path(data).resolve()), "arch": arch})
    job = Job(run, seed, task)
    if verb == "train":
        keep_design(job, arch)
    describe(job)
    return job


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


def run_search(job: Job) -> None:
    """Search, then derive an architecture for every budget."""
    run, space = job.run, make_space(job.task, job.searched, job.run.config.search)
    decisions = make_decisions(space, job.searched, job.run.config.search)
    run.note(f"search: {len(decisions)} decisions, 10^{size_log10(decisions):.1f} architectures")
    with run.ledger("search"):
        result = search_space(run, job.task, job.searched)
    if result.repeatability is not None:
        run.note(f"  rank correlation between independent searches: {result.repeatability:.2f}")
    run_derive(job, space, result, configured_budgets(job))


Budgets = list[tuple[str, Budget]]
"""Limits for the whole model, and the label of each budget in file names."""


def configured_budgets(job: Job) -> Budgets:
    """The configured budgets, with labels where there are several; the seed's own MAdds where there is none."""
    texts = job.run.config.budget
    if not texts:
        return [("", Budget({"madds": job.count(job.searched.arch).madds}))]
    return labelled(texts) if len(texts) > 1 else [("", budget) for _, budget in labelled(texts)]


def labelled(texts: Sequence[str]) -> Budgets:
    """Budgets as they are written, each with its own label."""
    return [(f"-{text}", Budget.parse(text)) for text in texts]


def run_derive(job: Job, space: Space, result: SearchResult, budgets: Budgets) -> None:
    """Write design.json (or one design-BUDGET.json per budget) from the search's scores; an existing one is kept.

    What was tried for it and the verdict go into search/result.json.
    """
    for label, budget in budgets:
        if (job.run.folder / f"design{label}.json").is_file():
            job.run.note(f"kept design{label}.json as it is")
            continue
        costs = propose(job, space, result, budget)
        trials = run_trials(job, list(costs))
        arch = best_of(job, list(costs), trials, budget)
        if arch not in costs:
            costs[arch] = job.cost(arch, budget)
        assert budget.allows(costs[arch])
        verdict, tried = record(job, label, budget, costs, trials, arch)
        result = result.with_verdict(verdict, tried, wall_seconds(job.run))
        write_result(job.run.folder, result)
        write_text(job.run.folder / f"design{label}.json", job.design(arch).to_json())
        limit = f" (budget {budget})" if budget.limits else ""
        job.run.note(f"derived design{label}.json: {costs[arch]}{limit}")
        job.run.note("\n".join(f"  {line}" for line in str(arch).splitlines()))


def propose(job: Job, space: Space, result: SearchResult, budget: Budget) -> dict[Arch, Cost]:
    """The best architecture under the budget by each reading of the scores, with its cost; the seed's own last, if any.

    Raises UserError where even the smallest network of the space costs more, and where no proposal keeps a limit that
    only whole networks can tell.
    """
    left = left_for_decisions(job, space, result, budget)
    # Logits, not log probabilities: they differ by a constant per decision, which moves no choice.
    found = proposals(score_sets(result, job.run.config.search), result.option_costs, left)
    archs = sorted((space.pick(path_of(result.space, pick)) for pick in found), key=job.searched.arch.__eq__)
    costs = {arch: job.cost(arch, budget) for arch in archs}
    fitting = {arch: cost for arch, cost in costs.items() if budget.allows(cost)}
    if not fitting:
        least = min(costs.values(), key=lambda cost: len(budget.exceeded(cost)))
        raise UserError(
            f"none of {len(costs)} proposed networks keeps the budget: {'; '.join(budget.exceeded(least))} "
            "at the least; raise it, or add a limit that the derivation keeps exactly, as in 0.5G+15ms"
        )
    return fitting


def left_for_decisions(job: Job, space: Space, result: SearchResult, budget: Budget) -> Budget:
    """What a whole-model budget leaves for what is decided: of a sum the rest is taken off, a maximum stays.

    Raises UserError where the smallest network of the space costs more.
    """
    limits = {}
    for name, rows in result.option_costs.items():
        if name not in budget.limits:
            continue
        measure, limit = MEASURES[name], budget.limits[name]
        cheapest = tuple(min(range(len(row)), key=row.__getitem__) for row in rows)
        smallest = job.cost(space.pick(path_of(result.space, cheapest)), Budget({}))[name]
        if limit < smallest:
            height, width = job.task.imgsz
            raise UserError(
                f"the budget of {measure.text(limit)} is below the smallest network of this space, "
                f"{measure.text(smallest)} (whole model at {height}x{width})"
            )
        limits[name] = limit - (smallest - sum(map(min, rows))) if measure.joins == "sum" else limit
    return Budget(limits)


def run_trials(job: Job, archs: Sequence[Arch]) -> list[Trial]:
    """Short fine-tunings of the first proposals that are not the seed's own architecture, against the seed's."""
    run, how = job.run, job.run.config.search
    rivals = [arch for arch in archs if arch != job.searched.arch][: how.trials]
    if how.method == "alphas" or not rivals:
        return []
    with run.ledger("search"):
        trials = compare(run, job.task, job.searched, rivals, "search/trials")
    for trial in trials:
        run.note(f"  trial of {job.count(trial.arch).madds / 1e9:.4f} G MAdds: {trial}")
    return trials


def best_of(job: Job, archs: Sequence[Arch], trials: Sequence[Trial], budget: Budget) -> Arch:
    """The best of the trials; the seed's own architecture where it is better and may be used.

    Without trials the first proposal. One has to beat the seed by `caution` standard errors of the difference.
    """
    if not trials:
        return archs[0]
    seed, caution = job.searched.arch, job.run.config.search.caution
    best = min(trials, key=lambda trial: trial.difference + caution * trial.error)
    seed_fits = budget.allows(job.cost(seed, budget))
    return seed if seed_fits and best.difference + caution * best.error >= 0 else best.arch


def record(
    job: Job, label: str, budget: Budget, costs: Mapping[Arch, Cost], trials: Sequence[Trial], chosen: Arch
) -> tuple[Verdict, list[Tried]]:
    """What was proposed, tried and chosen under one budget, for search/result.json."""
    rivals = [arch for arch in costs if arch != job.searched.arch]
    found = {trial.arch: (trial.difference, trial.error) for trial in trials}
    verdict = Verdict(
        label=label,
        budget=budget.as_dict() or None,
        finalists=tuple(Finalist.of(job.design(arch), costs[arch].as_dict(), *found.get(arch, ())) for arch in rivals),
        chosen=rivals.index(chosen) if chosen in rivals else None,
        design=design_data(job.design(chosen)),
        cost=costs[chosen].as_dict(),
    )
    tried = [
        Tried(
            design=design_data(job.design(trial.arch)),
            cost=costs[trial.arch].as_dict(),
            steps=job.run.config.search.trial_steps,
            random_seed=job.task.random_seed(replica),
            loss_difference=difference,
            score=None,
        )
        for trial in trials
        for replica, difference in enumerate(trial.differences)
    ]
    return verdict, tried


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


def wanted_network(text: str | None, seed: AnySeed) -> Design | AnyArch:
    """What to train: `seed` (or nothing), a design or an architecture in a file, a run folder or a zoo name.

    A plain backbone is trained as it is; a UserError for any other architecture.
    """
    if text in (None, "seed"):
        return seed.arch
    found = find(str(text))
    arch = found.arch if isinstance(found, Design) else found
    if isinstance(seed, PlainSeed) and arch != seed.arch:
        raise UserError(f"--arch {text}: {seed.arch.name} is trained as it is; leave out --arch")
    if isinstance(seed, Seed):
        layers = find_arch(str(text))  # refuses a plain backbone
        if seed.weights:
            plan(seed.arch, layers)  # refuses what the seed's weights cannot start
    return found


def wanted_backbone(text: str | None, seed: AnySeed) -> AnyArch:
    """As `wanted_network`, of a design its backbone."""
    wanted = wanted_network(text, seed)
    return wanted.arch if isinstance(wanted, Design) else wanted


def with_design(config: Config, design: Design) -> Config:
    """The configuration with the head, output stride and image size of a design, which says them for itself."""
    size = {"imgsz": design.imgsz} if design.resize else {}
    return config.model_copy(update={"head": str(design.head), "output_stride": design.output_stride} | size)


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


def keep_design(job: Job, arch: str | None) -> None:
    """What a run of `fna train` trains, in its design.json, so that it goes on without the file that it is from."""
    file = job.run.folder / "design.json"
    if not file.is_file():
        write_text(file, job.design(wanted_backbone(arch, job.seed)).to_json())


def do_train(job: Job, arch: str | None) -> None:
    """Fine-tune one network: a design, an architecture, or `seed`."""
    keep_design(job, arch)
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
