"""The command line as a user meets it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from drawn import draw_data
from fna.cli.main import VERBS, main

KEYS = ["params", "madds", "conv_madds", "linear_madds", "conv_bias_adds"]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(words)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "--help")
    assert status == 0
    assert all(f"\n  {verb} " in out for verb in VERBS)


def test_count_agrees_with_the_reference_to_the_last_digit(capsys: pytest.CaptureFixture[str], shared: Path) -> None:
    rows = [
        m
        for m in json.loads((shared / "counts.json").read_text())["models"]
        if m["head"] in ("classifier", "deeplabv3", "deeplabv3plus")
    ]
    assert len(rows) == 5
    for row in rows:
        words = ["count", row["arch"], "--head", row["head"], "--imgsz", "x".join(map(str, row["imgsz"])), "--json"]
        words += ["--classes", str(row["classes"])]
        words += ["--os", str(row["output_stride"])] if "output_stride" in row else []
        status, out, _ = run(capsys, *words)
        counted = json.loads(out)
        assert status == 0
        assert list(counted) == [*KEYS, "memory", "backbone"]
        assert list(counted["backbone"]) == KEYS
        expected = {key: row.get(key, 0) for key in KEYS if key != "madds"}
        expected["madds"] = sum(value for key, value in expected.items() if key != "params")
        assert {key: counted[key] for key in KEYS} == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["adopt"], "unknown verb 'adopt'; did you mean 'adapt'"),
        (["count", "mobilenet_v3"], "did you mean 'mobilenet_v2'"),
        (["count", "mobilenet_v2", "--head", "deeplab"], "did you mean 'deeplabv3'"),
        (["count", "mobilenet_v2", "--imgsz", "0x3"], "is not HxW"),
        (["count", "mobilenet_v2", "--os", "3"], "output stride must be 8, 16 or 32"),
        (["count", "mobilenet_v2", "--imgs", "3"], "did you mean --imgsz"),
        (["train", "DATA", "--adapt.stepz", "3"], "did you mean --adapt.steps"),
        (["train", "DATA", "--adapt.steps", "0"], "--adapt.steps: Input should be greater than 0 (got 0)"),
        (
            ["train", "DATA", "--imgsz", "axb"],
            "--imgsz: image size 'axb' is not HxW: write 360x480, or 512 for a square\n",
        ),
        (["train", "DATA", "--recipe", "camvid-deeplabv"], "did you mean 'camvid-deeplabv3'"),
        (["train", "DATA", "--weights", "nothing.safetensors"], "no weights file"),
        (
            ["train", "DATA", "--arch", "nothing.json", "--backbone", "mobilenet_v2_w010"],
            "cannot read the architecture",
        ),
        (["train"], "needs a data folder, or --resume"),
        (["adapt", "nowhere"], "nowhere"),
        (["val", "nowhere"], "not a run folder"),
        (["report", "nowhere"], "nowhere"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], message: str
) -> None:
    data = draw_data(tmp_path / "scenes", train=4, val=2)
    status, _, err = run(capsys, *(str(data) if word == "DATA" else word for word in words))
    assert status == 2
    assert message in err
    assert err.startswith("fna: error: ")
    assert err.count("\n") == 1


def test_lists_are_written_with_commas(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "x", "--mean", "0.5,0.4,0.3", "--budget", "0.5G,0.6G", "--imgsz", "360x480", "--print_config"]
    with pytest.raises(SystemExit):
        main(words)
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["mean"] == [0.5, 0.4, 0.3]
    assert config["budget"] == ["0.5G", "0.6G"]
    assert config["imgsz"] == [360, 480]


def test_check_reports_and_its_status_says_whether_there_are_errors(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = draw_data(tmp_path / "scenes", train=4, val=2)
    status, out, _ = run(capsys, "check", str(data))
    assert status == 0
    assert "disc" in out
    (data / "masks/train/0.png").write_bytes(b"not an image")
    status, out, _ = run(capsys, "check", str(data))
    assert status == 1
    assert "0.png" in out


def test_a_reader_that_goes_away_is_no_failure() -> None:
    command = [sys.executable, "-m", "fna.cli", "count", "mobilenet_v2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == ("", 141)
