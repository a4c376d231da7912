"""Batches from a data set: how many processes read, and how they hand over what they have read."""

import os
import shutil
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

FEW_CORES = 4
"""With fewer, processes that read would take turns with the one that trains."""
MOST_WORKERS = 16
AHEAD = 2
"""Batches that a worker makes ready before they are asked for (torch's own default)."""
SHARED_MEMORY = Path("/dev/shm")

Workers = int | Literal["auto"]
Collate = Callable[[list[Any]], Any]


def loader(
    data: Dataset[Any],
    batches: Iterable[list[int]],
    collate: Collate,
    device: torch.device,
    workers: Workers = "auto",
    processes: int = 1,
) -> DataLoader[Any]:
    """The `batches`, lists of positions, in order; `processes` share the machine, each with its own `workers`.

    For a CUDA device batches come in pinned memory, so that they are copied while the device works. Ctrl-C is left to
    this process, which ends its workers when it is done.
    """
    count = automatic_workers(data, batches, collate, device, processes) if workers == "auto" else workers
    return DataLoader(
        data,
        batch_sampler=batches,
        num_workers=count,
        collate_fn=collate,
        pin_memory=device.type == "cuda",
        prefetch_factor=AHEAD if count else None,
        worker_init_fn=_leave_interrupts,
    )


def automatic_workers(
    data: Dataset[Any], batches: Iterable[list[int]], collate: Collate, device: torch.device, processes: int
) -> int:
    """As many as cores are left over: beside torch's threads on a CPU, beside one that feeds another device.

    None where there are few cores, and no more than the batches they make ready have room for in half of the shared
    memory that the system gives (containers often have 64 MiB).
    """
    own = cores() // processes
    count = min(MOST_WORKERS, own - (torch.get_num_threads() if device.type == "cpu" else 1))
    positions = next(iter(batches), None)
    if own < FEW_CORES or count < 1 or positions is None or not SHARED_MEMORY.is_dir():
        return max(0, count) if own >= FEW_CORES else 0
    one = collate([data[positions[0]]])
    batch_bytes = len(positions) * sum(value.nbytes for value in one.values() if isinstance(value, Tensor))
    room = shutil.disk_usage(SHARED_MEMORY).free // (2 * processes)
    return min(count, room // (AHEAD * max(1, batch_bytes)))


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processes_here(world_size: int) -> int:
    """Of a training of `world_size` processes, those on this machine, as torchrun or SLURM says it."""
    for name in ("LOCAL_WORLD_SIZE", "SLURM_NTASKS_PER_NODE"):
        if os.environ.get(name, "").isdigit():
            return min(world_size, int(os.environ[name]))
    return world_size


def _leave_interrupts(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
