"""Networks that a search derives keep every limit, or it is said which one cannot be kept and what the least is."""

import shutil
from pathlib import Path

import pytest

from drawn import TINY, configured, draw_data
from fna import jobs, pipeline
from fna.arch.design import Design
from fna.cost.budget import Budget
from fna.cost.measure import MEASURES, Measure, cost_of
from fna.errors import UserError
from fna.search.result import read_result


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search of whole stages, without trials."""
    data = draw_data(tmp_path_factory.mktemp("data") / "scenes")
    config = configured(TINY, search={"swap": "stage", "replicas": 1}, budget=["none"])
    return pipeline.execute("search", jobs.start("search", data, tmp_path_factory.mktemp("runs") / "a", config))


@pytest.fixture
def run(searched: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(searched, tmp_path / "run"))


def test_a_network_keeps_limits_of_several_measures(run: Path) -> None:
    free = cost_of(Design.load(run / "design.json"), 3)
    text = f"{free['madds'] - 1}+params={free['params'] - 1}"
    pipeline.derive_again(run, text)
    cost = cost_of(Design.load(run / f"design-{text}.json"), 3)
    assert cost["madds"] < free["madds"]
    assert cost["params"] < free["params"]
    result = read_result(run)
    assert result is not None
    assert [(verdict.label, verdict.budget) for verdict in result.verdicts] == [
        ("", None),
        (f"-{text}", Budget.parse(text).as_dict()),
    ]
    assert result.verdicts[1].cost == cost.as_dict()


def test_a_limit_below_the_smallest_network_says_which_limit_and_the_least(run: Path) -> None:
    with pytest.raises(
        UserError,
        match=r"budget of 0\.01 M parameters is below the smallest network of this space, 0\.\d\d M parameters",
    ):
        pipeline.derive_again(run, "params=10K")


def test_a_measured_limit_is_kept_by_the_network_that_is_returned(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def layers(design: Design, classes: int) -> float:
        return float(sum(len(stage.layers) for stage in design.arch.stages))  # type: ignore[union-attr]

    monkeypatch.setitem(MEASURES, "latency", Measure("latency", "ms", layers, target="a clock"))
    own = layers(Design.load(run / "design.json"), 3)
    pipeline.derive_again(run, f"{own:.0f}ms")
    assert Design.load(run / f"design-{own:.0f}ms.json") == Design.load(run / "design.json")
    result = read_result(run)
    assert result is not None
    assert result.verdicts[-1].cost["latency"] == own
    with pytest.raises(UserError, match=rf"none of 1 proposed networks .* {own:.2f} ms exceed the limit of 1\.00 ms"):
        pipeline.derive_again(run, "1ms")
