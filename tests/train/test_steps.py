"""A step of a training never waits for the device: what it gives stays there, and what it needs is there."""

import pytest
import torch

from benchmarks.alpha_step import ours, start
from benchmarks.cases import opened, small_cases
from benchmarks.settings import Settings
from device_watch import Watch
from fna.train.adapt import optimizer_for, remapped, training_step
from fna.train.evaluate import to_device

TINY = Settings(size="tiny")


@pytest.mark.parametrize("weighted", [False, True])
def test_a_weight_step_reads_nothing(weighted: bool) -> None:
    with opened(small_cases(TINY)[0].having(adapt={"optimizer": "sgd", "clip": 0}), TINY) as bench:
        if weighted:
            bench.task.class_weights = torch.ones(len(bench.task.classes))
        network, _ = remapped(bench.config, bench.task, bench.seed, bench.design(bench.seed.arch))
        model, optimizer = bench.run.engine.setup(network, optimizer_for(network, bench.config.adapt))
        batch = to_device(bench.run, bench.adapt_batch())
        training_step(bench.run, bench.task, model, optimizer, batch, 0)  # the first one makes the optimizer's state
        with Watch() as watch:
            loss = training_step(bench.run, bench.task, model, optimizer, batch, 0)
    assert watch.found == []
    assert watch.count > 500
    assert not loss.requires_grad
    assert float(loss) > 0


def test_an_alpha_step_reads_nothing_but_adams_counters_and_the_norm_to_clip() -> None:
    with opened(small_cases(TINY, alpha_clip=0)[0], TINY) as bench:
        network = start(bench)
        step, alphas = ours(bench, network, bench.search_batch())
        alphas.step = lambda: None  # type: ignore[method-assign]  # Adam reads its own counters
        step()
        with Watch() as watch:
            step()
    assert watch.found == []
