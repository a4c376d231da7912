"""Short fine-tunings on the same batches decide between the proposals of a search and the seed."""

import math
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest

from drawn import TINY, draw_data, stop_at
from fna import derivation, jobs, pipeline
from fna.arch import zoo
from fna.arch.arch import Arch, Stage
from fna.arch.decision import Decision
from fna.arch.design import Design
from fna.arch.layers import MBConv
from fna.config.files import from_data
from fna.cost.budget import Budget
from fna.errors import Interrupted
from fna.search import trials
from fna.search.derive import derive, proposals
from fna.search.result import read_result
from fna.search.scores import score_sets
from fna.search.trials import Trial, compare, differences, losses
from searched import result_of


def job(data: Path, out: Path, **search: Any) -> jobs.Job:
    return jobs.start("search", data, out, from_data(TINY | {"search": {**TINY["search"], **search}}))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_data(tmp_path_factory.mktemp("data") / "scenes")


def larger(seed: Arch) -> Arch:
    stages = list(seed.stages)
    stages[2] = Stage(stages[2].channels, stages[2].stride, (MBConv(5, 6),) * len(stages[2].layers))
    return Arch(seed.stem, tuple(stages), seed.last)


def test_the_seed_against_itself_differs_by_nothing(data: Path, tmp_path: Path) -> None:
    work = job(data, tmp_path / "r", trial_steps=4)
    with work.run.ledger("search"):
        (trial,) = compare(work.run, work.task, work.seed, [work.seed.arch], "search/trials")
    assert (trial.difference, trial.error) == (0, 0)


def test_the_difference_is_over_the_second_half_of_the_same_batches(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"seed": [9.0, 9.0, 9.0, 5.0, 6.0, 7.0], "other": [1.0, 1.0, 1.0, 4.0, 6.5, 6.0]}
    work = job(data, tmp_path / "r")
    monkeypatch.setattr(
        trials, "losses", lambda run, task, seed, arch, *name: known["seed" if arch == seed.arch else "other"]
    )
    (trial,) = compare(work.run, work.task, work.seed, [larger(work.seed.arch)], "t")
    each = [-1.0, 0.5, -1.0]
    assert trial.difference == pytest.approx(fmean(each))
    assert trial.error == pytest.approx(stdev(each) / math.sqrt(3))


def test_several_random_seeds_are_averaged_and_their_spread_is_in_the_error() -> None:
    theirs = [[0.0, 0.0, 1.0, 2.0], [0.0, 0.0, 3.0, 3.0]]
    ours = [[9.0, 9.0, 1.5, 2.7], [9.0, 9.0, 2.0, 2.2]]
    # By hand: differences 0.5, 0.7 (mean 0.6) and -1.0, -0.8 (mean -0.9); the means spread by 1.5.
    means, error = differences(ours, theirs)
    assert means == pytest.approx((0.6, -0.9))
    assert Trial(zoo.mobilenet_v2(), means, error).difference == pytest.approx(-0.15)
    assert error == pytest.approx(0.75)
    # Where the seeds agree, the spread over steps remains: 0.1 for each row, so 0.1 / sqrt(2).
    assert differences(ours[:1] * 2, theirs[:1] * 2)[1] == pytest.approx(0.1 / math.sqrt(2))


def test_every_random_seed_has_its_own_head_and_batches(data: Path, tmp_path: Path) -> None:
    how = {"scales": [1.0], "crop": "32x32"}
    work = job(data, tmp_path / "r", trial_steps=4, trial_seeds=2, trial_augment=how)
    with work.run.ledger("search"):
        found = [losses(work.run, work.task, work.seed, work.seed.arch, "search/trials/seed", r) for r in (0, 1)]
    assert found[0] != found[1]
    assert {file.parent.name for file in (tmp_path / "r/search/trials").rglob("losses.ckpt")} == {"seed-0", "seed-1"}


