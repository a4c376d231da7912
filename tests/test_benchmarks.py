"""The benchmarks: statistics on clocks that are known, tables by hand, and every benchmark on tiny shapes."""

import gc
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from time import sleep
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric

from alphas import gradients_of, spread_alphas
from benchmarks import __main__ as command
from benchmarks import growth, paper, shared_machine
from benchmarks.alpha_step import one_by_one, ours, start
from benchmarks.cases import Bench, opened, paper_cases, small_cases
from benchmarks.memory import largest
from benchmarks.paper_hours import hours_rows, printed_hours
from benchmarks.peak import peak_memory
from benchmarks.rows import Finding, Quartiles, markdown, measured, single
from benchmarks.settings import Settings
from benchmarks.suite import BENCHMARKS, EXTRA
from benchmarks.timing import Pace, Stopwatch, compare, compared, quartiles, race
from benchmarks.utilisation import mixture_flops, training_flops
from benchmarks.weight_step import ordinary_network
from fna.cost.count import candidate_madds
from fna.nn.supernet import SuperNet
from fna.search.search import make_space
from fna.study.cost import TABLE_2, TABLE_4
from fna.tasks.task import Batch
from study.cost_runs import write_run

TINY = Settings(size="tiny")
MIB = 2**20


class FakeTime:
    """A clock that only the contestants move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def __call__(self) -> float:
        return self.now

    def contestant(self, name: str, *seconds: float) -> Callable[[], None]:
        """Takes so many seconds at its calls, in turn."""
        durations = iter(seconds)

        def call() -> None:
            self.calls.append(name)
            self.now += next(durations)

        return call


def test_ratios_are_taken_in_pairs_and_the_order_turns_round() -> None:
    time = FakeTime()
    # The machine is twice as slow in the second round and ten times in the third: no ratio sees it.
    ours, theirs = time.contestant("a", 9, 1, 2, 10, 3), time.contestant("b", 9, 2, 4, 20, 3)
    found = compare(ours, theirs, rounds=4, warmup=1, clock=time)
    assert time.calls == ["a", "b", *"ab", *"ba", *"ab", *"ba"]
    # Ratios 0.5, 0.5, 0.5, 1; quartiles between the values at 0.75, 1.5 and 2.25 steps from the first.
    assert found.ratio == Quartiles(0.5, 0.5, 0.625)
    assert found.contestant == Quartiles(1.75, 2.5, 4.75)  # of 1, 2, 3, 10
    assert found.reference == Quartiles(2.75, 3.5, 8.0)  # of 2, 3, 4, 20
    assert found.rounds == 4


def test_a_round_is_not_begun_when_the_time_is_spent_but_two_are_always_made() -> None:
    time = FakeTime()
    contestants = {"a": time.contestant("a", *[3.0] * 9), "b": time.contestant("b", *[3.0] * 9)}
    assert len(race(contestants, Pace(9, 0, 10.0), Stopwatch(clock=time)).seconds["a"]) == 2
    assert len(race(contestants, Pace(9, 0, 13.0), Stopwatch(clock=time)).seconds["a"]) == 3
    assert len(race(contestants, Pace(9, 0, 0.0), Stopwatch(clock=time)).seconds["a"]) == 2


def test_a_device_is_waited_for_once_after_all_calls() -> None:
    time = FakeTime()
    watch = Stopwatch(time.contestant("wait", 6.0), calls=3, clock=time)
    assert watch.seconds(time.contestant("step", 1, 2, 3)) == 4.0
    assert time.calls == ["step", "step", "step", "wait"]


def test_garbage_is_collected_before_and_after_but_not_during() -> None:
    seen: list[bool] = []
    race({"a": lambda: seen.append(gc.isenabled())}, Pace(2, 1))
    assert seen == [False] * 3
    assert gc.isenabled()


def test_quartiles_of_few_values() -> None:
    assert quartiles([5.0]) == Quartiles(5.0, 5.0, 5.0)
    assert quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == Quartiles(2.0, 3.0, 4.0)


def test_the_table_says_what_is_wanted_and_whether_it_is_reached() -> None:
    time = FakeTime()
    found = compare(time.contestant("a", 1.0, 1.08), time.contestant("b", 1.0, 1.0), 2, 0, clock=time)
    rows = [
        compared("weight step", "small", "path", "network", found, 1.05, "four paths."),
        compared("weight step", "large", "path", "network", found, 1.02, "four paths."),
        measured("memory", "small", "alpha step", single(1234.5), "MiB"),
        measured("start", "help", "fna --help", Quartiles(0.4, 0.6, 0.7), "s", 0.5),
    ]
    assert markdown(rows).splitlines() == [
        "| benchmark | case | ours | reference | ratio | wanted | reached |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| weight step | small | path: 1.04 s | network: 1 s | 1.04 (1.02 to 1.06) | at most 1.05 | yes |",
        "| weight step | large | path: 1.04 s | network: 1 s | 1.04 (1.02 to 1.06) | at most 1.02 | no |",
        "| memory | small | alpha step: 1,234 MiB | – | – | – | – |",
        "| start | help | fna --help: 0.6 s | – | – | at most 0.5 s | no |",
        "",
        "- weight step: four paths.",
    ]


def test_rates_beside_others_are_steps_over_seconds_and_without_a_reference_there_is_no_ratio() -> None:
    counts = {"ours": [40, 42, 44], "beside": [20, 21, 11], "default": [8, 0, 0]}
    found = shared_machine.row("case", counts, ("fna", "beside"), ("alone", "ours"), 4.0, 0.25)
    assert (found.contestant_value.median, found.reference_value) == (5.0, Quartiles(10.25, 10.5, 10.75))
    assert found.ratio == Quartiles(0.375, 0.5, 0.5)
    assert (found.wanted, found.reached, found.unit) == ("at least 0.25", True, "steps/s")
    stopped = shared_machine.row("case", counts, ("fna", "ours"), ("default", "default"), 4.0, 0.95)
    assert (stopped.ratio, stopped.reached) == (None, None)


def test_steps_are_counted_only_while_a_process_runs() -> None:
    with shared_machine.begun("import os, time\nwhile True: os.write(1, b'.'); time.sleep(0.01)") as process:
        shared_machine.wait_until_ready(process)
        process.written()
        sleep(0.3)
        assert process.written() == 0
        (steps,) = shared_machine.count({"it": [process]}, 1, 1.0)["it"]
        assert 1 <= steps <= 101
    assert process.process.poll() is not None


def fill(mebibytes: int) -> None:
    """Touch so much memory, and let it go."""
    torch.ones(mebibytes * MIB // 4)


def test_a_peak_is_what_the_function_had_and_not_what_this_process_has() -> None:
    held = torch.ones(512 * MIB // 4)  # here, and no part of what the other process needs
    assert 200 <= peak_memory(fill, 200) / MIB <= 260
    assert len(held)


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 4, 5, 7, 8, 9, 100, 127, 128, 129, 500])
@pytest.mark.parametrize("smallest", [1, 2])
def test_the_largest_batch_by_doubling_and_halving(limit: int, smallest: int) -> None:
    tried: list[int] = []

    def fits(batch: int) -> bool:
        tried.append(batch)
        return batch <= limit

    assert largest(fits, smallest, most=200) == (min(limit, 200) if limit >= smallest else 0)
    assert len(tried) == len(set(tried)) <= 16


@pytest.mark.parametrize("limit", [16, 17, 40, 63, 64, 65, 100])
@pytest.mark.parametrize("guess", [0, 3, 16, 40, 64, 200])
def test_the_largest_batch_from_one_that_fits_and_a_guess(limit: int, guess: int) -> None:
    tried: list[int] = []

    def fits(batch: int) -> bool:
        tried.append(batch)
        return batch <= limit

    assert largest(fits, 1, known=16, guess=guess, most=128) == limit
    assert tried[0] == (guess if 16 < guess <= 128 else 32)
    assert len(tried) <= 9, "three doublings, and 64 halved six times"


def test_a_late_search_for_the_largest_batch_gives_what_is_known_to_fit() -> None:
    calls = iter([False, False, True, True])
    assert largest(lambda batch: batch <= 100, 1, lambda: next(calls)) == 4


def test_exponents_of_known_laws() -> None:
    assert growth.exponent({1: 3.0, 2: 6.0, 4: 12.0}) == pytest.approx(1.0)
    assert growth.exponent({2: 5.0, 8: 5.0 * 4**1.5, 32: 5.0 * 16**1.5}) == pytest.approx(1.5)
    assert [growth.verdict(p) for p in (0.05, 0.5, 0.95, 1.09, 1.2)] == [
        "constant",
        "less than linear",
        "linear",
        "linear",
        "more than linear",
    ]


def smooth_losses(outputs: Any, batch: Batch) -> dict[str, torch.Tensor]:
    """In place of SSD's, whose choice of hard negatives is another one at the slightest rounding.

    Of the 8 x 8 cells with 4 boxes and the 4 x 4 with 6: norms over maps of one cell are too steep for rounded numbers.
    """
    logits, boxes = (outputs[name][:, : 8 * 8 * 4 + 4 * 4 * 6] for name in ("cls_logits", "bbox_regression"))
    return {"classification": logits.softmax(2)[..., 0].square().mean(), "bbox_regression": boxes.tanh().mean()}


@pytest.fixture
def double() -> Iterator[None]:
    """Everything that is made has double precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(("case", "share"), [(0, False), (1, False), (0, True), (1, True)])
