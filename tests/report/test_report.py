"""One run folder -> report.md."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from handmade import (
    ADAPTED,
    IMGSZ,
    SEED,
    adapted_run,
    add_search,
    add_training,
    design,
    falling,
    one_row,
    rows_of,
    run_base,
    with_kernel,
    write,
)
from PIL import Image

from fna.arch.arch import Arch, Stage
from fna.arch.layers import MBConv
from fna.cost.count import count_backbone
from fna.errors import UserError
from fna.report import write_report
from fna.report.files import RunFiles
from fna.report.page import render
from fna.search.result import Finalist, Verdict


def page(folder: Path) -> str:
    """The text alone: drawing takes far longer than writing."""
    return render(RunFiles(folder))


def figures(folder: Path) -> set[str]:
    return {path.stem for path in (folder / "report").glob("*.png")}


def headings(text: str) -> list[str]:
    return re.findall(r"^## (.*)$", text, re.MULTILINE)


def test_an_adapted_network_that_is_better_is_said_to_beat_its_seed(tmp_path: Path) -> None:
    text = page(adapted_run(tmp_path / "run", adapted=0.451, seed=0.42))
    assert "**The adapted network beats its seed**: 45.1 against 42.0 val mIoU (+3.1 points)" in text
    assert "Keep the seed" not in text
    assert "can be chance" not in text


def test_a_lower_error_beats_the_seed_and_is_shown_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = page(falling(adapted_run(tmp_path / "run", adapted=0.4125, seed=0.42), monkeypatch))
    numbers = "0.4125 against 0.42 val AbsRel (-0.0075; lower is better)"
    assert f"**The adapted network beats its seed**: {numbers}" in text
    assert "what chance does to this score is not known" in text
    assert "percent" not in text


def test_a_higher_error_does_not_beat_the_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = page(falling(adapted_run(tmp_path / "run", adapted=0.43, seed=0.42), monkeypatch))
    assert "**The adapted network does NOT beat its seed**" in text


@pytest.mark.parametrize("adapted", [0.34, 0.42])
def test_a_network_that_is_not_better_is_said_so_and_the_seed_recommended(tmp_path: Path, adapted: float) -> None:
    text = page(adapted_run(tmp_path / "run", adapted, seed=0.42))
    assert "**The adapted network does NOT beat its seed**" in text
    assert "Keep the seed architecture" in text
    assert "beats its seed" not in text


def test_a_small_difference_of_single_runs_is_said_to_be_possibly_chance(tmp_path: Path) -> None:
    assert "can be chance" in page(adapted_run(tmp_path / "run", adapted=0.425, seed=0.42))


def test_the_headline_has_score_cost_and_time_of_both_networks(tmp_path: Path) -> None:
    folder = adapted_run(tmp_path / "run", adapted=0.44, seed=0.42)
    cost = json.loads((folder / "train/cost.json").read_text())
    madds, params = f"{cost['madds'] / 1e9:.4f} G", f"{cost['params'] / 1e6:.2f} M"
    text = page(folder)
    assert one_row(text, "adapted network")[1:] == ["44.0", "20", "44.0", madds, params, "1200"]
    assert one_row(text, "seed architecture")[1:4] == ["42.0", "20", "42.0"]


def test_iou_has_a_difference_and_an_absent_class_a_dash(tmp_path: Path) -> None:
    text = page(adapted_run(tmp_path / "run", adapted=0.45, seed=0.42))
    assert one_row(text, "road") == ["road", "52.0", "55.0", "+3.0"]
    assert one_row(text, "ghost") == ["ghost", "–", "–", "–"]


def test_costs_are_the_counters_and_parts_add_up(tmp_path: Path) -> None:
    text = page(adapted_run(tmp_path / "run", adapted=0.45, seed=0.42))
    backbone = count_backbone(ADAPTED, IMGSZ, 16)
    assert one_row(text, "backbone")[2] == f"{backbone.madds / 1e6:.2f} M"
    assert one_row(text, "backbone")[4] == f"{backbone.params:,}"
    costs = text.partition("## Costs")[2].partition("## ")[0]
    params = [int(cells[4].replace(",", "")) for cells in (one_row(costs, f"stage {s}") for s in range(7))]
    stem, head, whole = (int(one_row(costs, part)[4].replace(",", "")) for part in ("stem", "head", "whole model"))
    assert stem + sum(params) + head == whole


def test_layers_of_seed_and_adapted_stand_beside_each_other(tmp_path: Path) -> None:
    text = page(adapted_run(tmp_path / "run", adapted=0.45, seed=0.42))
    layers = rows_of(text.partition("## Architecture")[2].partition("## ")[0], "stage 3")[0]
    assert layers == ["stage 3", "24", "2", "k3_e6 k3_e6 k3_e6 k3_e6", "k7_e6 k3_e6 k3_e6 k3_e6"]


def test_every_figure_of_the_page_is_there_and_can_be_opened(tmp_path: Path) -> None:
    folder = adapted_run(tmp_path / "run", adapted=0.45, seed=0.42)
    text = write_report(folder).read_text(encoding="utf-8")
    assert text == page(folder)
    named = re.findall(r"\]\((report/.*?\.png)\)", text)
    assert (
        {Path(name).stem for name in named} == figures(folder) == {"architectures", "training", "search", "candidates"}
    )
    for name in named:
        with Image.open(folder / name) as image:
            image.load()
    assert not list(folder.rglob(".tmp-*"))


def test_time_is_summed_over_the_parts_of_a_run(tmp_path: Path) -> None:
    text = page(adapted_run(tmp_path / "run", adapted=0.45, seed=0.42))
    assert one_row(text, "sum")[1:3] == ["50.0 min", "0.833"]  # 600 + 1200 + 1200 s


def test_repeatability_is_printed_with_how_to_read_it(tmp_path: Path) -> None:
    text = page(adapted_run(tmp_path / "run", adapted=0.45, seed=0.42))
    assert "**Repeatability 0.25**: the rank correlation" in text


def test_a_single_search_says_that_repeatability_was_not_measured(tmp_path: Path) -> None:
    folder = run_base(tmp_path / "run", "search")
    add_search(folder, repeatability=None, strategy="alphas")
    assert "Repeatability was not measured" in page(folder)


def test_a_run_that_has_just_begun_has_a_page_and_no_empty_sections(tmp_path: Path) -> None:
    text = page(run_base(tmp_path / "run"))
    assert headings(text) == ["Architecture", "Costs", "Environment", "Commands"]
    assert "**Not finished**: search, train, seed. Go on with `fna adapt --resume" in text
    assert one_row(text, "seed architecture (not trained)")[1] == "–"


def test_a_search_alone_has_no_training(tmp_path: Path) -> None:
    folder = run_base(tmp_path / "run", "search")
    add_search(folder)
    text = page(folder)
    assert headings(text) == ["Architecture", "Costs", "Search", "Time", "Environment", "Commands"]
    assert "Not finished" not in text
    write_report(folder)
    assert figures(folder) == {"architectures", "search", "candidates"}


def test_training_the_seed_alone_is_called_the_baseline(tmp_path: Path) -> None:
    folder = run_base(tmp_path / "run", "train", arch="seed")
    add_training(folder, "train", SEED, 0.4)
    text = page(folder)
    assert "This run fine-tuned the seed architecture itself" in text
    assert "Search" not in headings(text)
    assert "adapted" not in one_row(text, "seed architecture")[0]


def test_an_interrupted_training_is_called_unfinished_and_not_judged(tmp_path: Path) -> None:
    folder = run_base(tmp_path / "run")
    add_search(folder)
    add_training(folder, "train", ADAPTED, 0.44, done=False)
    text = page(folder)
    assert one_row(text, "adapted network (unfinished)")[1:4] == ["44.0", "20", "–"]
    assert "nothing can be said about it yet" in text
    assert "**Not finished**: train, seed." in text


def test_a_run_without_a_baseline_says_that_the_comparison_is_missing(tmp_path: Path) -> None:
    folder = run_base(tmp_path / "run", baseline=False)
    add_search(folder)
    add_training(folder, "train", ADAPTED, 0.44)
    text = page(folder)
    assert "is not known: the seed was not trained in this run" in text
    assert "Not finished" not in text


def test_several_budgets_have_a_column_and_a_verdict_each(tmp_path: Path) -> None:
    folder = adapted_run(tmp_path / "run", adapted=0.45, seed=0.42)
    (folder / "design.json").rename(folder / "design-0.1G.json")
    (folder / "train").rename(folder / "train-0.1G")
    other = with_kernel(SEED, 4, 5)
    write(folder / "design-0.2G.json", design(other).to_json())
    add_training(folder, "train-0.2G", other, 0.41)
    text = page(folder)
    assert "The adapted network (0.1G) beats its seed" in text
    assert "The adapted network (0.2G) does NOT beat its seed" in text
    assert one_row(text, "road") == ["road", "52.0", "55.0", "51.0", "+3.0", "-1.0"]


def test_a_search_that_keeps_the_seed_is_finished_when_that_one_network_is(tmp_path: Path) -> None:
    folder = run_base(tmp_path / "run")
    add_search(folder)
    write(folder / "design.json", design(SEED).to_json())
    add_training(folder, "train", SEED, 0.41)
    text = page(folder)
    assert "Not finished" not in text
    assert "The search kept the seed's own architecture" in text
    assert one_row(text, "seed architecture")[1] == "41.0"
    assert "beats its seed" not in text


def test_trials_are_in_the_report_with_the_one_that_was_chosen(tmp_path: Path) -> None:
    folder = adapted_run(tmp_path / "run", adapted=0.45, seed=0.42)
    arch = Arch(8, (Stage(8, 1, (MBConv(3, 1),)), Stage(16, 2, (MBConv(5, 6), MBConv(3, 6)))))
    better = Finalist.of(design(arch), {"madds": 200_000_000}, -0.004, 0.004)
    untried = Finalist.of(design(ADAPTED), {"madds": 100_000_000})
    verdict = Verdict(
        label="", budget=None, finalists=(untried, better), chosen=1, design=better.design, cost=better.cost
    )
    add_search(folder, verdicts=(verdict,))
    # One standard error below zero: the normal distribution has 84.1 % of its mass on that side.
    assert "| k3_e1 / k5_e6 k3_e6 | 0.2000 G | -0.0040 ± 0.0040 | 84.1 | yes |" in page(folder)
    assert page(folder).count("0.1000 G") == 0, "what was not tried has no row"


def test_detection_has_its_own_metrics_and_words(tmp_path: Path) -> None:
    folder = adapted_run(tmp_path / "run", adapted=0.25, seed=0.22)
    write(folder / "config.yaml", (folder / "config.yaml").read_text().replace("task: seg", "task: det"))
    assert RunFiles(folder).kind.name == "det"
    for training in ("train", "seed"):
        content = json.loads((folder / training / "metrics.json").read_text())
        content["best"] |= {"AP": 0.25, "AP50": 0.4321, "AP_small": None}
        write(folder / training / "metrics.json", content)
    text = page(folder)
    assert "## AP per class" in text
    assert one_row(text, "AP50") == ["AP50", "43.2", "43.2"]
    assert "a class without a box in the validation images" in text


def test_stages_of_a_search_of_alphas_are_drawn(tmp_path: Path) -> None:
    folder = run_base(tmp_path / "run", "search")
    add_search(folder, strategy="alphas")
    header = "step,stages.1.0.k3_e6,stage 1 entropy,stage 1 skip,stage 6 entropy"
    write(folder / "search/0/alphas.csv", f"{header}\r\n9,1.0,0.9,0.2,0.8\r\n19,1.0,0.4,0.7,0.5\r\n")
    assert "![Entropy and skip probability" in page(folder)
    write_report(folder)
    assert (folder / "report/stages.png").is_file()


def test_alphas_are_drawn_as_probabilities_with_the_expected_cost(tmp_path: Path) -> None:
    folder = run_base(tmp_path / "run", "search")
    add_search(folder, strategy="alphas")
    rows = "step,loss,lr,alpha_loss,expected_gmadds\r\n0,2.5,0.1,,\r\n10,,,2.2,0.2\r\n11,2.4,0.1,2.1,0.19\r\n"
    write(folder / "search/0/metrics.csv", rows)
    assert "Probability of each candidate" in page(folder)
    write_report(folder)
    with Image.open(folder / "report/search.png") as image:
        assert image.width > 900  # losses and, beside them, the expected cost


def test_a_class_name_cannot_break_its_table(tmp_path: Path) -> None:
    folder = adapted_run(tmp_path / "run", adapted=0.45, seed=0.42)
    for training in ("train", "seed"):
        path = folder / training / "metrics.json"
        write(path, path.read_text().replace('"road"', '"road | kerb"'))
    assert "| road \\| kerb | 52.0 | 55.0 | +3.0 |" in page(folder)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run folder: it has no config.yaml"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    ("file", "content"), [("train/metrics.json", "{"), ("seed/metrics.csv", "step,loss\r\n0,x\r\n")]
)
def test_a_damaged_file_is_named(tmp_path: Path, file: str, content: str) -> None:
    folder = adapted_run(tmp_path / "run", adapted=0.45, seed=0.42)
    write(folder / file, content)
    with pytest.raises(UserError, match=re.escape(str(folder / file))):
        write_report(folder)


def test_a_report_needs_no_torch_and_no_global_plotting_state(tmp_path: Path) -> None:
    folder = adapted_run(tmp_path / "run", adapted=0.45, seed=0.42)
    code = (
        "import sys; from pathlib import Path; from fna.report import write_report; write_report(Path(sys.argv[1])); "
        "sys.exit(bool({'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
