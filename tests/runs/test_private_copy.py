"""Private copies of a run folder go with their processes."""

import subprocess
import sys
from pathlib import Path

import pytest

COPY = """
import os, signal, sys
from pathlib import Path
from fna.runs.private_copy import private_copy
print(private_copy(Path(sys.argv[1])), flush=True)
sys.stdin.readline()
if sys.argv[2] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
"""


def begin(folder: Path, end: str) -> tuple[subprocess.Popen[str], Path]:
    """A process with a private copy, which ends so when it is told to, and the copy."""
    words = [sys.executable, "-c", COPY, str(folder), end]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_copy_is_gone_with_its_process_and_at_the_latest_when_another_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, temporary = tmp_path / "run", tmp_path / "temporary"
    folder.mkdir()
    temporary.mkdir()
    (folder / "config.yaml").write_text("seed: 1\n")
    monkeypatch.setenv("TMPDIR", str(temporary))
    (ordinary, one), (killed, two), (alive, three) = (begin(folder, end) for end in ("ended", "killed", "ended"))
    assert all((copy / "config.yaml").read_text() == "seed: 1\n" for copy in (one, two, three))
    for process in (ordinary, killed):
        process.communicate("\n")
    assert [copy.exists() for copy in (one, two, three)] == [False, True, True]
    last, four = begin(folder, "ended")
    assert [copy.exists() for copy in (two, three, four)] == [False, True, True]
    for process in (alive, last):
        process.communicate("\n")
    assert not list(temporary.iterdir())
