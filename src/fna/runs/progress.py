"""How far a training is, on the console."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

LINE_SECONDS = 15.0
"""Where the output is not a terminal, progress is one line per so many seconds."""
Advance = Callable[[int], None]
"""Called with the number of steps that are done."""


def progress(console: Console, label: str, first: int, last: int) -> AbstractContextManager[Advance]:
    """A bar on a terminal, else lines; a quiet console says nothing."""
    return (bar if console.is_terminal else lines)(console, label, first, last)


@contextmanager
def bar(console: Console, label: str, first: int, last: int) -> Iterator[Advance]:
    """A bar that is gone at the end."""
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(show_speed=True),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task(label, total=last, completed=first)
        yield lambda done: shown.update(task, completed=done)


@contextmanager
def lines(console: Console, label: str, first: int, last: int) -> Iterator[Advance]:
    """A line every `LINE_SECONDS`."""
    start = shown = time.monotonic()

    def advance(done: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown > LINE_SECONDS and done < last and not console.quiet:
            rate = (done - first) / (now - start)
            print(f"  {label} {done}/{last}  {rate:.2f} steps/s  {(last - done) / rate:.0f} s left", flush=True)
            shown = now

    yield advance
