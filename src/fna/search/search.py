"""Architecture adaptation: train a super network, learn what each candidate is worth (paper 3.2).

The loop: weights first, on paths that are uniform or near the seed's; then, for `method: alphas` (the paper's), weights
on a path sampled from the alphas and alphas on the softmax mixture over held-out images, in turn. For `method: swaps`
the trained super network is scored by `fna.search.swaps` instead. Unsampled candidates stand still in a weight step:
they get neither weight decay nor momentum, as current torch has it (in the authors' PyTorch 1.1 they did get both).
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fna.arch.decision import Decision, OptionValues, Path, path_of, size_log10
from fna.arch.heads import Head
from fna.arch.space import GROUPINGS, Space, expand
from fna.config.config import Config
from fna.config.sections import Search
from fna.cost.count import candidate_madds
from fna.cost.measure import decision_costs
from fna.files import write_json
from fna.nn.network import Network, build_supernet
from fna.nn.supernet import SuperNet
from fna.runs.metrics_log import MetricsLog
from fna.runs.run import Run
from fna.runs.steps import each_step
from fna.search.health import Probabilities, stage_health
from fna.search.ranks import repeatability
from fna.search.result import DecisionRecord, SearchResult, read_result, write_result
from fna.search.scores import worth
from fna.search.swaps import score_swaps
from fna.search.two_paths import Pairs, keep_others, sample_pairs
from fna.tasks.kinds import TASKS, imported
from fna.tasks.task import Batch, Task
from fna.train.adapt import stream, training_step
from fna.train.evaluate import batch_loss, to_device
from fna.train.optimizers import weight_optimizer
from fna.train.schedules import cosine, set_lr, stepped
from fna.weights.channels import sort_channels
from fna.weights.initial import initial
from fna.weights.remap import remap, remap_last
from fna.weights.seeds import Seed


def seed_head(task: Task, seed: Seed) -> Head:
    """The head on the seed's own backbone, as data."""
    return task.design(seed.name, seed.arch).described(len(task.classes))


def make_space(task: Task, seed: Seed, how: Search) -> Space:
    """The configured space around the seed; the task's head may narrow it."""
    return expand(seed.arch, how.depths, how.kernels, how.expansions, seed_head(task, seed).taps)


def search(run: Run, task: Task, seed: Seed) -> SearchResult:
    """Search, and return (and write to search/result.json) what every option is worth; a finished one is read."""
    done = read_result(run.folder)
    if done is not None:
        return done
    how, space = run.config.search, make_space(task, seed, run.config.search)
    costs = candidate_madds(space, task.imgsz, run.config.output_stride)
    decisions = make_decisions(space, seed, how)
    replicas = [search_once(run, task, seed, space, replica, costs) for replica in range(how.replicas)]
    option_costs = decision_costs(space, decisions, task.design(seed.name, seed.arch), len(task.classes))
    result = SearchResult(
        format="fna-search-1",
        strategy=strategy(how),
        decisions=tuple(
            DecisionRecord.of(decision, {measure: rows[d] for measure, rows in option_costs.items()})
            for d, decision in enumerate(decisions)
        ),
        size_log10=size_log10(decisions),
        worth=worth(decisions, replicas, how),
        repeatability=repeatability(decisions, replicas),
        tried=(),
        verdicts=(),
        wall_seconds=wall_seconds(run),
    )
    write_result(run.folder, result)
    return result


def wall_seconds(run: Run) -> float:
    """Of the search so far, trials included, as the run's ledger has it."""
    entry = (run.read_json("cost.json") or {}).get("search", {})
    return float(entry.get("wall_seconds", 0.0))


def strategy(how: Search) -> str:
    """The name of the configured estimator, one of `STRATEGIES`."""
    return "alphas" if how.method == "alphas" else f"swaps-{how.swap}"


def make_decisions(space: Space, seed: Seed, how: Search) -> tuple[Decision, ...]:
    """What decides as one: what swaps are configured for; every layer where alphas are learned."""
    grouping = "layer" if how.method == "alphas" else how.swap
    return GROUPINGS[grouping](space, space.path_of(seed.arch))


