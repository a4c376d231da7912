"""A step of the alphas: the whole mixture against every candidate run by itself, and against fewer paths."""

from collections.abc import Callable
from itertools import count
from math import log

import torch
from torch.optim import Optimizer

from benchmarks.by_hand import OneByOne, autocast, on_device, task_loss, torch_defaults
from benchmarks.cases import SHARING, Bench, opened, small_cases
from benchmarks.rows import Finding
from benchmarks.settings import Settings
from benchmarks.timing import compared, race
from fna.cost.count import candidate_madds
from fna.nn.heads import build_head
from fna.nn.network import Network, channels_last
from fna.nn.supernet import SuperNet
from fna.search.search import alpha_step as real_alpha_step
from fna.search.search import cost_tensors, make_space, optimizers, records_mixture, super_network
from fna.search.two_paths import sample_pairs
from fna.tasks.task import Batch
from fna.train.evaluate import to_device

NAME = "alpha step"
AT_MOST = {"cpu": 1 / 1.5, "cuda": 1 / 2}
"""Of the time of the straightforward form."""
TWO_PATHS = "two sampled paths"
EAGER = "mixture, without a CUDA graph"
OTHERS_AT_MOST = {TWO_PATHS: 0.5}
"""Of the time of the whole mixture."""
OURS, ALL_GRADIENTS, ALPHAS_ONLY = "mixture", "one by one, all gradients", "one by one, gradients of the alphas alone"
NOTE = (
    "the references run every candidate as a module of its own and add up; `loss.backward()` with all gradients is the "
    "straightforward form, and the other one switches the gradients of the weights off (`requires_grad`)."
)


def alpha_step(settings: Settings) -> list[Finding]:
    """With weights of each candidate's own, as the paper has them, and with shared ones."""
    rows: list[Finding] = []
    for share in SHARING[settings.size]:
        for case in small_cases(settings, share=share):
            with opened(case, settings) as bench:
                rows += alpha_bench(bench)
    return rows


def alpha_bench(bench: Bench) -> list[Finding]:
    """A row for each reference."""
    times = race(contestants(bench, bench.search_batch()), bench.pace, bench.watch)
    limits = {ALL_GRADIENTS: AT_MOST[bench.run.device.type], ALPHAS_ONLY: None}
    case = bench.case("search")
    others = [name for name in (TWO_PATHS, EAGER) if name in times.seconds]
    return [
        *(
            compared(NAME, case, OURS, reference, times.compare(OURS, reference), limit, NOTE)
            for reference, limit in limits.items()
        ),
        *(
            compared(NAME, case, other, OURS, times.compare(other, OURS), OTHERS_AT_MOST.get(other), NOTE)
            for other in others
        ),
    ]


def contestants(bench: Bench, batch: Batch) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    network = start(bench)
    assert isinstance(network.backbone, SuperNet)
    step = ours(bench, network, batch)[0]
    return {
        OURS: step,
        **({EAGER: without_graph(network.backbone, step)} if network.backbone.record_mixture else {}),
        TWO_PATHS: ours(bench, network, batch, two_paths=True)[0],
        ALL_GRADIENTS: one_by_one(bench, network, batch, all_gradients=True)[0],
        ALPHAS_ONLY: one_by_one(bench, network, batch, all_gradients=False)[0],
    }


def start(bench: Bench) -> Network:
    """The super network as a search begins with it."""
    space = make_space(bench.task, bench.seed, bench.config.search)
    network = super_network(bench.config, bench.task, bench.seed, space, 0)
    assert isinstance(network.backbone, SuperNet)
    network.backbone.record_mixture = records_mixture(bench.run)
    return network


def ours(
    bench: Bench, network: Network, batch: Batch, two_paths: bool = False
) -> tuple[Callable[[], object], Optimizer]:
    """The step that searches take, with other pairs each time where on two paths, and the optimizer of the alphas."""
    supernet, run = network.backbone, bench.run
    assert isinstance(supernet, SuperNet)
    model, _, alphas = run.engine.setup(network, *optimizers(network, supernet, bench.config.search))
    model.train()
    costs = candidate_madds(supernet.space, bench.task.imgsz, bench.config.output_stride)
    rows, keys = cost_tensors(costs, supernet), count()

    def step() -> None:
        pairs = sample_pairs(supernet.probability_rows(), (0, 0, next(keys))) if two_paths else None
        real_alpha_step(run, bench.task, model, supernet, alphas, to_device(run, batch), rows, pairs)

    return step, alphas


def without_graph(supernet: SuperNet, step: Callable[[], object]) -> Callable[[], object]:
    """The step, with every operation started by itself."""

    def eager() -> None:
        supernet.record_mixture = False
        step()
        supernet.record_mixture = True

    return eager


def one_by_one(
    bench: Bench, network: Network, batch: Batch, all_gradients: bool
) -> tuple[Callable[[], object], Optimizer]:
    """The reference with the weights of `network`, and its optimizer of the alphas."""
    supernet, config, how = network.backbone, bench.config, bench.config.search
    assert isinstance(supernet, SuperNet)
    space, data_head = supernet.space, bench.design(bench.seed.arch).described(len(bench.task.classes))
    mixture = OneByOne(space, data_head.taps, config.output_stride, how.norm == "plain").take(supernet)
    head = build_head(data_head)
    head.load_state_dict(network.head.state_dict())
    model = channels_last(Network(mixture, head)).to(bench.run.device).train()
    if not all_gradients:
        model.requires_grad_(False)
        mixture.alphas.requires_grad_(True)
    alphas = torch.optim.Adam(mixture.alphas, how.alpha_lr, how.alpha_betas, weight_decay=how.alpha_weight_decay)
    costs = candidate_madds(space, bench.task.imgsz, config.output_stride)
    gmadds = [torch.tensor(row, device=bench.run.device) / 1e9 for row in costs]

    def step() -> None:
        images = on_device(bench, batch)
        with torch_defaults():
            with autocast(bench):
                loss = task_loss(bench, model(images["image"]), images)
            expected = sum((alpha.softmax(0) * row).sum() for alpha, row in zip(mixture.alphas, gmadds, strict=True))
            loss = loss + how.cost_weight * torch.log(how.cost_scale * expected) / log(how.cost_base)
            loss.backward()
        if how.alpha_clip:
            torch.nn.utils.clip_grad_norm_(mixture.alphas, how.alpha_clip)
        alphas.step()
        model.zero_grad()

    return step, alphas
