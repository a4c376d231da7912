"""Architecture adaptation: train a super network, learn what each candidate is worth (paper 3.2).

The loop: weights first, on paths that are uniform or near the seed's; then, for `method: alphas` (the paper's), weights
on a path sampled from the alphas and alphas on the softmax mixture over held-out images, in turn. For `method: swaps`
the trained super network is scored by `fna.swaps` instead. Unsampled candidates stand still in a weight step: they get
neither weight decay nor momentum, as current torch has it (in the authors' PyTorch 1.1 they did get both).
"""

import math
import random
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

import torch

from fna.adapt import stream
from fna.arch.cost import candidate_madds
from fna.arch.space import Path, Space, expand
from fna.config import Config, Search
from fna.evaluate import to_device
from fna.nn.network import Network, build_supernet
from fna.nn.supernet import SuperNet
from fna.run import MetricsLog, Run, write_json
from fna.schedules import cosine, set_lr
from fna.swaps import score_swaps
from fna.tasks.task import Task
from fna.weights.remap import remap, sort_channels
from fna.weights.seeds import Seed

Rows = list[list[float]]

COMBINE: dict[str, Callable[[Sequence[float]], float]] = {"mean": fmean, "worst": min}
"""How replicas become one: their mean, or a candidate's worst score, so that only what all of them favour is chosen."""


def make_space(seed: Seed, how: Search) -> Space:
    """The configured space around the seed."""
    return expand(seed.arch, how.depths, how.kernels, how.expansions)


def search(run: Run, task: Task, seed: Seed) -> dict[str, Any]:
    """Search, and return (and write to search/result.json) the logits of every candidate.

    Keys: `layers` (name and candidates), `logits` (of all replicas together, by `combine`; their softmax are the
    probabilities), `replicas` (logits of each), `repeatability` (rank correlation between replicas, within layers),
    `madds` of each candidate.
    """
    done = run.read_json("search/result.json")
    if done is not None:
        return done
    how, space = run.config.search, make_space(seed, run.config.search)
    costs = candidate_madds(space, task.imgsz, run.config.output_stride)
    replicas = [search_once(run, task, seed, space, replica, costs) for replica in range(how.replicas)]
    combine = COMBINE[how.combine]
    logits = [[combine(values) for values in zip(*rows, strict=True)] for rows in zip(*replicas, strict=True)]
    result = {
        "method": how.method,
        "layers": [{"name": name, "candidates": [str(op) for op in ops]} for name, ops in space.searched],
        "logits": logits,
        "replicas": replicas,
        "repeatability": repeatability(replicas),
        "madds": costs,
    }
    write_json(run.folder / "search/result.json", result)
    return result


