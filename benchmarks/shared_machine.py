"""A training on all cores, alone and beside one busy process, with torch's way of waiting for threads and with ours.

How threads wait is settled when torch is imported, so each way has a process of its own, and these are stopped
(SIGSTOP) while others are timed.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle
from time import sleep

from benchmarks.cases import Case, opened, small_cases
from benchmarks.fine_tuning import fine_tuning_step
from benchmarks.rows import Finding
from benchmarks.settings import Settings, Size
from benchmarks.timing import quartiles
from fna.threads import WAITING

NAME = "shared machine"
ALONE_AT_LEAST, BESIDE_AT_LEAST = 0.95, 0.25
WINDOWS: dict[Size, tuple[int, float]] = {"full": (7, 8.0), "quick": (3, 4.0), "tiny": (1, 2.0)}
"""Rounds, and for how many seconds steps are counted."""
TRAIN = "from benchmarks.shared_machine import train; train({threads}, {size!r})"
TORCH_FIRST = "import torch; torch.ones(2**22).exp(); "
"""Before `fna` is imported, which then comes too late to set anything."""
BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"
NOTE = "steps that end in {seconds:g} s, counted in turn; what else the machine does at that time makes it busier."
Counts = Mapping[str, Sequence[int]]
"""By contestant, the steps of every round."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """A process that is stopped but while it is counted; it writes a byte before every step."""

    process: "subprocess.Popen[bytes]"

    def go(self, on: bool) -> None:
        """Let it run, or stop it."""
        self.process.send_signal(signal.SIGCONT if on else signal.SIGSTOP)

    def written(self) -> int:
        """How many bytes there are that were not read yet."""
        assert self.process.stdout is not None
        return len(self.process.stdout.read() or b"")


def shared_machine(settings: Settings) -> list[Finding]:
    """A fine-tuning step of the recipe on boxes, on a thread for each core."""
    (rounds, seconds), threads = WINDOWS[settings.size], cores()
    words = TRAIN.format(threads=threads, size=settings.size)
    with ExitStack() as stack:
        ours, default = (stack.enter_context(begun(first + words)) for first in ("", TORCH_FIRST))
        wait_until_ready(ours, default)
        busy = stack.enter_context(begun(BUSY))
        busy.go(False)
        contestants = {
            "ours": [ours],
            "default": [default],
            "ours beside": [ours, busy],
            "default beside": [default, busy],
        }
        count({name: contestants[name] for name in ("ours", "default")}, 1, seconds)  # the first steps take longer
        counts = count(contestants, rounds, seconds)
    case, note = f"{case_of(settings.size).name}, {threads} threads", NOTE.format(seconds=seconds)
    beside = f"{case}, beside one busy process"
    return [
        row(f"{case}, alone", counts, ("fna", "ours"), ("torch's default", "default"), seconds, ALONE_AT_LEAST, note),
        row(beside, counts, ("fna", "ours beside"), ("alone", "ours"), seconds, BESIDE_AT_LEAST),
        row(beside, counts, ("torch's default", "default beside"), ("alone", "default"), seconds),
    ]


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def case_of(size: Size) -> Case:
    """The recipe on boxes, for a quick look, too."""
    return small_cases(Settings(size="tiny" if size == "tiny" else "full"))[-1]


@contextmanager
def begun(code: str) -> Iterator[Stopped]:
    """A Python at work, in which nothing is said of how threads wait; it ends with the block."""
    unset = {"OMP_WAIT_POLICY", *WAITING}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        stopped = Stopped(process)
        try:
            yield stopped
        finally:
            process.stdout.close()  # a training ends at its next step, and removes its folder
            stopped.go(True)
            with suppress(subprocess.TimeoutExpired):
                process.wait(10 if code != BUSY else 0)
            process.kill()


def wait_until_ready(*trainings: Stopped) -> None:
    """Until each is about to do its first step, and then is stopped."""
    for training in trainings:
        stdout = training.process.stdout
        assert stdout is not None
        if not stdout.read(1):
            raise RuntimeError("a training has ended before its first step; why is above")
        training.go(False)
        os.set_blocking(stdout.fileno(), False)


def count(contestants: Mapping[str, Sequence[Stopped]], rounds: int, seconds: float) -> Counts:
    """The steps of the first process of each contestant while all its processes run, once a round.

    The order is turned round after every round.
    """
    counts: dict[str, list[int]] = {name: [] for name in contestants}
    names = list(contestants)
    order = cycle((names, names[::-1]))
    for _ in range(rounds):
        for name in next(order):
            training, *others = contestants[name]
            training.written()
            for process in (training, *others):
                process.go(True)
            sleep(seconds)
            for process in (training, *others):
                process.go(False)
            counts[name].append(training.written())
    return counts


def row(
    case: str,
    counts: Counts,
    contestant: tuple[str, str],
    reference: tuple[str, str],
    seconds: float,
    at_least: float | None = None,
    note: str = "",
) -> Finding:
    """Steps a second of one against another, each given by what the table calls it and its name in `counts`."""
    ours, theirs = ([steps / seconds for steps in counts[name]] for _, name in (contestant, reference))
    ratio = quartiles([a / b for a, b in zip(ours, theirs, strict=True)]) if all(theirs) else None
    return Finding(
        NAME,
        case,
        contestant[0],
        quartiles(ours),
        "steps/s",
        reference[0],
        quartiles(theirs),
        ratio,
        wanted="" if at_least is None else f"at least {at_least:g}",
        reached=None if at_least is None or ratio is None else ratio.median >= at_least,
        note=note,
    )


def train(threads: int, size: Size) -> None:
    """The process of a training: steps without end, and a byte on stdout before each, until nobody reads them."""
    with (
        opened(case_of(size), Settings(threads=threads, size=size)) as bench,
        fine_tuning_step(bench, bench.adapt_batch()) as step,
        suppress(BrokenPipeError),
    ):
        while True:
            os.write(1, b".")
            step()
