"""From a search to designs: what is proposed under each budget, tried, chosen and written."""

from collections.abc import Mapping, Sequence

from fna.arch.arch import Arch
from fna.arch.decision import path_of, size_log10
from fna.arch.space import Space
from fna.cost.budget import Budget
from fna.cost.measure import MEASURES, Cost
from fna.errors import UserError
from fna.files import write_text
from fna.jobs import Job
from fna.search.derive import proposals
from fna.search.result import Finalist, SearchResult, Tried, Verdict, design_data, write_result
from fna.search.scores import score_sets
from fna.search.search import make_decisions, make_space, wall_seconds
from fna.search.search import search as search_space
from fna.search.trials import Trial, compare


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
