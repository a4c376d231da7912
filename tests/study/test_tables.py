"""The paper's tables: what is cited is what the paper printed, what is counted is what was counted independently."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fna.cli.main import main
from fna.study.tables import ROWS, tables, text


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return tables()


def test_cited_numbers_stand_in_the_paper_row_by_row(shared: Path) -> None:
    paper = (shared / "paper.txt").read_text(encoding="utf-8")
    pattern = r"^(.+?)\t.*?([\d.]+M)\t([\d.]+B)\t([\d.()]+)\t?$"
    printed = [
        (re.sub(r" \(.*", "", method).lower(), params, madds, score)
        for method, params, madds, score in re.findall(pattern, paper, re.MULTILINE)
    ]
    cited = [(r.method.lower(), r.printed_params, r.printed_madds, r.score.replace(" ", "")) for r in ROWS]
    assert cited == printed


def test_networks_of_the_family_have_the_independent_counts(shared: Path, rows: list[dict[str, Any]]) -> None:
    counted = {
        (model["arch"], model["head"], model.get("output_stride", 32)): model
        for model in json.loads((shared / "counts.json").read_text(encoding="utf-8"))["models"]
        if model["head"] != "classifier"
    }
    found = {(row["backbone"], row["head"], row["output_stride"]): row for row in rows}
    assert counted.keys() <= found.keys()
    for key, model in counted.items():
        assert found[key]["params"] == model["params"], key
        assert found[key]["madds"] == model["conv_madds"] + model["conv_bias_adds"], key
        assert (found[key]["imgsz"], found[key]["classes"]) == (model["imgsz"], model["classes"]), key


@pytest.mark.parametrize(
    ("method", "params", "madds"),
    # Counted independently from the released definitions of each network, in millions and billions.
    [
        ("DPC", "2.506195", "24.6842"),
        ("Auto-DeepLab-S", "10.147427", "317.54"),
        ("ShuffleNetV2-20", "12.059", "133.640"),
        ("DetNAS", "12.628", "134.13"),
        ("MnasNet-92", "5.20", "0.836"),
    ],
)
def test_comparators_have_the_independent_counts(
    rows: list[dict[str, Any]], method: str, params: str, madds: str
) -> None:
    (row,) = (row for row in rows if row["method"] == method)
    assert rounded(row["params"] / 1e6, params) == params
    assert rounded(row["madds"] / 1e9, madds) == madds


def rounded(value: float, like: str) -> str:
    """`value` with as many decimals as `like`."""
    return f"{value:.{len(like.partition('.')[2])}f}"


def test_a_row_has_a_note_exactly_where_the_print_does_not_follow_from_the_count(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        prints = (row["paper"]["params"][:-1], row["paper"]["madds"][:-1])
        ours = (row["params"] / 1e6, row["madds"] / 1e9)
        equal = all(rounded(value, printed) == printed for value, printed in zip(ours, prints, strict=True))
        assert (row["note"] is None) == equal, row


def test_differences_are_ours_over_the_print(rows: list[dict[str, Any]]) -> None:
    by_name = {(row["method"], row["head"], row["output_stride"]): row["difference"] for row in rows}
    # 10,147,427 / 10.15M and 2,466,419 / 2.55M.
    assert by_name["Auto-DeepLab-S", "deeplabv3plus", 8]["params"] == pytest.approx(-0.000253, abs=1e-6)
    assert by_name["FNA", "deeplabv3", 16]["params"] == pytest.approx(-0.03278, abs=1e-5)


def test_scores_are_said_to_be_the_papers(rows: list[dict[str, Any]]) -> None:
    for number, metric in ((1, "mIOU"), (3, "mAP")):
        shown = text(rows, number)
        assert f"{metric} (%) and the printed costs are cited from the paper" in shown
        assert {key for row in rows if row["table"] == number for key in row["paper"]} == {"params", "madds", metric}
    assert not any(key.lower() in ("miou", "map", "score") for row in rows for key in row)


def test_every_note_that_is_referred_to_is_there(rows: list[dict[str, Any]]) -> None:
    for number in (1, 3):
        shown = text(rows, number)
        assert set(re.findall(r"(\[\d\]) \|$", shown, re.MULTILINE)) == set(re.findall(r"^\[\d\]", shown, re.MULTILINE))


def test_the_command_prints_both_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "tables"]) == 0
    lines = capsys.readouterr().out.splitlines()
    header = next(line for line in lines if line.startswith("method"))
    (dpc,) = (line for line in lines if line.startswith("DPC"))
    assert dpc.index("2,506,195") + len("2,506,195") == header.index("params") + len("params"), "right under its title"
    assert main(["study", "tables", "--json"]) == 0
    assert [row["method"] for row in json.loads(capsys.readouterr().out)] == [row.method for row in ROWS]
