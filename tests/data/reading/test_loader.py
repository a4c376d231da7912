"""How many processes read is fitted to the machine, and changes no batch."""

import os
from collections import namedtuple
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset, default_collate

from fna.data.reading import loader as module
from fna.data.reading.loader import automatic_workers, loader, processes_here

CPU, GPU = torch.device("cpu"), torch.device("cuda")
MIB = 1 << 20
Usage = namedtuple("Usage", "free")


class Numbers(Dataset[dict[str, torch.Tensor]]):
    def __getitem__(self, position: int) -> dict[str, torch.Tensor]:
        return {"image": torch.full((MIB // 4,), float(position)), "process": torch.tensor(os.getpid())}


def found(monkeypatch: pytest.MonkeyPatch, cores: int, device: torch.device, free: int = 1 << 40, **more: Any) -> int:
    monkeypatch.setattr(module, "cores", lambda: cores)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda place: Usage(free))
    return automatic_workers(Numbers(), [[0, 1], [2, 3]], default_collate, device, more.get("processes", 1))


def test_the_cores_that_are_left_over_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [found(monkeypatch, cores, GPU) for cores in (1, 2, 3, 4, 8, 16, 64)] == [0, 0, 0, 3, 7, 15, 16]
    assert [found(monkeypatch, 16, GPU, processes=n) for n in (2, 4, 8)] == [7, 3, 0]
    torch.set_num_threads(6)
    assert [found(monkeypatch, cores, CPU) for cores in (2, 6, 8)] == [0, 0, 2]


def test_batches_made_ready_have_room_in_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    # A batch is two samples of 1 MiB and 8 bytes, a worker has two of them ready, and half of the memory may be used.
    sample = MIB + 8
    assert found(monkeypatch, 16, GPU, free=8 * 3 * sample) == 3
    assert found(monkeypatch, 16, GPU, free=8 * 3 * sample - 1) == 2
    assert found(monkeypatch, 16, GPU, free=sample) == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_workers_are_other_processes_and_change_no_batch() -> None:
    batches = [[4, 1], [0], [2, 3]]
    alone, shared_out = (list(loader(Numbers(), batches, default_collate, CPU, workers)) for workers in (0, 1))
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(alone, shared_out, strict=True))
    assert [batch["image"][:, 0].tolist() for batch in alone] == batches
    assert all((batch["process"] == os.getpid()).all() for batch in alone)
    assert not any((batch["process"] == os.getpid()).any() for batch in shared_out)


def test_only_a_cuda_device_gets_pinned_memory() -> None:
    assert [loader(Numbers(), [[0]], default_collate, device, 0).pin_memory for device in (CPU, GPU)] == [False, True]


def test_the_processes_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE", raising=False)
    assert processes_here(4) == 4
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "8")
    assert processes_here(64) == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert processes_here(64) == 2