def test_alpha_gradients_are_those_of_the_straightforward_form(
    case: int, share: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Norms over few images and cells are steep: in single precision, rounding alone is worth up to a percent.
    with opened(small_cases(TINY, share=share, norm="seed", batch=8)[case], TINY) as bench:
        bench.run.engine.fabric = Fabric(accelerator="cpu", devices=1, precision="64-true")
        if bench.config.task == "det":
            monkeypatch.setattr(bench.task, "losses", smooth_losses)
        network, batch = start(bench), bench.search_batch()
        batch["image"] = batch["image"].double()
        spread_alphas(network.backbone)
        # References first: their weights are copies, and ours may not move.
        expected = [gradients_of(*one_by_one(bench, network, batch, everything)) for everything in (True, False)]
        found = gradients_of(*ours(bench, network, batch))
    for reference in expected:
        assert len(found) == len(reference) > 10
        for mine, theirs in zip(found, reference, strict=True):
            assert float((mine - theirs).norm() / theirs.norm()) < 1e-4


def test_the_reference_of_a_weight_step_is_that_path_with_its_weights() -> None:
    with opened(small_cases(TINY, share=False)[0], TINY) as bench:
        network, images = start(bench).train(), bench.search_batch()["image"]
        supernet = network.backbone
        assert isinstance(supernet, SuperNet)
        path = tuple(len(candidates) - 2 for _, candidates in supernet.space.searched)
        ordinary = ordinary_network(bench, network, path).train()
        torch.manual_seed(0)  # of the dropout
        expected = ordinary(images)
        torch.manual_seed(0)
        torch.testing.assert_close(network(images, path), expected)


def test_operations_of_the_papers_seed_are_six_a_multiply_add_and_mixtures_count_every_candidate() -> None:
    case = paper_cases(Settings())[0]
    with opened(case, Settings()) as bench:
        # MobileNetV2 with DeepLabv3 at 1024x2048 has 24.52 G multiply-adds (paper, Table 1).
        assert training_flops(bench, bench.seed.arch, (1024, 2048), 2) == pytest.approx(12 * 24.52e9, rel=1e-3)
        assert all_candidates_by_paths(bench) == pytest.approx(mixture_flops(bench, space_of(bench), (321, 321), 1))


def space_of(bench: Bench):  # type: ignore[no-untyped-def]
    return make_space(bench.task, bench.seed, bench.config.search)


def all_candidates_by_paths(bench: Bench) -> float:
    """A network of the first candidates, and what every other candidate costs more than nothing."""
    space = space_of(bench)
    costs = candidate_madds(space, (321, 321), 16)
    first = training_flops(bench, space.pick((0,) * len(costs)), (321, 321), 1) / 6
    return 4 * (first + sum(cost for row in costs for cost in row[1:]))


def test_hours_are_beside_the_papers() -> None:
    assert printed_hours(TABLE_2, "FNA", 1) == 1.4
    assert printed_hours(TABLE_4, "FNA (SSDLite)", 5) == 15 * 24
    case = paper_cases(Settings())[0]
    search, adapt = hours_rows(case, {kind: (8, 0.5) for kind in ("weight", "alpha", "refresh", "train")}, Settings())
    # Steps of batch 16 take 1 s: 80 epochs of 148 weight steps and 50 of alpha steps; 2000 and 100,000 batches.
    assert search.contestant_value.median == pytest.approx((80 + 50) * 148 / 3600)
    assert adapt.contestant_value.median == pytest.approx(102_000 / 3600)
    assert (search.reference_value, adapt.reference_value) == (single(1.4), single(34.4))
    only_search = hours_rows(case, {kind: (16, 1.0) for kind in ("weight", "alpha")}, Settings())
    assert [row.case.split(", ")[-1] for row in only_search] == ["architecture adaptation"]


def test_a_batch_that_does_not_fit_is_halved_until_it_does() -> None:
    tried: list[int] = []

    def measure(bench: Bench) -> paper.Step:
        tried.append(bench.config.search.batch)
        if bench.config.search.batch > 1:
            raise torch.OutOfMemoryError
        return paper.Step(bench.config.search.batch, 1.0, 0.0, ())

    case = small_cases(TINY)[0]
    found = paper.fitting(case, "search", TINY, Pace(2), measure)
    assert tried == [2, 1]
    assert found is not None
    assert found[1].config.search.batch == 1


@pytest.fixture
def _one_axis(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A recipe of the paper instead of three; the largest batch under little memory is found elsewhere."""
    monkeypatch.setattr(paper, "paper_cases", lambda settings: paper_cases(settings)[-1:])
    return


OWN = ["weight_step", "alpha_step", "fine_tuning", "search_share", "growth", "paper", "shared_machine"]


@pytest.mark.slow
@pytest.mark.usefixtures("_one_axis")
@pytest.mark.parametrize("name", OWN)
def test_every_benchmark_runs_on_tiny_shapes(name: str, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "seg", {"search": 36, "train": 324})
    rows = list((BENCHMARKS | EXTRA)[name](Settings(size="tiny", runs=(run,), minutes=60)))
    assert rows
    assert all(isinstance(row, Finding) for row in rows)
    values = [row.contestant_value.median for row in rows]
    # An exponent of times may have any sign on tiny shapes; what it is fitted to may not.
    # On a machine that is busy with other things no step may end in time.
    assert all(math.isfinite(value) if name in ("growth", "shared_machine") else value > 0 for value in values)
    points = [float(point) for row in rows for point in re.findall(r"\d: ([\d.,]+) (?:s|MiB)", row.note)]
    assert bool(points) is (name == "growth")
    assert all(point > 0 for point in points)
    if name == "paper":
        kinds = ["weight step", "alpha step", "fine-tuning step", "utilisation", "projected hours"]
        assert list(dict.fromkeys(row.benchmark for row in rows)) == kinds
    if name == "search_share":
        assert [(row.contestant_value.median, row.reached) for row in rows] == [(pytest.approx(10.0), True)]


def test_the_command_writes_json_and_the_table_into_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = compared("b", "case", "ours", "theirs", compare(lambda: None, lambda: None, 2))
    monkeypatch.setitem(command.BENCHMARKS, "weight_step", lambda settings: [row])
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- results:benchmarks -->\nold\n<!-- /results:benchmarks -->\nafter\n")
    assert command.main(["weight_step", "--quick", "--out", str(tmp_path / "out"), "--into", str(page)]) == 0
    written = json.loads((tmp_path / "out/results.json").read_text())
    assert written["rows"][0]["case"] == "case"
    assert written["threads"] == 1
    assert {"torch", "processor", "date", "size", "command"} <= written.keys()
    assert "old" not in page.read_text()
    assert "| b | case |" in page.read_text()
    assert "for orientation only" in capsys.readouterr().out


def test_earlier_measurements_join_the_table_where_nothing_newer_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, (name, case) in enumerate([("weight", "old"), ("alpha", "kept"), ("weight", "new")]):
        rows = [measured(name, case, "ours", Quartiles(0.1, 0.2, 0.3), note=f"of {case}")]
        monkeypatch.setitem(command.BENCHMARKS, "weight_step", lambda settings, rows=rows: rows)
        files = [str(tmp_path / str(earlier) / "results.json") for earlier in range(number)]
        assert command.main(["weight_step", "--out", str(tmp_path / str(number)), "--join", *files]) == 0
    text = (tmp_path / "2/results.md").read_text()
    assert "| alpha | kept | ours: 0.2 s |" in text
    assert "| weight | new | ours: 0.2 s |" in text
    assert "old" not in text
    assert [line.split(":")[0] for line in text.splitlines() if line.startswith("- machine")] == [
        "- machine (alpha)",
        "- machine (weight)",
    ]
    assert len(json.loads((tmp_path / "2/results.json").read_text())["rows"]) == 1
    (tmp_path / "wrong.json").write_text("[]")
    capsys.readouterr()
    assert command.main(["weight_step", "--out", str(tmp_path / "3"), "--join", str(tmp_path / "wrong.json")]) == 2
    assert "is no results.json of the benchmarks" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["wait_step"], "did you mean 'weight_step'"),
        (["--device", "gpu"], "write cpu or cuda"),
        (["--threads", "0"], "must be above zero"),
    ],
)
def test_wrong_flags_are_said(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(words) == 2
    assert message in capsys.readouterr().err


def test_what_would_not_end_in_time_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(paper, "monotonic", lambda: now[0])
    clock = paper.Deadline(160.0)
    assert clock.allows("alpha"), "nothing is known of it"
    with clock.work("alpha"):
        now[0] += 25
    assert clock.left() == 35
    assert clock.allows("alpha")
    now[0] += 15
    assert not clock.allows("alpha")
    assert clock.allows("weight")