def search_once(run: Run, task: Task, seed: Seed, space: Space, replica: int, costs: list[list[int]]) -> OptionValues:
    """One independent search; the logits of every candidate of every searched layer."""
    config, how, folder = run.config, run.config.search, f"search/{replica}"
    finished = run.read_json(f"{folder}/logits.json")
    if finished is not None:
        return finished
    network = super_network(config, task, seed, space, replica)
    supernet, decisions = network.backbone, make_decisions(space, seed, how)
    assert isinstance(supernet, SuperNet)
    model, weights, alphas = run.engine.setup(network, *optimizers(network, supernet, how))
    weight_samples, alpha_samples = task.splits(replica)
    weight_data, alpha_data = (task.training(how.augment, part, replica) for part in (weight_samples, alpha_samples))
    times = Times.of(how, len(weight_samples))
    cost_rows, supernet.record_mixture = cost_tensors(costs, supernet), records_mixture(run)
    parts = {"network": network, "weights": weights, "alphas": alphas}
    first = run.states.restore(f"{folder}/last.ckpt", parts)
    log = MetricsLog(run.folder / folder / "metrics.csv", first)
    alpha_log = MetricsLog(run.folder / folder / "alphas.csv", first)
    model.train()
    weight_batches = stream(run, task, weight_data, how.batch, first, times.total)
    alpha_batches = stream(run, task, alpha_data, how.batch, times.alpha_steps(first), times.alpha_steps(times.total))
    label, save = f"search {replica + 1}/{how.replicas}", partial(run.states.save, f"{folder}/last.ckpt", parts)
    for step in each_step(run, label, first, times.total, save):
        # 1. Alphas, when the weights have been trained enough: all candidates at once, on images the weights never see.
        learning = step >= times.alpha_start
        if times.alpha_steps(step + 1) > times.alpha_steps(step):
            batch = to_device(run, next(alpha_batches))
            pairs = None
            if how.alpha_paths:
                pairs = sample_pairs(supernet.probability_rows(), (config.seed, replica, step))
            found = alpha_step(run, task, model, supernet, alphas, batch, cost_rows, pairs)
            log.add(step, **{name: float(value) for name, value in found.items()})

        # 2. Weights: one path, so that a step costs one network and not seven.
        batch = to_device(run, next(weight_batches))
        path = sample_path(decisions, supernet, how, (config.seed, replica, step), learning)
        set_lr(weights, learning_rate(step, times, how))
        loss = training_step(run, task, model, weights, batch, how.clip, path)
        if step % 20 == 0:
            log.add(step, loss=float(loss), lr=weights.param_groups[0]["lr"])
        if learning and ((step + 1) % times.epoch == 0 or step + 1 == times.total):
            probabilities = supernet.probability_rows()
            alpha_log.add(step, **alpha_columns(space, probabilities), **health_columns(space, probabilities))
            show_health(run, space, probabilities, label)

    if how.method == "swaps":
        batches = stream(run, task, alpha_data, how.batch, 0, how.swap_batches)
        logits = score_swaps(run, task, model, decisions, batches, f"{folder}/swaps")
    else:
        logits = [alpha.tolist() for alpha in supernet.alphas]
    write_json(run.folder / folder / "logits.json", logits)
    return logits


def alpha_step(
    run: Run,
    task: Task,
    model: nn.Module,
    supernet: SuperNet,
    alphas: Optimizer,
    batch: Batch,
    costs: Sequence[Tensor],
    pairs: Pairs | None = None,
) -> dict[str, Tensor]:
    """One step of the alphas on the mixture: task loss + lambda * log_tau(gamma * expected cost) (paper 4.1).

    `costs` are `cost_tensors`. With `pairs` on the mixture of two candidates a layer, see `two_paths`. Returns the
    task's loss and the expected cost, on the device.
    """
    how = run.config.search
    before = [] if pairs is None else [alpha.detach().clone() for alpha in supernet.alphas]
    among = () if pairs is None else (None, None, pairs)  # in place of a path and its memory
    task_loss = batch_loss(run, task, model(batch["image"], *among), batch)
    rows = zip(costs, supernet.probabilities(), strict=True)
    expected = torch.stack([row @ p for row, p in rows]).sum() / 1e9
    loss = task_loss + how.cost_weight * torch.log(how.cost_scale * expected) / math.log(how.cost_base)
    # Only the alphas: the weights' gradients are neither needed nor computed.
    run.engine.backward(loss, supernet.alphas, inputs=list(supernet.alphas))
    if how.alpha_clip:
        run.engine.clip(model, alphas, how.alpha_clip)
    alphas.step()
    alphas.zero_grad()
    if pairs is not None:
        keep_others(supernet.alphas, before, pairs)
    run.engine.assert_alike(list(supernet.alphas), "alphas")
    return {"alpha_loss": run.engine.mean(task_loss), "expected_gmadds": expected.detach()}


def cost_tensors(costs: list[list[int]], supernet: SuperNet) -> list[Tensor]:
    """MAdds (candidates,) of each searched layer, where its alphas are and in their type."""
    rows = zip(costs, supernet.alphas, strict=True)
    return [torch.tensor(row, device=alpha.device, dtype=alpha.dtype) for row, alpha in rows]


