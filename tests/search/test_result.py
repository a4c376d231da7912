"""One schema of search results: read back to an equal value, or refused whole."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from fna.arch.decision import Decision
from fna.arch.design import Design
from fna.arch.heads import parse_head
from fna.arch.zoo import mobilenet_v2
from fna.errors import UserError
from fna.report.files import RunFiles
from fna.search.result import FILE, Finalist, SearchResult, Tried, Verdict, design_data, read_result, write_result
from searched import result_of

DESIGN = Design("seed", mobilenet_v2(0.35), parse_head("fpn(width=64)"), 32, (96, 128))
COST = {"params": 400_000, "madds": 59_000_000}
DECISIONS = [Decision("stages.1", ("k3_e6", "k5_e6", "k7_e6"), 0, ((1,), (2,), (3,))), Decision("head", ("a", "b"), 1)]


def verdict(label: str, difference: float | None = -0.02) -> Verdict:
    finalist = Finalist.of(DESIGN, COST, difference, None if difference is None else 0.01)
    limits = {"madds": 60_000_000}
    return Verdict(label=label, budget=limits, finalists=(finalist,), chosen=0, design=finalist.design, cost=COST)


def tried(random_seed: int) -> Tried:
    return Tried(
        design=design_data(DESIGN),
        cost=COST,
        steps=150,
        random_seed=random_seed,
        loss_difference=-0.1 / 3,
        score=None,
    )


def a_search() -> SearchResult:
    found = result_of(DECISIONS, [[[0.0, 0.1, -0.7], [0.2, 0.0]], [[0.0, 1 / 3, -0.4], [0.1, 0.0]]], repeatability=0.4)
    return found.with_verdict(verdict("-0.5G"), [tried(0), tried(1)], 12.5)


def test_a_written_result_is_read_back_to_an_equal_value(tmp_path: Path) -> None:
    assert read_result(tmp_path) is None
    write_result(tmp_path, a_search())
    assert read_result(tmp_path) == a_search()
    assert a_search().space == tuple(DECISIONS)
    assert Design.from_json(json.dumps(a_search().verdicts[0].design)) == DESIGN


def test_the_size_is_that_of_the_space_of_picks() -> None:
    assert a_search().size_log10 == pytest.approx(math.log10(3 * 2))


def test_the_mean_has_its_standard_error() -> None:
    worth = a_search().worth
    assert worth.mean[0] == pytest.approx((0, (0.1 + 1 / 3) / 2, -0.55))
    assert worth.standard_errors is not None
    # Of two values it is half their difference; the seed's option is the reference and has none.
    assert worth.standard_errors[0] == pytest.approx((0, (1 / 3 - 0.1) / 2, 0.15))
    assert result_of(DECISIONS, [[[0.0, 0.1, -0.7], [0.2, 0.0]]]).worth.standard_errors is None


def test_a_budget_that_is_derived_again_replaces_its_verdict_and_repeats_nothing() -> None:
    again = a_search().with_verdict(verdict("-0.6G"), [tried(1), tried(2)], 20.0)
    again = again.with_verdict(verdict("-0.5G", None), [], 21.0)
    assert [known.label for known in again.verdicts] == ["-0.6G", "-0.5G"]
    assert again.verdicts[1].finalists[0].difference is None
    assert [one.random_seed for one in again.tried] == [0, 1, 2]
    assert again.wall_seconds == 21.0


def test_the_probability_to_be_better_is_that_of_the_normal_distribution() -> None:
    for deviations, probability in ((0.0, 0.5), (-1.0, 0.8413), (1.6449, 0.05)):
        found = Finalist.of(DESIGN, COST, deviations * 0.01, 0.01)
        assert found.probability_better == pytest.approx(probability, abs=1e-4)
    assert Finalist.of(DESIGN, COST, -0.1, math.inf).probability_better is None
    assert Finalist.of(DESIGN, COST, 0.0, 0.0).probability_better is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": None}, "has format None, this version reads 'fna-search-1': search again"),
        ({"format": "fna-search-2"}, "has format 'fna-search-2'"),
        ({"strategy": "tarot"}, "unknown strategy 'tarot'"),
        ({"wall_seconds": "12"}, "wall_seconds: Input should be a valid number"),
        ({"picks": []}, "picks: Extra inputs are not permitted"),
        ({"worth": None}, "worth: Input should be"),
    ],
)
def test_what_is_no_result_of_this_version_is_refused_whole(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    write_result(tmp_path, a_search())
    data = json.loads((tmp_path / FILE).read_text()) | change
    (tmp_path / FILE).write_text(json.dumps({key: value for key, value in data.items() if value is not None}))
    expected = "worth: Field required" if "worth" in change else words
    with pytest.raises(UserError, match=f"result.json.*{expected}"):
        read_result(tmp_path)


def test_a_report_of_a_search_of_an_earlier_version_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("task: seg\n")
    (tmp_path / "search").mkdir()
    (tmp_path / FILE).write_text(json.dumps({"method": "swaps", "layers": [], "repeatability": 0.78}))
    with pytest.raises(UserError, match="search again into a new folder, or move the file away"):
        _ = RunFiles(tmp_path).search
