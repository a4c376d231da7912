"""The model of many GPUs, worked by hand."""

import pytest

from benchmarks.scaling import Link, Training, hours, ring_seconds, talking_seconds, tree_seconds, wire_bytes

LINK = Link(bytes_per_second=1e9, latency_seconds=1e-3)


def test_a_ring_sends_nearly_twice_the_data() -> None:
    # 4 processes: 2 x 3/4 of 8 MB at 1 GB/s are 12 ms, and 6 messages 6 ms.
    assert ring_seconds(8e6, 4, LINK) == pytest.approx(0.018)
    assert ring_seconds(8e6, 1, LINK) == 0


def test_a_tree_is_as_deep_as_its_logarithm() -> None:
    # 8 processes: 3 levels, there and back, each 1 ms and 1000 bytes at 1 GB/s.
    assert tree_seconds(1000, 8, LINK) == pytest.approx(6 * 1.001e-3)


def test_bytes_and_hours() -> None:
    training = Training("a", hours=1, gpus=8, steps=3600, parameters=1_000_000, norms=10, channels=100)
    assert wire_bytes(training) == 4 * (1_000_000 + 210 + 210)
    assert hours(training, 8, LINK)[0] == pytest.approx(1)  # what was printed
    # A step of 1 s, 8 times fewer of them, each with what 64 have to say to each other more than 8.
    more = talking_seconds(training, 64, LINK) - talking_seconds(training, 8, LINK)
    assert hours(training, 64, LINK)[0] == pytest.approx((1 + more) / 8)