@dataclass(frozen=True)
class Times:
    """Steps of an epoch, of the whole search, and at which warm-up ends and the alphas start."""

    epoch: int
    total: int
    warmup: int
    alpha_start: int
    alpha_interval: int

    def alpha_steps(self, step: int) -> int:
        """How many alpha steps there are before weight step `step` begins: one every `alpha_interval` steps."""
        return -(-max(0, step - self.alpha_start) // self.alpha_interval)

    @staticmethod
    def of(how: Search, images: int) -> "Times":
        """From epochs over `images` images to steps; swaps have no alphas to learn."""
        epoch = max(1, images // how.batch)
        total, warmup, start = (round(n * epoch) for n in (how.epochs, how.warmup_epochs, how.alpha_epoch))
        total = max(1, total)
        return Times(epoch, total, warmup, total if how.method == "swaps" else start, how.alpha_interval)


def learning_rate(step: int, times: Times, how: Search) -> float:
    """Warm-up, then the cosine of the paper's segmentation or the steps of its detection."""
    if how.milestones:
        return stepped(step, times.total, how.lr, how.milestones, times.warmup, how.lr_start)
    return cosine(step, times.total, how.lr, how.lr_end, times.warmup, how.lr_start)


def optimizers(network: Network, supernet: SuperNet, how: Search) -> tuple[Optimizer, Optimizer]:
    """The configured one for the weights, Adam for the alphas (paper 4.1, 4.2)."""
    weights = [*supernet.weights(), *network.head.parameters()]
    return (
        weight_optimizer(weights, how),
        torch.optim.Adam(supernet.alphas, how.alpha_lr, how.alpha_betas, weight_decay=how.alpha_weight_decay),
    )


def super_network(config: Config, task: Task, seed: Seed, space: Space, replica: int) -> Network:
    """The super network with remapped weights (or as `search.init` says) and its alphas at the start."""
    how, random_seed = config.search, config.seed + 1000 * replica
    head, bare_norm = seed_head(task, seed), how.norm == "plain"
    network = build_supernet(space, head, config.output_stride, random_seed, bare_norm, how.share)
    supernet = network.backbone
    assert isinstance(supernet, SuperNet)
    if how.init != "remap":
        supernet.load_state_dict(initial(supernet.state_dict(), how.init, random_seed))
    elif seed.weights:
        strategies = config.remap.model_dump()
        seed_weights = sort_channels(seed.arch, seed.weights, config.remap.width) if how.share else seed.weights
        weights, _ = remap(seed.arch, seed_weights, supernet.weight_space, supernet.state_dict(), **strategies)
        supernet.load_state_dict(weights)
        given = {**seed.weights, **seed.classifier}
        network.head.load_state_dict(remap_last(given, network.head.state_dict())[0])
    generator = torch.Generator().manual_seed(random_seed)
    with torch.no_grad():
        for alpha, choice in zip(supernet.alphas, space.path_of(seed.arch), strict=True):
            alpha.copy_(1e-3 * torch.randn(alpha.shape, generator=generator))  # the authors' start
            if how.alpha_start == "seed":
                alpha[choice] += 1.0
    return network


def records_mixture(run: Run) -> bool:
    """Whether steps of the alphas replay CUDA graphs: those have one shape, and no messages to other processes."""
    alone_on_gpu = run.device.type == "cuda" and not run.engine.together
    return run.config.search.alpha_graph and alone_on_gpu and one_shape(run.config)


def one_shape(config: Config) -> bool:
    """Whether all training images of a search have the same height and width."""
    shape: bool = imported(TASKS[config.task].task).one_shape(config, config.search.augment)
    return shape


def sample_path(
    decisions: Sequence[Decision],
    supernet: SuperNet,
    how: Search,
    key: tuple[int, int, int],
    from_alphas: bool,
) -> Path:
    """The path of one weight step, a function of `key` (random seed, replica, step) and, later, the alphas."""
    generator = random.Random(repr(key))
    if from_alphas:
        return tuple(generator.choices(range(len(row)), row)[0] for row in supernet.probability_rows())
    pick = tuple(
        generator.randrange(len(decision.options)) if generator.random() < how.explore else decision.seed_option
        for decision in decisions
    )
    return path_of(decisions, pick)


def alpha_columns(space: Space, probabilities: Probabilities) -> dict[str, float]:
    """The probability of every candidate, by layer and candidate name."""
    return {
        f"{name}.{op}": p
        for (name, candidates), row in zip(space.searched, probabilities, strict=True)
        for op, p in zip(candidates, row, strict=True)
    }


def health_columns(space: Space, probabilities: Probabilities) -> dict[str, float]:
    """Entropy and skip probability of every stage."""
    return {
        f"stage {health.stage} {name}": value
        for health in stage_health(space, probabilities)
        for name, value in (("entropy", health.entropy), ("skip", health.skip))
        if value is not None
    }


def show_health(run: Run, space: Space, probabilities: Probabilities, label: str) -> None:
    """One line with every stage's entropy and skip probability, and a warning for each that has collapsed."""
    stages = stage_health(space, probabilities)
    run.note(f"  {label}: " + "  ".join(map(str, stages)))
    for health in stages:
        if health.collapsed:
            run.note(
                f"  warning: stage {health.stage} collapses into skips (probability {health.skip:.2f}). What helps: "
                "search.method swaps; else a smaller search.alpha_lr or search.cost_weight, a later search.alpha_epoch"
            )
