"""What a run does to its process."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fna.config import from_data
from fna.runs.run import Run

STEPS = """
import resource, sys, torch
from fna.runs.run import keep_memory
if sys.argv[1] == "keep":
    assert keep_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        torch.ones(2**24)  # 64 MiB, 16384 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc alone gives memory back after every step")
def test_memory_of_a_step_is_kept_for_the_next_one() -> None:
    def page_faults(how: str) -> int:
        words = [sys.executable, "-c", STEPS, how]
        return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)

    assert page_faults("keep") < 1000
    assert page_faults("plain") > 10_000, "else there is nothing to keep"


def test_the_loss_scale_of_16_mixed_is_saved_and_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, from_data({"device": "cpu"}))
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    monkeypatch.setattr(run.fabric.strategy.precision, "state_dict", scaler.state_dict)
    monkeypatch.setattr(run.fabric.strategy.precision, "load_state_dict", scaler.load_state_dict)
    layer = torch.nn.Linear(1, 1)
    run.save("state.ckpt", {"layer": layer}, 3)
    scaler.load_state_dict(scaler.state_dict() | {"scale": 8.0})
    assert run.restore("state.ckpt", {"layer": layer}) == 3
    assert scaler.get_scale() == 64.0
