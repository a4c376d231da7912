"""The steps of a study, one after the other, or side by side, each in a process of its own."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from fna.errors import Interrupted, UserError
from fna.study.plan import Step, Study, run_step


def execute(study: Study, after: Callable[[], None], jobs: int = 1) -> None:
    """Do all steps that are not finished, `jobs` of them side by side; `after` is called after each.

    With several devices in the configuration (`cuda:0,cuda:1`) the jobs take them in turn.
    """
    devices = study.config.device.split(",")
    if jobs > 1:
        side_by_side(study, after, [devices[n % len(devices)] for n in range(jobs)])
        return
    for n, step in enumerate(study.steps, start=1):
        if not study.finished(step):
            print(f"step {n} of {len(study.steps)}: {step.name}", flush=True)
            run_step(study, step, devices[0])
            after()


def side_by_side(study: Study, after: Callable[[], None], devices: Sequence[str]) -> None:
    """Do the unfinished steps, one on each of `devices` at a time; a step starts when those it needs are finished.

    Ctrl-C stops every step, with its state saved. Where a step fails, those that run are let finish, no further one is
    started, and UserError names it.
    """
    context, free = multiprocessing.get_context("spawn"), list(devices)
    if study.config.threads == 0:
        study = replace(study, config=study.config.model_copy(update={"threads": threads_each(len(devices))}))
    left = [step for step in study.steps if not study.finished(step)]
    running: dict[SpawnProcess, tuple[Step, str]] = {}
    failed: list[str] = []
    try:
        while running or (left and not failed):
            waiting = {step.name for step in [*left, *(step for step, _ in running.values())]}
            for step in [step for step in left if not step.needs & waiting]:
                if free and not failed:
                    device = free.pop(0)
                    process = context.Process(target=work, args=(study, step, device))
                    process.start()
                    running[process] = (step, device)
                    left.remove(step)
                    print(f"{step.name} begins on {device}", flush=True)
            wait([process.sentinel for process in running])
            for process in [process for process in running if not process.is_alive()]:
                step, device = running.pop(process)
                free.append(device)
                print(f"{step.name} {'is finished' if process.exitcode == 0 else 'failed'}", flush=True)
                failed += [step.name] if process.exitcode else []
                after()
    except KeyboardInterrupt:
        for process in running:
            os.kill(process.pid or 0, signal.SIGINT) if process.is_alive() else None
        for process in running:
            process.join()
        raise Interrupted(f"stopped; the state is saved. Go on with: {study.again}") from None
    if failed:
        raise UserError(f"{', '.join(failed)} failed; what went wrong is above. When it is mended: {study.again}")


def threads_each(jobs: int) -> int:
    """CPU threads of each job, so that together they take the machine's cores."""
    return max(1, (os.cpu_count() or 1) // jobs)


def work(study: Study, step: Step, device: str) -> None:
    """The process of one step: quiet, gone with its parent, and stopped by the parent's Ctrl-C alone."""
    os.setsid()
    threading.Thread(target=leave_with_parent, daemon=True).start()
    sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # open as long as the process is
    try:
        run_step(study, step, device)
    except (Interrupted, KeyboardInterrupt):
        sys.exit(130)
    except Exception as error:
        print(f"fna: {step.name}: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)


def leave_with_parent() -> None:
    """End this process as soon as its parent has ended, however that did: two must never work on one folder."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
