"""Many run folders -> one section of a page."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from handmade import (
    ADAPTED,
    SEED,
    adapted_run,
    add_search,
    add_training,
    design,
    falling,
    one_row,
    run_base,
    with_kernel,
    write,
)

from fna.arch.arch import Arch
from fna.arch.heads import parse_head
from fna.errors import UserError
from fna.report import replace_section, results


def trained(folder: Path, arch: Arch, random_seed: int, best: float, **config: object) -> Path:
    """A finished `fna train` of one architecture."""
    run_base(folder, "train", seed=random_seed, **config)
    add_training(folder, "train", arch, best, last=best - 0.01)
    return folder


@pytest.fixture
def three_kinds(tmp_path: Path) -> list[Path]:
    """Three random seeds of seed, remapped and random; one of them is a whole `fna adapt`."""
    scores = {"seed": (0.41, 0.43), "adapted": (0.44, 0.46), "random": (0.28, 0.30, 0.32)}
    whole = adapted_run(tmp_path / "whole", adapted=0.45, seed=0.42)
    seeds = [trained(tmp_path / f"seed{n}", SEED, n + 1, s) for n, s in enumerate(scores["seed"])]
    adapted = [trained(tmp_path / f"adapted{n}", ADAPTED, n + 1, s) for n, s in enumerate(scores["adapted"])]
    random = [trained(tmp_path / f"random{n}", ADAPTED, n, s, weights="none") for n, s in enumerate(scores["random"])]
    return [whole, *seeds, *adapted, *random]


def test_each_kind_has_its_mean_and_spread_over_random_seeds(three_kinds: list[Path]) -> None:
    text = results(three_kinds, "Streets")
    assert text.startswith("### Streets\n")
    # Means and sample deviations by hand: 42 41 43, 45 44 46, 28 30 32; last is a point lower, but not in `whole`.
    assert one_row(text, "seed architecture")[1:5] == ["3", "42.0 ± 1.0", "42.0, 41.0, 43.0", "41.3"]
    assert one_row(text, "adapted architecture (remapped)")[1:4] == ["3", "45.0 ± 1.0", "45.0, 44.0, 46.0"]
    assert one_row(text, "adapted architecture (random weights)")[1:4] == ["3", "30.0 ± 2.0", "28.0, 30.0, 32.0"]
    assert one_row(text, "seed architecture")[-1] == "20.0"


def test_differences_are_taken_pair_by_pair_where_the_random_seeds_are_the_same(three_kinds: list[Path]) -> None:
    text = results(three_kinds)
    # 45 - 42, 44 - 41, 46 - 43; 45 - 28, 44 - 30, 46 - 32 with a deviation of sqrt(3), so an error of 1.
    seed = "(remapped) - seed architecture: **+3.0** points (by random seed +3.0, +3.0, +3.0; standard error 0.0)."
    assert seed in text
    random = "(random weights): **+15.0** points (by random seed +17.0, +14.0, +14.0; standard error 1.0)."
    assert random in text
    assert "NOT" not in text


def test_differences_of_other_random_seeds_are_those_of_independent_samples(tmp_path: Path) -> None:
    seeds = [trained(tmp_path / f"seed{n}", SEED, n, score) for n, score in enumerate((0.42, 0.41, 0.43))]
    adapted = [trained(tmp_path / f"adapted{n}", ADAPTED, n + 5, score) for n, score in enumerate((0.45, 0.44, 0.46))]
    # sqrt(1/3 + 1/3) = 0.816
    assert "(remapped) - seed architecture: **+3.0** points (standard error 0.8)." in results([*seeds, *adapted])


def test_of_a_score_that_should_fall_the_lower_one_is_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lower = results([falling(adapted_run(tmp_path / "lower", adapted=0.40, seed=0.42), monkeypatch)])
    assert "**-0.02** (standard error unknown: one random seed)." in lower
    assert "NOT" not in lower
    assert "Val AbsRel (lower is better), mean" in lower
    higher = results([falling(adapted_run(tmp_path / "higher", adapted=0.44, seed=0.42), monkeypatch)])
    assert "It does NOT beat its seed" in higher


def test_a_worse_network_is_called_worse(tmp_path: Path) -> None:
    text = results([adapted_run(tmp_path / "run", adapted=0.40, seed=0.42)])
    assert "**-2.0** points (standard error unknown: one random seed). It does NOT beat its seed" in text


def test_search_time_and_repeatability_stand_beside_the_scores(three_kinds: list[Path]) -> None:
    text = results(three_kinds)
    assert "10.0 min in all, 0.50 times one fine-tuning; rank correlation between them: 0.25." in text


def test_the_brief_form_keeps_the_scores_and_leaves_commands_out(three_kinds: list[Path]) -> None:
    whole, brief = results(three_kinds), results(three_kinds, brief=True)
    table = [line for line in whole.splitlines() if line.startswith("| ")]
    assert table
    assert all(line in brief for line in table)
    assert "```" in whole
    assert "```" not in brief


def test_no_absolute_path_is_printed(three_kinds: list[Path]) -> None:
    text = results(three_kinds)
    assert "fna adapt data/streets --out " in text
    assert "--weights models/seed.safetensors" in text
    for private in ("/home", "/srv", str(three_kinds[0].parent)):
        assert private not in text
    assert "machine: Example CPU, 2 cores, torch threads: 2, torch 2.15.0." in text


@pytest.mark.parametrize(
    ("typed", "printed"),
    [
        ("fna check /data", "fna check data"),
        ("fna check /a/b/c/d/", "fna check c/d"),
        ("fna train ../shared/data --out=/a/b/run", "fna train ../shared/data --out=b/run"),
        ("fna train ~/x/y/z --imgsz 96x128", "fna train y/z --imgsz 96x128"),
        (r"fna train C:\users\me\data", "fna train me/data"),
        ("fna adapt a/b/c --weights timm:mobilenetv2_100", "fna adapt a/b/c --weights timm:mobilenetv2_100"),
    ],
)
def test_absolute_paths_keep_two_components(tmp_path: Path, typed: str, printed: str) -> None:
    folder = adapted_run(tmp_path / "run", adapted=0.45, seed=0.42)
    environment = json.loads((folder / "env.json").read_text())
    write(folder / "env.json", environment | {"command": typed})
    assert f"```sh\n{printed}\n```" in results([folder])


def test_a_derived_architecture_equal_to_the_seeds_counts_as_the_seed_and_only_once(tmp_path: Path) -> None:
    folder = adapted_run(tmp_path / "run", adapted=0.42, seed=0.42)
    write(folder / "train/design.json", design(SEED).to_json())
    text = results([folder])
    assert one_row(text, "seed architecture")[1] == "1"
    assert "`run/train` repeats `run/seed`" in text


def test_the_same_folder_twice_is_one_random_seed(tmp_path: Path) -> None:
    folder = adapted_run(tmp_path / "run", adapted=0.45, seed=0.42)
    assert results([folder, tmp_path / "." / "run"]) == results([folder])


def test_other_architectures_have_a_letter_and_their_own_row(tmp_path: Path) -> None:
    folders = [
        adapted_run(tmp_path / "run", adapted=0.45, seed=0.42),
        trained(tmp_path / "other", with_kernel(SEED, 2, 5), 0, 0.43),
    ]
    text = results(folders)
    assert one_row(text, "adapted architecture A (remapped)")[2] == "45.0"
    assert one_row(text, "adapted architecture B (remapped)")[2] == "43.0"
    assert "mean of 2 adapted architectures - seed architecture: **+2.0** points" in text


def test_an_unfinished_training_is_left_out_and_named(tmp_path: Path) -> None:
    folder = adapted_run(tmp_path / "run", adapted=0.45, seed=0.42)
    (folder / "train/metrics.json").unlink()
    text = results([folder])
    assert "`run/train` is not finished and left out." in text
    assert "adapted architecture" not in text


def test_another_schedule_is_refused_by_its_key(tmp_path: Path) -> None:
    one = trained(tmp_path / "one", SEED, 0, 0.42)
    two = trained(tmp_path / "two", ADAPTED, 0, 0.45, adapt={"steps": 80, "batch": 4, "lr": 0.02})
    with pytest.raises(UserError, match=r"adapt\.steps is 40 in .*one and 80 in .*two"):
        results([one, two])


def test_other_images_are_refused(tmp_path: Path) -> None:
    one, two = trained(tmp_path / "one", SEED, 0, 0.42), trained(tmp_path / "two", ADAPTED, 0, 0.45)
    data = json.loads((two / "dataset.json").read_text())
    write(two / "dataset.json", data | {"splits": {"train": ["a", "b", "c"], "val": ["e"]}})
    with pytest.raises(UserError, match="the val split is"):
        results([one, two])


def test_another_seed_architecture_is_refused_unless_it_stands_for_random_weights(tmp_path: Path) -> None:
    one, two = trained(tmp_path / "one", SEED, 0, 0.42), trained(tmp_path / "two", ADAPTED, 0, 0.45, weights="none")
    write(two / "seed-design.json", design(with_kernel(SEED, 1, 5)).to_json())
    assert one_row(results([one, two]), "adapted architecture (random weights)")[1] == "1"
    three = trained(tmp_path / "three", ADAPTED, 0, 0.45)
    write(three / "seed-design.json", design(with_kernel(SEED, 1, 5)).to_json())
    with pytest.raises(UserError, match="different seed architectures"):
        results([one, three])


def test_folders_without_a_finished_training_are_refused(tmp_path: Path) -> None:
    folder = run_base(tmp_path / "run", "search")
    add_search(folder)
    with pytest.raises(UserError, match="has a finished fine-tuning"):
        results([folder])


def test_only_the_text_between_the_markers_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_bytes(
        b"# A\r\n<!-- results:a -->\nold\n<!-- /results:a -->\r\n<!-- results:b -->\nkept\n<!-- /results:b -->\n"
    )
    replace_section(file, "a", "\nnew ±\n")
    after = "# A\r\n<!-- results:a -->\nnew ±\n<!-- /results:a -->\r\n<!-- results:b -->\nkept\n<!-- /results:b -->\n"
    assert file.read_bytes().decode() == after
    replace_section(file, "a", "new ±")
    assert file.read_bytes().decode() == after
    assert [path.name for path in tmp_path.iterdir()] == ["page.md"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "<!-- results:a -->",
        "<!-- /results:a --> <!-- results:a -->",
        "<!-- results:a --> <!-- results:a --> <!-- /results:a -->",
        "<!-- results:b --> <!-- /results:b -->",
    ],
)
def test_a_page_without_each_marker_once_is_refused_and_left_alone(tmp_path: Path, content: str) -> None:
    file = tmp_path / "page.md"
    file.write_text(content)
    with pytest.raises(UserError, match="must have the markers <!-- results:a -->"):
        replace_section(file, "a", "text")
    assert file.read_text() == content


def test_designs_with_other_heads_are_rows_of_their_own_and_compared_with_the_first(tmp_path: Path) -> None:
    folders = []
    for head, scores in (("deeplabv3", (0.40, 0.42)), ("fpn(width=64)", (0.50, 0.54))):
        for random_seed, score in enumerate(scores):
            folder = run_base(tmp_path / f"{head[:3]}-{random_seed}", "train", head=head, seed=random_seed)
            add_training(folder, "train", SEED, score)
            write(folder / "train/design.json", replace(design(SEED), head=parse_head(head)).to_json())
            write(
                folder / "train/cost.json", {"madds": 400_000_000 if head == "deeplabv3" else 300_000_000, "params": 1}
            )
            folders.append(folder)
    text = results(folders)
    assert "| seed architecture, deeplabv3, OS 16 | 2 | 41.0 ± 1.4 | 40.0, 42.0 |" in text
    assert "| seed architecture, fpn(width=64), OS 16 | 2 | 52.0 ± 2.8 | 50.0, 54.0 |" in text
    # Pairs of random seeds: +10 and +12, so 11 with a standard error of sqrt(2) / sqrt(2) = 1.
    assert (
        "- seed architecture, fpn(width=64), OS 16 - seed architecture, deeplabv3, OS 16: **+11.0** points "
        "(by random seed +10.0, +12.0; standard error 1.0). At 75 % of its MAdds."
    ) in text
    assert "does NOT beat" not in text
