"""`fna study` on the command line."""

from pathlib import Path

import pytest
from small import command

from drawn import draw_data
from fna.cli.main import STUDIES, main


def test_help_names_every_study(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in STUDIES)


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("serch", [], "did you mean 'search'"),
        ("effectiveness", ["--seeds", "0"], "--seeds must be at least 1"),
        ("effectiveness", ["--weights", "none"], "--weights FILE"),
        ("effectiveness", ["--weights", "nowhere.safetensors"], "no weights file"),
        ("strategies", ["--archs", "x.json"], "did you mean --arch"),
        ("effectiveness", ["--budget", "0.1G,0.2G"], "under one budget"),
        ("effectiveness", ["--classification_recipe", "demo"], "needs --classification DATA"),
        ("effectiveness", ["--jobs", "0"], "--jobs must be at least 1"),
        ("strategies", ["--arch", "nowhere.json"], "cannot read the architecture"),
        ("search", ["--random", "0"], "--random must be at least 1"),
        ("search", ["--budget", "none"], "compares under one limit of multiply-adds"),
        ("search", ["--budget", "0.000001G"], "below the smallest network"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_trained(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, flags: list[str], message: str
) -> None:
    data = draw_data(tmp_path / "scenes", train=4, val=2)
    assert main(["study", name, *command(tmp_path, data, *flags)]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not list((tmp_path / "study").glob("*/run.json"))


def test_several_processes_are_refused_however_they_were_started(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = draw_data(tmp_path / "scenes", train=4, val=2)
    assert main(["study", "search", *command(tmp_path, data, "--devices", "2")]) == 2
    # What torchrun --nproc_per_node 2 sets.
    launcher = {"LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "GROUP_RANK": "0"}
    launcher |= {"TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_RESTART_COUNT": "0", "GROUP_WORLD_SIZE": "1"}
    for name, value in launcher.items():
        monkeypatch.setenv(name, value)
    assert main(["study", "search", *command(tmp_path, data)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("--jobs runs several networks side by side" in line for line in lines)
    assert not (tmp_path / "study").exists()
