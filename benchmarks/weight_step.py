"""A weight step of the search: the super network on one path against an ordinary network of that architecture."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count, cycle

from benchmarks.by_hand import training_loop
from benchmarks.cases import ENDLESS, SHARING, Bench, endless_steps, opened, small_cases
from benchmarks.rows import Finding
from benchmarks.settings import Settings
from benchmarks.timing import compared, race
from fna.arch.decision import Path
from fna.nn.network import Network, build
from fna.nn.supernet import SuperNet
from fna.search.search import (
    Times,
    learning_rate,
    make_decisions,
    make_space,
    optimizers,
    sample_path,
    super_network,
)
from fna.study.random_images import OneBatch
from fna.train.adapt import stream, training_step
from fna.train.evaluate import to_device
from fna.train.schedules import set_lr

NAME = "weight step"
AT_MOST = 1.05
PATHS = 4
"""Sampled paths that the steps take in turn, the reference with a network for each."""


def weight_step(settings: Settings) -> list[Finding]:
    """With weights of each candidate's own, as the paper has them, and with shared ones."""
    rows = []
    for share in SHARING[settings.size]:
        for case in small_cases(settings, share=share):
            with opened(case, settings) as bench:
                rows.append(weight_bench(bench)[0])
    return rows


def weight_bench(bench: Bench) -> tuple[Finding, list[Path]]:
    """One case, and the paths that were taken."""
    how, config = bench.config.search, bench.config
    space, batch = make_space(bench.task, bench.seed, how), bench.search_batch()
    network = super_network(config, bench.task, bench.seed, space, 0)
    supernet, decisions = network.backbone, make_decisions(space, bench.seed, how)
    assert isinstance(supernet, SuperNet)
    paths = [sample_path(decisions, supernet, how, (config.seed, 0, step), False) for step in range(PATHS)]
    ordinary = cycle([training_loop(bench, ordinary_network(bench, network, path), how, batch) for path in paths])

    model, weights, _ = bench.run.engine.setup(network, *optimizers(network, supernet, how))
    model.train()
    times = Times.of(how, 100 * how.batch)
    batches, position = stream(bench.run, bench.task, OneBatch(batch), 1, 0, ENDLESS), count()
    # The body of the loop of `fna.search.search.search_once`, without its logs.
    with endless_steps(bench.run, NAME) as steps:

        def ours() -> None:
            next(steps)
            images = to_device(bench.run, next(batches))
            path = sample_path(decisions, supernet, how, (config.seed, 0, next(position) % PATHS), False)
            set_lr(weights, learning_rate(0, times, how))  # small: random targets would be learned into infinity
            training_step(bench.run, bench.task, model, weights, images, how.clip, path)

        def reference() -> None:
            next(ordinary)()

        contestants: dict[str, Callable[[], None]] = {"ours": ours, "reference": reference}
        pace = replace(bench.pace, warmup=PATHS)
        found = race(contestants, pace, bench.watch).compare("ours", "reference")
    note = f"{PATHS} paths in turn, each of them also an ordinary network; a step is forward, backward and optimizer."
    row = compared(NAME, bench.case("search"), "one path", "that path as a network", found, AT_MOST, note)
    return row, paths


def ordinary_network(bench: Bench, network: Network, path: Path) -> Network:
    """The architecture of a path with the weights that the super network has there."""
    supernet = network.backbone
    assert isinstance(supernet, SuperNet)
    arch = supernet.space.pick(path)
    ordinary = build(bench.design(arch), len(bench.task.classes), bench.config.seed)
    norms_alike = bench.config.search.norm == "seed"
    ordinary.backbone.load_state_dict(
        {name: tensor.detach().clone() for name, tensor in supernet.path_weights(path).items()}, strict=norms_alike
    )
    ordinary.head.load_state_dict(network.head.state_dict())
    return ordinary
