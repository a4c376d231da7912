"""Launchers and accidents: SLURM's tasks, one line where a process ends, counts however images are shared out."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from drawn import TINY, configured, draw_data
from fna.config.config import Config

SBATCH = Path(__file__).parents[2] / "docs" / "adapt.sbatch"
CONFIG = configured(TINY, device="cpu", adapt={"validate_steps": 6})
TASK = "SLURM_PROCID=$n SLURM_LOCALID=$n SLURM_NODEID=0 SLURM_NTASKS=2 SLURM_NTASKS_PER_NODE=2 SLURM_NNODES=1"
SRUN = f'#!/bin/bash\nfor n in 0 1; do {TASK} SLURM_JOB_NAME=fna SLURM_NODELIST=127.0.0.1 "$@" & done\nwait\n'
ACCIDENT = """
import os, signal, sys
from importlib import import_module
from fna.cli.main import main
from fna.errors import UserError

adapt, done = import_module("fna.train.adapt"), []
step = adapt.training_step

def step_or_end(run, *args):
    done.append(run)
    if len(done) == 3 and str(run.engine.rank) == sys.argv[1]:
        if sys.argv[2] == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise UserError("a.png cannot be read")
    return step(run, *args)

if __name__ == "__main__":
    adapt.training_step = step_or_end
    sys.exit(main(sys.argv[3:]))
"""


def fna(*words: object) -> "subprocess.CompletedProcess[str]":
    """Run to its end, on one thread a process."""
    command = [sys.executable, *map(str, words)]
    return subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=240
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_data(tmp_path_factory.mktemp("masks") / "data", val=5)


def recipe(config: Config, file: Path) -> Path:
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    return file


def script(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)


@pytest.mark.slow
def test_the_sbatch_file_trains_with_slurms_tasks(data: Path, tmp_path: Path) -> None:
    subprocess.run(["bash", "-n", str(SBATCH)], check=True)
    file = recipe(configured(TINY, baseline=False, search={"epochs": 1, "replicas": 1}), tmp_path / "recipe.yaml")
    programs = tmp_path / "bin"
    programs.mkdir()
    script(programs / "srun", SRUN)
    # The file's own command, on a CPU.
    script(programs / "fna", f'#!/bin/bash\n{sys.executable} -m fna.cli "$1" --recipe {file} "${{@:2}}" --device cpu\n')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    text = SBATCH.read_text()
    assert "--device cuda" in text
    script(tmp_path / "adapt.sbatch", text.replace("--device cuda", ""))
    changes = {"PATH": f"{programs}:{os.environ['PATH']}", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    command = ["bash", str(tmp_path / "adapt.sbatch"), str(data), "none", str(tmp_path / "run")]
    done = subprocess.run(command, env=os.environ | changes, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapt.sbatch", "bin", "recipe.yaml", "run"]
    costs = json.loads((tmp_path / "run" / "cost.json").read_text())
    assert costs["train"]["device_hours"] == pytest.approx(2 * costs["train"]["wall_seconds"] / 3600, abs=1e-4)
    assert (tmp_path / "run" / "report.md").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("process", "how", "said"),
    [("0", "error", "a.png cannot be read"), ("1", "error", "a.png cannot be read"), ("1", "killed", "without a word")],
)
def test_an_error_of_one_process_ends_all_with_one_line(
    data: Path, tmp_path: Path, process: str, how: str, said: str
) -> None:
    file = recipe(CONFIG, tmp_path / "recipe.yaml")
    (tmp_path / "accident.py").write_text(ACCIDENT)
    words = ("train", data, "--recipe", file, "--devices", 2, "--out", tmp_path / "run")
    done = fna(tmp_path / "accident.py", process, how, *words)
    (line,) = done.stderr.splitlines()
    assert line.startswith("fna: error: ")
    assert said in line
    # A launcher may have ended the first process the hard way where another one was killed.
    assert done.returncode == 2 if how == "error" else done.returncode != 0


@pytest.mark.slow
def test_counts_are_the_same_however_the_images_are_shared_out(data: Path, tmp_path: Path) -> None:
    file, run = recipe(CONFIG, tmp_path / "recipe.yaml"), tmp_path / "run"
    assert fna("-m", "fna.cli.main", "train", data, "--recipe", file, "--out", run).returncode == 0
    found = []
    for devices in (1, 2, 3):  # 5 images
        done = fna("-m", "fna.cli.main", "val", run, "--device", "cpu", "--devices", devices)
        assert done.returncode == 0, done.stderr
        found.append((done.stdout, json.loads((run / "val" / "metrics.json").read_text())))
    assert sum(map(sum, found[0][1]["confusion"])) == 5 * 40 * 56
    assert found[1:] == found[:1] * 2
