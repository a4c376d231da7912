"""The steps of a training: numbered, shown, saved when due, and stopped by Ctrl-C without a loss."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from fna.errors import Interrupted
from fna.runs.progress import progress
from fna.runs.run import Run


def draw_as_step(run: Run, step: int) -> None:
    """Dropout of a step: a function of random seed, step and, since each has other images, process."""
    torch.manual_seed((run.config.seed << 32) + (run.engine.rank << 24) + step)


def each_step(run: Run, label: str, first: int, last: int, save: Callable[[int], None]) -> Iterator[int]:
    """The numbers from `first` to `last` - 1, with progress on the console.

    `save(n)` is called after n steps are done: when due, after the last one, and on Ctrl-C, before Interrupted is
    raised. The time until then is entered in the ledger where the run times itself.
    """
    saved = time.monotonic()
    with stop_on_ctrl_c() as stop_asked, progress(run.console, label, first, last) as advance:
        for step in range(first, last):
            draw_as_step(run, step)
            yield step
            done = step + 1
            advance(done)
            stop = run.engine.any_of(stop_asked())
            due = time.monotonic() - saved > 60 * run.config.checkpoint_minutes
            if stop or due or done == last:
                save(done)
                run.ledger.update()
                saved = time.monotonic()
            if stop:
                end(run)


def end(run: Run) -> None:
    """Raises Interrupted, which says how to go on; of several processes the first one says it for all."""
    if run.engine.rank:
        sys.exit(0)
    verb = (run.read_json("run.json") or {}).get("verb", "adapt")
    again = run.again or f"fna {verb} --resume {run.folder}"
    raise Interrupted(f"stopped; the state is saved. Go on with: {again}")


@contextmanager
def stop_on_ctrl_c() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed in the block so far; the second time it raises KeyboardInterrupt at once."""
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    previous = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, previous)
