"""What a run does to its process."""

import json
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fna.config.files import from_data
from fna.errors import Interrupted
from fna.runs.run import Run
from fna.runs.steps import each_step

STEPS = """
import resource, sys, torch
from fna.runs.machine import keep_memory
if sys.argv[1] == "keep":
    assert keep_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        torch.ones(2**24)  # 64 MiB, 16384 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
for _ in range(5):
    faults()  # until small blocks no longer fall between the large ones
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc alone gives memory back after every step")
def test_memory_of_a_step_is_kept_for_the_next_one() -> None:
    def page_faults(how: str) -> int:
        words = [sys.executable, "-c", STEPS, how]
        return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)

    assert page_faults("keep") < 1000
    assert page_faults("plain") > 10_000, "else there is nothing to keep"


def test_steps_outside_a_ledger_are_saved_and_enter_no_time(tmp_path: Path) -> None:
    run, saved = Run(tmp_path, from_data({"device": "cpu"})), list[int]()
    assert list(each_step(run, "alone", 2, 5, saved.append)) == [2, 3, 4]
    assert saved == [5]
    with run.ledger("part"):
        pass
    ledger = (tmp_path / "cost.json").read_text()
    assert list(each_step(run, "afterwards", 0, 1, saved.append)) == [0]
    assert (tmp_path / "cost.json").read_text() == ledger, "time after the block is not the part's"


def test_time_is_entered_when_a_state_is_saved_for_a_process_may_be_killed(tmp_path: Path) -> None:
    run, entered = Run(tmp_path, from_data({"device": "cpu"})), list[str]()
    with run.ledger("part"):
        list(each_step(run, "part", 0, 1, lambda done: None))
        entered += json.loads((tmp_path / "cost.json").read_text())
    assert entered == ["part"]


def test_ctrl_c_saves_says_how_to_go_on_and_a_second_one_ends_at_once(tmp_path: Path) -> None:
    run, saved = Run(tmp_path, from_data({"device": "cpu"})), list[int]()
    before = signal.getsignal(signal.SIGINT)  # ignored in a process that a shell has put into the background
    run.again = "fna again"
    steps = each_step(run, "stopped", 0, 9, saved.append)
    next(steps)
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(Interrupted, match="Go on with: fna again"):
        next(steps)
    assert saved == [1]
    assert signal.getsignal(signal.SIGINT) is before
    steps = each_step(run, "stopped", 1, 9, saved.append)
    next(steps)
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    steps.close()


def test_the_loss_scale_of_16_mixed_is_saved_and_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, from_data({"device": "cpu"}))
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    monkeypatch.setattr(run.engine.fabric.strategy.precision, "state_dict", scaler.state_dict)
    monkeypatch.setattr(run.engine.fabric.strategy.precision, "load_state_dict", scaler.load_state_dict)
    layer = torch.nn.Linear(1, 1)
    run.states.save("state.ckpt", {"layer": layer}, 3)
    scaler.load_state_dict(scaler.state_dict() | {"scale": 8.0})
    assert run.states.restore("state.ckpt", {"layer": layer}) == 3
    assert scaler.get_scale() == 64.0
