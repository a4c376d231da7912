"""Networks that a search derives keep every limit, or it is said which one cannot be kept and what the least is."""

import shutil
from pathlib import Path

import pytest

from drawn import TINY, configured, draw_data
from fna import pipeline
from fna.arch.arch import Arch
from fna.cost.budget import Budget
from fna.cost.measure import MEASURES, Measure
from fna.errors import UserError
from fna.search.result import read_result


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search of whole stages, without trials."""
    data = draw_data(tmp_path_factory.mktemp("data") / "scenes")
    config = configured(TINY, search={"swap": "stage", "replicas": 1}, budget=["none"])
    return pipeline.execute("search", pipeline.start("search", data, tmp_path_factory.mktemp("runs") / "a", config))


@pytest.fixture
def run(searched: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(searched, tmp_path / "run"))


def test_a_network_keeps_limits_of_several_measures(run: Path) -> None:
    job = pipeline.reopen(run)[1]
    free = job.cost(Arch.load(run / "arch.json"), Budget({}))
    text = f"{int(0.97 * free['madds'])}+params={int(0.95 * free['params'])}"
    pipeline.derive_again(run, text)
    cost = job.cost(Arch.load(run / f"arch-{text}.json"), Budget({}))
    assert cost["madds"] <= 0.97 * free["madds"]
    assert cost["params"] <= 0.95 * free["params"]
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
    def layers(arch: Arch, *_: object) -> float:
        return float(sum(len(stage.layers) for stage in arch.stages))

    monkeypatch.setitem(MEASURES, "latency", Measure("latency", "ms", layers, target="a clock"))
    own = layers(Arch.load(run / "arch.json"))
    pipeline.derive_again(run, f"{own:.0f}ms")
    assert Arch.load(run / f"arch-{own:.0f}ms.json") == Arch.load(run / "arch.json")
    result = read_result(run)
    assert result is not None
    assert result.verdicts[-1].cost["latency"] == own
    with pytest.raises(UserError, match=rf"none of 1 proposed networks .* {own:.2f} ms exceed the limit of 1\.00 ms"):
        pipeline.derive_again(run, "1ms")
