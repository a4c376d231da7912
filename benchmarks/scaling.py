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
class Steps:
    """Steps of one kind: how many, the numbers of the gradients, and the messages of norms and the numbers in them."""

    count: int
    gradients: int
    messages: int
    numbers: int

    @staticmethod
    def of_weights(count: int, parameters: int, norms: int, channels: int) -> "Steps":
        """Of one path: mean, variance and count of each norm, and two sums and the count back."""
        return Steps(count, parameters, 2 * norms, 2 * (2 * channels + norms))

    @property
    def sent_bytes(self) -> int:
        """What a process hands in at each of them."""
        return FLOAT_BYTES * (self.gradients + self.numbers)

    def talking_seconds(self, processes: int, link: Link) -> float:
        """Of one of them: the gradients in one piece, and the messages of the norms one by one."""
        small = FLOAT_BYTES * self.numbers / self.messages
        return ring_seconds(FLOAT_BYTES * self.gradients, processes, link) + self.messages * tree_seconds(
            small, processes, link
        )


@dataclass(frozen=True, slots=True)
class Training:
    """A training as the paper printed it: hours on `gpus`, and its steps."""

    name: str
    hours: float
    gpus: int
    steps: tuple[Steps, ...]


# Hours and devices: paper, A.1 (8 TITAN-Xp: searches 18 and 20 h, fine-tunings 10 and 46 h). Steps: of the recipes.
# The searches have 14 epochs of 7392 steps and 24 of 462 with half of the images, and steps of the alphas for 6 of the
# first one's and a fifth of 12 of the second one's epochs. The fine-tunings have epochs x 118287 images / batch: 12 of
# 32 images, 300 of 512 (the code has the data five times in each of its 60). Networks: MobileNetV2 with each head.
# Messages of a step of the alphas: counted in one at 96x96, each candidate being computed twice.
TRAININGS = (
    Training(
        "RetinaNet search",
        18,
        8,
        (Steps.of_weights(103_488, 11_456_852, 51, 15_776), Steps(44_352, 141, 747, 371_275)),
    ),
    Training("RetinaNet fine-tuning", 10, 8, (Steps.of_weights(44_358, 11_488_244, 51, 15_776),)),
    Training(
        "SSDLite search",
        20,
        8,
        (Steps.of_weights(11_088, 4_291_596, 88, 27_926), Steps(1_109, 138, 803, 411_099)),
    ),
    Training("SSDLite fine-tuning", 46, 8, (Steps.of_weights(69_309, 4_322_988, 88, 27_926),)),
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


def hours(training: Training, gpus: int, link: Link) -> tuple[float, float]:
    """Hours with so many GPUs at the same images per GPU, and the share of them in which GPUs wait for each other.

    The global batch grows with the GPUs, so the steps become fewer; whether learning rate and schedule bear that is
    another question. The printed hours have their own talking in them, which is taken to be this model's.
    """

    def talking(processes: int) -> float:
        return sum(steps.count * steps.talking_seconds(processes, link) for steps in training.steps) / 3600

    alone = training.hours - talking(training.gpus)
    together = alone + talking(gpus)
    return together * training.gpus / gpus, talking(gpus) / together


def markdown(link: Link) -> str:
    """8 and 64 GPUs for every training."""
    rows = []
    for training in TRAININGS:
        for gpus in (8, 64):
            time, share = hours(training, gpus, link)
            sent = ", ".join(f"{steps.sent_bytes / 1e6:.1f}" for steps in training.steps) + " MB"
            rows.append([training.name, gpus, f"{time:.2f} h", f"{gpus * time:.0f}", f"{share:.0%}", sent])
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
