"""What the paper's COCO trainings need on many GPUs: computed from a stated step time and a stated network.

python -m benchmarks.scaling [--bandwidth 3.1] [--latency 50]
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass

from fna.report.text import table

FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Link:
    """The slowest link between two neighbours of a ring: bytes and seconds that a message costs by itself."""

    bytes_per_second: float
    latency_seconds: float


@dataclass(frozen=True, slots=True)
class Training:
    """A training as the paper printed it: hours on `gpus`, and the network's parameters, norms and their channels."""

    name: str
    hours: float
    gpus: int
    steps: int
    parameters: int
    norms: int
    channels: int


# Hours and devices: paper, Table 4's text (8 TITAN-Xp: search 18 and 20 h, fine-tuning 10 and 46 h). Steps: epochs x
# 118287 images / batch, of the recipes: 12 epochs of 32 images, 300 of 512 (the code has the data five times in each of
# its 60). Networks: MobileNetV2 with each head.
TRAININGS = (
    Training("RetinaNet fine-tuning", 10, 8, 44358, 11_488_244, 60, 15_776),
    Training("SSDLite fine-tuning", 46, 8, 69309, 4_322_988, 88, 27_926),
)


def ring_seconds(size_bytes: float, processes: int, link: Link) -> float:
    """An all-reduce by a ring: every process sends 2 (n - 1) / n of the data, in 2 (n - 1) messages."""
    if processes == 1:
        return 0.0
    share = 2 * (processes - 1) / processes
    return share * size_bytes / link.bytes_per_second + 2 * (processes - 1) * link.latency_seconds


def tree_seconds(size_bytes: float, processes: int, link: Link) -> float:
    """A small message to all and back by a tree: the latency of its depth, twice, and the data as often."""
    depth = math.ceil(math.log2(processes))
    return 2 * depth * (size_bytes / link.bytes_per_second + link.latency_seconds)


def wire_bytes(training: Training) -> int:
    """What a process hands in at each step: gradients; mean, variance and count of each norm; two sums and it back."""
    norms = 2 * (2 * training.channels + training.norms)
    return FLOAT_BYTES * (training.parameters + norms)


def talking_seconds(training: Training, processes: int, link: Link) -> float:
    """Of one step: the gradients in one piece, and two small messages for every norm, forward and back."""
    small = 2 * FLOAT_BYTES * training.channels / training.norms
    norms = 2 * training.norms * tree_seconds(small, processes, link)
    return ring_seconds(FLOAT_BYTES * training.parameters, processes, link) + norms


def hours(training: Training, gpus: int, link: Link) -> tuple[float, float]:
    """Hours with so many GPUs at the same images per GPU, and the share of them in which GPUs wait for each other.

    The global batch grows with the GPUs, so the steps become fewer; whether learning rate and schedule bear that is
    another question. The printed hours have their own talking in them, which is taken to be this model's.
    """
    step = 3600 * training.hours / training.steps
    alone = step - talking_seconds(training, training.gpus, link)
    talking = talking_seconds(training, gpus, link)
    steps = training.steps * training.gpus / gpus
    return steps * (alone + talking) / 3600, talking / (alone + talking)


def markdown(link: Link) -> str:
    """8 and 64 GPUs for every training."""
    rows = []
    for training in TRAININGS:
        for gpus in (8, 64):
            time, share = hours(training, gpus, link)
            sent = wire_bytes(training) / 1e6
            rows.append([training.name, gpus, f"{time:.2f} h", f"{gpus * time:.0f}", f"{share:.0%}", f"{sent:.1f} MB"])
    header = ["computed, not measured", "GPUs", "time", "GPU hours", "waiting for others", "handed in a step"]
    return table(header, rows)


def main(words: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--bandwidth", type=float, default=3.1, help="of the slowest link in 10^9 bytes a second")
    parser.add_argument("--latency", type=float, default=50, help="of one message in microseconds")
    args = parser.parse_args(words)
    if args.bandwidth <= 0 or args.latency < 0:
        parser.error("--bandwidth must be above zero and --latency not below it")
    print(markdown(Link(1e9 * args.bandwidth, 1e-6 * args.latency)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
