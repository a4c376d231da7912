"""Threads that wait for others sleep soon, in every process; OpenMP itself tells what it was given.

`OMP_DISPLAY_ENV=verbose` lets each process that loads it print the values in force: GNU's `GOMP_SPINCOUNT = '10000'`,
Intel's and LLVM's `KMP_BLOCKTIME='1'`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fna.config.config import Config
from fna.errors import UserError
from fna.study.jobs import side_by_side
from fna.study.plan import Step, Study
from fna.threads import WAITING, wait_politely

SHOWN = re.compile(r"(?:GOMP_SPINCOUNT|KMP_BLOCKTIME)\s*=\s*'([^']*)'")
NAMES = ("OMP_WAIT_POLICY", *WAITING)
OURS = {"10000", "1"}
TWO_PROCESSES = """
import sys
from pathlib import Path
from fna.config.files import from_data
from fna.runs.run import Run
if __name__ == "__main__":
    Run(Path(sys.argv[1]), from_data({"device": "cpu", "devices": 2}))
"""


def untouched(**given: str) -> dict[str, str]:
    """The environment of a user who has set no more than `given`, and has OpenMP show what it reads."""
    return {k: v for k, v in os.environ.items() if k not in NAMES} | {"OMP_DISPLAY_ENV": "verbose"} | given


def waiting(*words: object, **given: str) -> list[str]:
    """What the OpenMP of every process says that such a Python begins."""
    words = (sys.executable, *map(str, words))
    done = subprocess.run(words, env=untouched(**given), check=True, capture_output=True, text=True, timeout=120)
    return SHOWN.findall(done.stderr)


@pytest.fixture(scope="module")
def default() -> str:
    """What OpenMP has by itself."""
    found = waiting("-c", "import torch")
    if not found:
        pytest.skip("torch has an OpenMP here that does not show how it waits")
    return found[0]


@pytest.mark.parametrize("words", [("-c", "import fna, torch"), ("-m", "fna.cli", "count", "timm:resnet10t")])
def test_openmp_is_given_the_value_before_it_is_loaded(default: str, words: tuple[str, ...]) -> None:
    (found,) = waiting(*words)
    assert found in OURS
    assert found != default


def test_where_torch_was_imported_first_openmp_keeps_its_own(default: str) -> None:
    assert waiting("-c", "import torch, fna") == [default]


@pytest.mark.usefixtures("default")
def test_a_users_own_value_stays() -> None:
    assert waiting("-c", "import fna, torch", **dict.fromkeys(WAITING, "7")) == ["7"]
    for name in WAITING:
        environment = {name: "7"}
        wait_politely(environment)
        assert environment == WAITING | {name: "7"}


def test_a_users_own_policy_stays() -> None:
    environment = {"OMP_WAIT_POLICY": "active"}
    wait_politely(environment)
    assert environment == {"OMP_WAIT_POLICY": "active"}


@pytest.mark.usefixtures("default")
def test_processes_of_a_run_have_the_value(tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(TWO_PROCESSES)
    found = waiting(script, tmp_path / "run")
    assert len(found) == 2
    assert set(found) <= OURS


@pytest.mark.usefixtures("default")
def test_jobs_of_a_study_have_the_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_DISPLAY_ENV", "verbose")
    steps = tuple(Step(name, "train", {}) for name in ("one", "two"))
    with pytest.raises(UserError, match="failed"):  # there are no data: each job ends when it has begun
        side_by_side(Study("search", tmp_path, str(tmp_path / "none"), Config(), steps), lambda: None, ["cpu", "cpu"])
    found = SHOWN.findall(capfd.readouterr().err)
    assert len(found) == 2
    assert set(found) <= OURS
