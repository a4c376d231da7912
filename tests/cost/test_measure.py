"""Costs and budgets are values: written as people write them, and held by every measure that is limited."""

from dataclasses import replace

import pytest

from fna.arch.design import Design
from fna.arch.heads import describe, parse_head
from fna.arch.space import expand
from fna.arch.zoo import mobilenet_v2
from fna.cost.budget import Budget
from fna.cost.count import count_model
from fna.cost.measure import MADDS, MEASURES, PARAMS, Cost, Measure, cost_of, decision_costs
from fna.errors import UserError

IMGSZ = (64, 96)
DESIGN = Design("seed", mobilenet_v2(0.35), parse_head("deeplabv3"), 16, IMGSZ)


@pytest.fixture
def milliseconds(monkeypatch: pytest.MonkeyPatch) -> Measure:
    """A measured one whose target takes a millisecond for a layer."""

    def layers(design: Design, classes: int) -> float:
        return float(sum(len(stage.layers) for stage in design.arch.stages))  # type: ignore[union-attr]

    fake = Measure("latency", "ms", layers, target="a clock")
    monkeypatch.setitem(MEASURES, fake.name, fake)
    return fake


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("0.24G", {"madds": 240_000_000}),
        ("240M", {"madds": 240_000_000}),
        ("1.5b", {"madds": 1_500_000_000}),
        ("7", {"madds": 7}),
        ("1e6", {"madds": 1_000_000}),
        ("params=2M", {"params": 2_000_000}),
        (" 0.5G + params = 0.4m ", {"madds": 500_000_000, "params": 400_000}),
        ("none", {}),
    ],
)
def test_a_budget_is_limits_by_measure(text: str, limits: dict[str, int]) -> None:
    assert Budget.parse(text).as_dict() == limits


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "'' is no amount of MAdds: write a number above zero, alone or as 1K, 1M, 1G"),
        ("G", "is no amount of MAdds"),
        ("1T", "'1T' is no amount of MAdds"),
        ("-3M", "'-3M' is no amount of MAdds"),
        ("nan", "is no amount"),
        ("0", "'0' must be at least 1"),
        ("1e400", "'1e400' is larger than any number"),
        ("params=x", "'x' is no amount of parameters"),
        ("pramas=2M", "unknown measure 'pramas'; did you mean 'params'"),
        ("0.5G+0.6G", "limits madds twice"),
        ("0.5G+none", "'none' is no amount"),
        ("15ms", "milliseconds are not measured by this version"),
    ],
)
def test_a_wrong_budget_is_refused_with_what_came_and_what_is_allowed(text: str, words: str) -> None:
    with pytest.raises(UserError, match="budget") as caught:
        Budget.parse(text)
    assert words in str(caught.value)


def test_a_budget_allows_what_exceeds_no_limit_and_says_which_one_is() -> None:
    budget = Budget.parse("0.5G+params=2M")
    assert budget.allows(Cost({"madds": 500_000_000, "params": 2_000_000}))
    assert not budget.allows(Cost({"madds": 500_000_001, "params": 1}))
    assert budget.exceeded(Cost({"madds": 1, "params": 2_100_000})) == [
        "2.10 M parameters exceed the limit of 2.00 M parameters"
    ]
    assert str(budget) == "0.5000 G MAdds and 2.00 M parameters"
    assert Budget.parse("none").allows(Cost({}))
    with pytest.raises(UserError, match="memory is not known of this network; limit params"):
        Budget.parse("memory=1M").allows(Cost({"params": 1}))


def test_a_cost_has_the_exact_measures_of_the_whole_network() -> None:
    cost, count = cost_of(DESIGN, 5), count_model(DESIGN.arch, describe("deeplabv3", DESIGN.arch, 5, 16), IMGSZ, 16)
    assert (cost["madds"], cost["params"]) == (count.madds, count.params)
    assert str(Cost({"params": 730_000, "madds": 565_800_000})) == "0.73 M parameters, 0.5658 G MAdds"


def test_what_the_options_cost_is_what_whole_networks_differ_by() -> None:
    seed = mobilenet_v2(0.35)
    space = expand(seed)
    path = space.path_of(seed)
    decisions = space.layer_decisions(path)
    rows = decision_costs(space, decisions, DESIGN, 5)
    own = cost_of(DESIGN, 5)
    for measure in (MADDS, PARAMS):
        for d in (0, 7, 24):
            for option in range(len(decisions[d].options)):
                other = cost_of(replace(DESIGN, arch=space.pick((*path[:d], option, *path[d + 1 :]))), 5)
                difference = rows[measure.name][d][option] - rows[measure.name][d][path[d]]
                assert other[measure.name] - own[measure.name] == difference


def test_a_measured_limit_is_written_in_its_unit_and_only_measured_where_it_is_asked(milliseconds: Measure) -> None:
    budget = Budget.parse("0.5G+15ms")
    assert budget.as_dict() == {"madds": 500_000_000, "latency": 15.0}
    assert budget.measured == ("latency",)
    assert Budget.parse("0.25ms").as_dict() == Budget.parse("latency=0.25").as_dict() == {"latency": 0.25}
    assert "latency" not in cost_of(DESIGN, 5).values
    cost = cost_of(DESIGN, 5, budget.measured)
    assert cost["latency"] == 17, "MobileNetV2 has 17 layers"
    assert budget.exceeded(cost) == ["17.00 ms exceed the limit of 15.00 ms"]
    assert Budget.parse("17ms").allows(cost)
