"""One random seed: the seed network and the one that FastNAS prunes it to, fine-tuned alike, and what each took."""

from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.modelopt_fastnas.pruning import CALIBRATION_BATCHES, Pruned, madds, prune
from benchmarks.modelopt_fastnas.training import fine_tune, with_samples
from fna.cost.budget import Budget
from fna.files import write_json
from fna.jobs import Job
from fna.nn.network import Network, build
from fna.tasks.kinds import TASKS
from fna.train.adapt import adapt, refresh_norms, remapped, stream
from fna.train.evaluate import evaluate
from fna.weights.checkpoint import load_network

SHARE = 0.95
"""The budget as a share of the seed's multiply-adds, where none is given."""
CALIBRATION_IMAGES = 2
"""Crops in each of the batches with which ModelOpt renews norms: 100 in all, for every subnet anew."""


@dataclass(frozen=True)
class Contest:
    """How FastNAS is used: `order` is `after` a first fine-tuning, or `before` any.

    Widths are multiples of `divisor`; `score_images` held-out training images judge a subnet.
    """

    order: str
    divisor: int
    score_images: int


def contest(job: Job, how: Contest) -> dict[str, Any]:
    """Train what has to be trained, prune, and write (and return) result.json; what is finished is not done again.

    Trainings: `seed` is `fna adapt`'s baseline. `first` trains the same without the held-out images, `again` goes on
    from there on the same schedule with other batches, and `fastnas` does just that after pruning. Pruning before any
    fine-tuning has neither `first` nor `again`.
    """
    run, task = job.run, job.task
    done = run.read_json("result.json")
    if done is not None:
        return dict(done)
    with run.ledger("seed"):
        trained = adapt(run, task, job.seed, job.design(job.seed.arch), "seed")
    scores = {"seed": {key: trained[key]["score"] for key in ("best", "last")}}
    if how.order == "after":
        with run.ledger("first"):
            adapt(run, with_samples(task, train=task.splits()[0]), job.seed, job.design(job.seed.arch), "first")
        with run.ledger("again"):
            scores["again"] = fine_tune(run, task, first_network(job), "again", replica=1)
    network, pruned = pruned_network(job, how)
    with run.ledger("fastnas"):
        scores["fastnas"] = fine_tune(run, task, network, "fastnas", replica=1 if how.order == "after" else 0)
    unpruned = build(job.design(job.seed.arch), len(task.classes), run.config.seed)
    trainings = {
        training: scores[training] | cost(network if training == "fastnas" else unpruned, job) for training in scores
    }
    seconds = {training: entry["wall_seconds"] for training, entry in run.read_json("cost.json").items()}
    what = {
        "random_seed": run.config.seed,
        "score": TASKS[run.config.task].score.name,
        "budget": budget(job),
        "imgsz": task.imgsz,
    }
    result = what | asdict(how) | {"stages": trainings, "seconds": seconds, "pruned": asdict(pruned)}
    write_json(run.folder / "result.json", result)
    return result


def cost(network: Network, job: Job) -> dict[str, int]:
    """`madds` (by torch's counter) and `params` of a whole network."""
    params = sum(parameter.numel() for parameter in network.parameters())
    return {"madds": madds(network, job.task.imgsz), "params": params}


def budget(job: Job) -> int:
    """Multiply-adds of the whole network that FastNAS may have."""
    given = job.run.config.budget
    return Budget.parse(given[0]).only_madds("FastNAS prunes") if given else int(SHARE * job.count(job.seed.arch).madds)


def first_network(job: Job) -> Network:
    """The seed network as its first fine-tuning left it."""
    task, config = job.task, job.run.config
    network = build(job.design(job.seed.arch), len(task.classes), config.seed)
    network.load_state_dict(load_network(job.run.folder / "first/last.safetensors")[0])
    return network.to(job.run.device)


def pruned_network(job: Job, how: Contest) -> tuple[Network, Pruned]:
    """The seed network, after its first fine-tuning or before any, pruned to the budget; all its time is pruning's."""
    run, config = job.run, job.run.config
    learn, held = job.task.splits()
    learning, judging = with_samples(job.task, train=learn), with_samples(job.task, val=held[: how.score_images])
    with run.ledger("prune"):
        if how.order == "after":
            network = first_network(job)
        else:
            network = remapped(config, job.task, job.seed, job.design(job.seed.arch))[0].to(run.device)
            data = learning.training(config.adapt.augment)
            refresh_norms(run, learning, network, data, config.adapt.batch, config.adapt.refresh_steps)
        # As it was trained: on smaller crops (128 for 224 px) the renewed norms alone halved the score of the seed.
        crops = learning.training(config.adapt.augment)
        batches = stream(run, learning, crops, CALIBRATION_IMAGES, 0, CALIBRATION_BATCHES)
        pruned = prune(
            network,
            budget(job),
            job.task.imgsz,
            lambda subnet: float(evaluate(run, judging, subnet).result()["score"]),
            [batch["image"] for batch in batches],
            how.divisor,
            str(run.folder / "sensitivity.pth"),
        )
    assert madds(network, job.task.imgsz) <= budget(job)
    return network, pruned
