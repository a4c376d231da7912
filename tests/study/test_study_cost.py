"""`fna study cost`: the paper's rows as printed, and ours from a ledger made by hand."""

import json
from pathlib import Path

import pytest
from cost_runs import rows, write_run

from fna.arch.design import Design
from fna.arch.heads import parse_head
from fna.arch.zoo import build
from fna.cli.main import main


def test_segmentation_has_the_papers_table_2_and_our_hours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "a", "seg", {"search": 5040, "train": 7200, "seed": 7000})
    found = rows(capsys, run)
    assert found["DPC (cited)"][:3] == ["62.2K GHs", "62.2K GHs", "30.0* GHs"]
    assert found["Auto-DeepLab-S (cited)"][:3] == ["244.0 GHs", "72.0 GHs", "172.0† GHs"]
    assert found["FNA (cited)"][:3] == ["35.8 GHs", "1.4 GHs", "34.4 GHs"]
    # 1.4 h of search and 2 h of fine-tuning; the baseline is no part of it.
    assert [name for name in found if "measured" in name] == ["a (measured)"]
    assert found["a (measured)"] == [
        "3.4 h = 0.14 d",
        "1.4 h = 0.058 d",
        "2 h = 0.083 d",
        "Example CPU (CPU, threads: 1)",
    ]


def test_detection_has_the_papers_table_4_and_names_the_gpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = rows(capsys, write_run(tmp_path / "d", "det", {"search": 86400, "train": 43200}, gpu="NVIDIA H100"))
    assert found["DetNAS (cited)"][:6] == ["68 GDs", "12 GDs", "12 GDs", "20 GDs", "12 GDs", "12 GDs"]
    assert found["FNA (RetinaNet) (cited)"][:6] == ["9.2 GDs", "-", "-", "6 GDs", "-", "3.2 GDs"]
    assert found["FNA (SSDLite) (cited)"][:6] == ["21.6 GDs", "-", "-", "6.6 GDs", "-", "15 GDs"]
    assert found["d (measured)"] == ["36 h = 1.5 d", "-", "-", "24 h = 1 d", "-", "12 h = 0.5 d", "NVIDIA H100"]


def test_a_fine_tuning_goes_with_the_search_that_derived_its_architecture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search = write_run(tmp_path / "search", "seg", {"search": 3600})
    trained = write_run(tmp_path / "trained", "seg", {"train": 7200}, arch=str(search / "design.json"))
    out = tmp_path / "out"
    found = rows(capsys, search, trained, "--out", out)
    assert "search (measured)" not in found
    assert found["trained (measured)"][:3] == ["3 h = 0.12 d", "1 h = 0.042 d", "2 h = 0.083 d"]
    (row,) = json.loads((out / "table.json").read_text())["rows"]
    assert (row["search_hours"], row["adapt_hours"], row["total_hours"]) == (1, 2, 3)


def test_a_search_made_again_goes_with_what_was_trained_of_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = write_run(tmp_path / "again", "seg", {"search": 3600})
    other = write_run(tmp_path / "other", "seg", {"search": 1800})
    trained = write_run(tmp_path / "trained", "seg", {"train": 7200}, arch=str(tmp_path / "first/design.json"))
    (trained / "train").mkdir()
    for name, folder in (("fna_deeplabv3", again), ("fna_deeplabv3", trained / "train"), ("fna_retinanet", other)):
        (folder / "design.json").write_text(
            Design("none", build(name), parse_head("deeplabv3"), 16, (64, 64)).to_json()
        )
    found = rows(capsys, other, again, trained)
    assert found["trained (measured)"][:3] == ["3 h = 0.12 d", "1 h = 0.042 d", "2 h = 0.083 d"]
    assert found["other (measured)"][1] == "0.5 h = 0.021 d"


def test_runs_of_two_tasks_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = (write_run(tmp_path / task, task, {"train": 1}) for task in ("seg", "det"))
    assert main(["study", "cost", str(a), str(b)]) == 2
    assert "tasks det, seg" in capsys.readouterr().err
