"""The model of many GPUs, worked by hand."""

import pytest

from benchmarks.scaling import TRAININGS, Link, Steps, Training, hours, ring_seconds, tree_seconds
from fna import pipeline

LINK = Link(bytes_per_second=1e9, latency_seconds=1e-3)


def test_a_ring_sends_nearly_twice_the_data() -> None:
    # 4 processes: 2 x 3/4 of 8 MB at 1 GB/s are 12 ms, and 6 messages 6 ms.
    assert ring_seconds(8e6, 4, LINK) == pytest.approx(0.018)
    assert ring_seconds(8e6, 1, LINK) == 0


def test_a_tree_is_as_deep_as_its_logarithm() -> None:
    # 8 processes: 3 levels, there and back, each 1 ms and 1000 bytes at 1 GB/s.
    assert tree_seconds(1000, 8, LINK) == pytest.approx(6 * 1.001e-3)


def test_bytes_and_hours() -> None:
    steps = Steps.of_weights(3600, parameters=1_000_000, norms=10, channels=100)
    training = Training("a", hours=1, gpus=8, steps=(steps,))
    assert steps.sent_bytes == 4 * (1_000_000 + 210 + 210)
    # 20 messages of 84 bytes, 6 levels there and back, beside a ring of 64.
    ring = 126 / 64 * 4e-3 + 126e-3
    assert steps.talking_seconds(64, LINK) == pytest.approx(ring + 20 * 12 * (84e-9 + 1e-3))
    assert hours(training, 8, LINK)[0] == pytest.approx(1)  # what was printed
    # A step of 1 s, 8 times fewer of them, each with what 64 have to say to each other more than 8.
    more = steps.talking_seconds(64, LINK) - steps.talking_seconds(8, LINK)
    assert hours(training, 64, LINK)[0] == pytest.approx((1 + more) / 8)


def test_steps_of_two_kinds_share_the_printed_hours() -> None:
    weights, alphas = Steps.of_weights(1800, 1000, 10, 100), Steps(1800, 100, 50, 5000)
    training = Training("a", hours=1, gpus=8, steps=(weights, alphas))
    talking = 1800 * (weights.talking_seconds(64, LINK) + alphas.talking_seconds(64, LINK))
    before = 1800 * (weights.talking_seconds(8, LINK) + alphas.talking_seconds(8, LINK))
    time, share = hours(training, 64, LINK)
    assert time == pytest.approx((3600 - before + talking) / 3600 / 8)
    assert share == pytest.approx(talking / (3600 - before + talking))


@pytest.mark.parametrize(("name", "printed"), [("RetinaNet search", 18), ("SSDLite search", 20)])
def test_searches_are_those_that_the_paper_prints(name: str, printed: float) -> None:
    (training,) = [training for training in TRAININGS if training.name == name]
    assert training.hours == printed
    weights, _ = training.steps
    config = pipeline.configure(f"coco-{name.split()[0].lower()}")
    epoch = int(118_287 * (1 - config.search.alpha_split)) // config.search.batch
    assert weights.count == config.search.epochs * epoch
