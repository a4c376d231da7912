"""How much memory a function needs at its peak, measured in a process of its own."""

import gc
import resource
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
LIBRARIES = ["fna.study.projection"]
"""What processes have loaded when they begin: they are copies of one that does nothing else."""
FORGET_PEAK = "5"
"""What resets the peak of resident memory, proc(5)."""


def peak_memory(function: Callable[..., object], *arguments: Any, device: str = "cpu") -> int:
    """Bytes that `function(*arguments)` needs at its peak above what there was before.

    On a CPU it is resident memory in a new process, above what that had with all libraries loaded; function and
    arguments must be picklable. On a GPU it is what torch allocated above what this process had. Raises what the
    function raises, and BrokenProcessPool where the system ended the process.
    """
    if device.startswith("cuda"):
        return _allocated_by(function, arguments)
    context = get_context("forkserver")
    context.set_forkserver_preload(LIBRARIES)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_peak_of, function, arguments).result()


def _allocated_by(function: Callable[..., object], arguments: tuple[Any, ...]) -> int:
    import torch

    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    function(*arguments)
    return torch.cuda.max_memory_allocated() - before


def _peak_of(function: Callable[..., object], arguments: tuple[Any, ...]) -> int:
    with suppress(OSError):
        CLEAR.write_text(FORGET_PEAK)
    before = resident("VmRSS")
    function(*arguments)
    return resident("VmHWM") - before


def resident(name: str) -> int:
    """Resident memory of this process in bytes: now (`VmRSS`) or at its peak (`VmHWM`).

    Where there is no /proc, the peak for both: what getrusage knows. On Linux getrusage's peak may be that of the
    process that started this one, because the kernel keeps it when a program is replaced by another.
    """
    if STATUS.is_file():
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