def test_an_interrupted_trial_goes_on_with_the_same_losses(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, stopped = (job(data, tmp_path / name, trial_steps=6) for name in ("whole", "stopped"))
    arch = larger(whole.seed.arch)
    with whole.run.ledger("search"):
        (expected,) = compare(whole.run, whole.task, whole.seed, [arch], "search/trials")
    with monkeypatch.context() as patch:
        stop_at(patch, type(stopped.task), 8)  # 6 of the seed, and in the second of the other
        with stopped.run.ledger("search"), pytest.raises(Interrupted):
            compare(stopped.run, stopped.task, stopped.seed, [arch], "search/trials")
    with stopped.run.ledger("search"):
        (found,) = compare(stopped.run, stopped.task, stopped.seed, [arch], "search/trials")
    assert (found.difference, found.error) == (expected.difference, expected.error)


@pytest.mark.parametrize(
    ("each", "caution", "seed_fits", "winner"),
    [
        ([-0.1, -0.3], 1.0, True, 1),
        ([-0.1, -0.04], 1.0, True, 0),
        ([-0.04, 0.2], 1.0, True, None),  # within its error of 0.05: chance
        ([-0.04, 0.2], 0.0, True, 0),
        ([0.3, 0.2], 1.0, False, 1),  # the seed costs too much, so the better of two worse ones
    ],
)
def test_a_proposal_has_to_beat_the_seed_by_its_error_where_the_seed_may_be_used(
    data: Path,
    tmp_path: Path,
    each: list[float],
    caution: float,
    seed_fits: bool,
    winner: int | None,
) -> None:
    work = job(data, tmp_path / "r", trials=2, caution=caution)
    archs = [larger(work.seed.arch), zoo.build("fna_deeplabv3", 0.1)]
    found = [Trial(arch, (difference,), 0.05) for arch, difference in zip(archs, each, strict=True)]
    limit = Budget({} if seed_fits else {"madds": work.count(work.seed.arch).madds - 1})
    chosen = derivation.best_of(work, archs, found, limit)
    assert chosen == (work.seed.arch if winner is None else archs[winner])


def test_proposals_are_different_and_the_first_is_the_first_scores_own() -> None:
    costs = [[1, 2, 3], [1, 2, 3]]
    sets = [[[0.0, 1.0, 5.0], [0.0, 1.0, 2.0]], [[0.0, 1.0, 5.0], [0.0, 1.0, 2.0]], [[0.0, 9.0, 5.0], [0.0, 1.0, 2.0]]]
    limits = {"madds": costs}, Budget({"madds": 4})
    assert proposals(sets, *limits) == [derive(sets[0], *limits), derive(sets[2], *limits)] == [(2, 0), (1, 1)]


def test_scores_are_read_boldly_carefully_and_replica_by_replica() -> None:
    replicas = [[[0.0, 2.0, -1.0]], [[0.0, 4.0, 1.0]]]
    how = from_data({}).search
    result = result_of([Decision("a", ("s", "x", "y"), 0)], replicas)
    # The mean is 0, 3, 0 and the largest gain 3; nothing is taken off, then four times, a half, three quarters of it.
    bold, *careful = [[[0.0, 3.0, 0.0]], [[0.0, -9.0, -12.0]], [[0.0, 1.5, -1.5]], [[0.0, 0.75, -2.25]]]
    worst = [[0.0, 2.0, -1.0]]
    assert [list(map(list, rows)) for rows in score_sets(result, how)] == [bold, *careful, worst, *replicas]
    alone = score_sets(result, how.model_copy(update={"trials": 0}))
    assert [list(map(list, rows)) for rows in alone] == [worst]


@pytest.mark.slow
def test_a_search_of_stages_with_trials_keeps_the_budget_and_says_what_it_tried(data: Path, tmp_path: Path) -> None:
    work = job(data, tmp_path / "r", swap="stage", trials=2, trial_steps=4)
    run = pipeline.execute("search", work)
    arch = Design.load(run / "design.json").arch
    assert work.count(arch).madds <= work.count(work.seed.arch).madds
    result = read_result(run)
    assert result is not None
    assert [decision.name for decision in result.decisions] == [f"stages.{s}" for s in range(1, 6)] + ["stages.6.0"]
    assert "against the seed" in (run / "log.txt").read_text()


def test_one_reading_makes_as_few_changes_as_the_budget_forces() -> None:
    # Three groups of seed, better and cheaper; the cheaper ones lose little, and all together they would win most.
    rows = [[0.0, 2.0, 1.0], [0.0, 1.0, -1.0], [0.0, 1.0, -0.5]]
    costs = [[10, 11, 8], [10, 11, 5], [10, 11, 5]]
    decisions = [Decision(name, ("s", "x", "y"), 0) for name in "abc"]
    sets = score_sets(result_of(decisions, [rows, rows]), from_data({}).search)
    few = derive(sets[1], {"madds": costs}, Budget({"madds": 26}))
    assert few == (0, 0, 2), "one change that saves enough, and the one that loses least"
    assert derive(sets[1], {"madds": costs}, Budget({"madds": 30})) == (0, 0, 0), "where the seed fits, it stays"