def search_once(run: Run, task: Task, seed: Seed, space: Space, replica: int, costs: list[list[int]]) -> Rows:
    """One independent search; the logits of every candidate of every searched layer."""
    config, how, folder = run.config, run.config.search, f"search/{replica}"
    finished = run.read_json(f"{folder}/logits.json")
    if finished is not None:
        return finished
    weight_samples, alpha_samples = task.splits(replica)
    weight_data, alpha_data = (
        task.training(how.augment, weight_samples, replica),
        task.training(how.augment, alpha_samples, replica),
    )
    epoch_steps = max(1, len(weight_samples) // how.batch)
    total, alpha_start, warm = (round(n * epoch_steps) for n in (how.epochs, how.alpha_epoch, how.warmup_epochs))
    if how.method == "swaps":
        alpha_start = total

    network = super_network(config, task, seed, space, replica)
    supernet = network.backbone
    assert isinstance(supernet, SuperNet)
    weights = torch.optim.SGD(
        [*supernet.weights(), *network.head.parameters()], how.lr, how.momentum, weight_decay=how.weight_decay
    )
    alphas = torch.optim.Adam(supernet.alphas, how.alpha_lr, how.alpha_betas, weight_decay=how.alpha_weight_decay)
    model, weights, alphas = run.fabric.setup(network, weights, alphas)
    state = run.load_state(f"{folder}/last.ckpt")
    first = 0
    if state is not None:
        first = state["step"]
        network.load_state_dict(state["network"])
        weights.load_state_dict(state["weights"])
        alphas.load_state_dict(state["alphas"])
    log = MetricsLog(run.folder / folder / "metrics.csv", first)
    alpha_log = MetricsLog(run.folder / folder / "alphas.csv", first)

    def save(step: int) -> None:
        states = {"network": network.state_dict(), "weights": weights.state_dict(), "alphas": alphas.state_dict()}
        run.save_state(f"{folder}/last.ckpt", states | {"step": step})

    model.train()
    seed_path = space.path_of(seed.arch)
    billions = [torch.tensor(row, device=run.device) / 1e9 for row in costs]
    weight_batches = stream(run, weight_data, how.batch, first, total)
    alpha_batches = stream(run, alpha_data, how.batch, max(first, alpha_start), total)
    for step in run.steps(f"search {replica + 1}/{how.replicas}", first, total, save):
        # 1. Alphas, when the weights have been trained enough: all candidates at once, on images the weights never see.
        if step >= alpha_start:
            batch = to_device(run, next(alpha_batches))
            probabilities = supernet.probabilities()
            task_loss = torch.stack(list(task.losses(model(batch["image"]), batch).values())).sum()
            cost = torch.stack([c @ p for c, p in zip(billions, probabilities, strict=True)]).sum()
            loss = task_loss + how.cost_weight * torch.log(how.cost_scale * cost) / math.log(how.cost_base)
            run.fabric.backward(loss, inputs=list(supernet.alphas))
            if how.alpha_clip:
                torch.nn.utils.clip_grad_norm_(list(supernet.alphas), how.alpha_clip)
            alphas.step()
            alphas.zero_grad()
            log.add(step, alpha_loss=task_loss.item(), expected_gmadds=float(cost))

        # 2. Weights: one path, so that a step costs one network and not seven.
        batch = to_device(run, next(weight_batches))
        set_lr(weights, cosine(step, total, how.lr, how.lr_end, warm, how.lr_start))
        path = sample_path(space, seed_path, supernet, how, (config.seed, replica, step), step >= alpha_start)
        loss = torch.stack(list(task.losses(model(batch["image"], path), batch).values())).sum()
        weights.zero_grad()
        run.fabric.backward(loss)
        if how.clip:
            run.fabric.clip_gradients(model, weights, max_norm=how.clip)
        weights.step()
        if step % 20 == 0:
            log.add(step, loss=loss.item(), lr=weights.param_groups[0]["lr"])
        if (step + 1) % epoch_steps == 0 and step >= alpha_start:
            alpha_log.add(step, **alpha_columns(space, supernet))

    if how.method == "swaps":
        batches = stream(run, alpha_data, how.batch, 0, how.swap_batches)
        logits = score_swaps(run, task, model, space, seed_path, batches, f"{folder}/swaps")
    else:
        logits = [alpha.tolist() for alpha in supernet.alphas]
    write_json(run.folder / folder / "logits.json", logits)
    return logits


def super_network(config: Config, task: Task, seed: Seed, space: Space, replica: int) -> Network:
    """The super network with remapped weights and its alphas at the start."""
    how, random_seed = config.search, config.seed + 1000 * replica
    head = task.head(seed.arch)
    network = build_supernet(space, head, config.output_stride, random_seed, how.norm == "plain", how.share)
    supernet = network.backbone
    assert isinstance(supernet, SuperNet)
    if seed.weights:
        strategies = config.remap.model_dump()
        seed_weights = sort_channels(seed.arch, seed.weights, config.remap.width) if how.share else seed.weights
        weights, _ = remap(seed.arch, seed_weights, supernet.weight_space, supernet.state_dict(), **strategies)
        supernet.load_state_dict(weights)
    generator = torch.Generator().manual_seed(random_seed)
    with torch.no_grad():
        for alpha, choice in zip(supernet.alphas, space.path_of(seed.arch), strict=True):
            alpha.copy_(1e-3 * torch.randn(alpha.shape, generator=generator))  # the authors' start
            if how.alpha_start == "seed":
                alpha[choice] += 1.0
    return network


def sample_path(
    space: Space, seed_path: Path, supernet: SuperNet, how: Search, key: tuple[int, int, int], from_alphas: bool
) -> Path:
    """The path of one weight step, a function of `key` (random seed, replica, step) and, later, the alphas."""
    generator = random.Random(repr(key))
    sizes = [len(candidates) for _, candidates in space.searched]
    if from_alphas:
        rows = [p.tolist() for p in supernet.probabilities()]
        return tuple(generator.choices(range(len(row)), row)[0] for row in rows)
    return tuple(
        generator.randrange(size) if generator.random() < how.explore else choice
        for size, choice in zip(sizes, seed_path, strict=True)
    )


def alpha_columns(space: Space, supernet: SuperNet) -> dict[str, float]:
    """The probability of every candidate, by layer and candidate name."""
    return {
        f"{name}.{op}": p
        for (name, candidates), row in zip(space.searched, supernet.probabilities(), strict=True)
        for op, p in zip(candidates, row.tolist(), strict=True)
    }


def repeatability(replicas: Sequence[Rows]) -> float | None:
    """Mean Spearman rank correlation between replicas of all candidates' logits, each layer's mean taken out.

    1: independent searches prefer the same candidates; 0: the search is noise. None with a single replica.
    """
    flat = [torch.cat([torch.tensor(row) - sum(row) / len(row) for row in rows]).double() for rows in replicas]
    ranks = torch.stack([values.argsort().argsort().double() for values in flat])
    if len(ranks) < 2:
        return None
    matrix = torch.corrcoef(ranks)
    n = len(ranks)
    return float((matrix.sum() - n) / (n * (n - 1)))
