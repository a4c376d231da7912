"""A fine-tuning step against a minimal loop written by hand: same model, optimizer, precision and data."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.by_hand import training_loop
from benchmarks.cases import ENDLESS, Bench, endless_steps, opened, small_cases
from benchmarks.rows import Finding
from benchmarks.settings import Settings
from benchmarks.timing import compared, race
from fna.nn.network import build
from fna.study.random_images import OneBatch
from fna.tasks.task import Batch
from fna.train.adapt import learning_rate, optimizer_for, remapped, stream, total_steps, training_mode, training_step
from fna.train.evaluate import to_device
from fna.train.schedules import set_lr

NAME = "fine-tuning step"
AT_MOST = 1.03
OURS, REFERENCE = "fine-tuning", "minimal loop"
NOTE = "forward, backward and optimizer, the batch in memory."


def fine_tuning(settings: Settings) -> list[Finding]:
    """Of the seed's architecture."""
    rows = []
    for case in small_cases(settings):
        with opened(case, settings) as bench:
            rows.append(fine_tuning_row(bench))
    return rows


def fine_tuning_row(bench: Bench) -> Finding:
    """One case."""
    how, arch, batch = bench.config.adapt, bench.seed.arch, bench.adapt_batch()
    by_hand = build(bench.design(arch), len(bench.task.classes), bench.config.seed)
    reference = training_loop(bench, by_hand, how, batch)
    with fine_tuning_step(bench, batch) as ours:
        contestants: dict[str, Callable[[], None]] = {OURS: ours, REFERENCE: reference}
        found = race(contestants, bench.pace, bench.watch).compare(OURS, REFERENCE)
    return compared(NAME, bench.case("adapt"), OURS, REFERENCE, found, AT_MOST, NOTE)


@contextmanager
def fine_tuning_step(bench: Bench, batch: Batch) -> Iterator[Callable[[], None]]:
    """Does a step at each call: the body of the loop of `fna.train.adapt.adapt`, without its logs and validations."""
    run, how, arch = bench.run, bench.config.adapt, bench.seed.arch
    network, _ = remapped(bench.config, bench.task, bench.seed, bench.design(arch))
    model, optimizer = run.engine.setup(network, optimizer_for(network, how))
    training_mode(network, how)
    total = total_steps(how, 1000 * how.batch)
    batches = stream(run, bench.task, OneBatch(batch), 1, 0, ENDLESS)
    with endless_steps(run, NAME) as steps:

        def step() -> None:
            next(steps)
            images = to_device(run, next(batches))
            set_lr(optimizer, learning_rate(0, total, how))  # small: random targets would be learned into infinity
            training_step(run, bench.task, model, optimizer, images, how.clip)

        yield step
