"""The contract of a task as a test: `check_task` runs a task through all that the rest of the package does with one."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from fna.arch.design import Design
from fna.config.config import Config
from fna.config.files import from_data
from fna.config.resolved import resolved
from fna.data.layouts.opening import open_data
from fna.jobs import prepare
from fna.nn.network import Network
from fna.tasks.kinds import TASKS, TaskKind
from fna.tasks.task import Batch, Evaluator, Task
from fna.train.adapt import network_info, remapped
from fna.use.load import load
from fna.use.predict import PREDICTIONS_FILE, predict
from fna.weights.checkpoint import NetworkInfo, load_network, save_network
from fna.weights.plain import AnySeed

SMALL = {"backbone": "mobilenet_v2_w010", "workers": 0, "adapt": {"augment": {"crop": "64x64"}}}
"""What is checked, where nothing else is said: the smallest backbone, untrained."""
BATCH = 4
CLOSE = 1e-4
"""Relative difference of losses that float32 may make by adding up in another order."""

Perfect = Callable[[Any, Batch, Any], Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """A task at work: its row, the resolved configuration, data, the task object and an untrained network."""

    kind: TaskKind
    config: Config
    data: Any
    task: Task
    seed: AnySeed
    design: Design
    network: Network
    folder: Path

    @property
    def info(self) -> NetworkInfo:
        """What is written beside the network's weights."""
        return network_info(self.config, self.task, self.seed, self.design)

    def training_batch(self) -> Batch:
        """The first batch of the training stream."""
        stream = self.task.training(self.config.adapt.augment)
        return self.task.collate([stream[position] for position in range(BATCH)])

    def validation_batches(self) -> list[Batch]:
        """Every validation image as a batch of its own, as the evaluation has them."""
        images = self.task.validation()
        return [self.task.collate([images[place]]) for place in range(len(self.data.splits["val"]))]


def check_task(kind: TaskKind, draw: Callable[[Path], Path], perfect: Perfect, folder: Path, **changes: Any) -> None:
    """Check that a task keeps its contract; raises AssertionError with a sentence that says what is broken.

    `kind` is a row of `fna.tasks.kinds.TASKS`. `draw` makes a small data set below a folder and returns what
    `fna.open_data` opens: at least 8 training and 2 validation images. `perfect` gives, from the task, a validation
    batch and what the untrained network says of it, the outputs that answer the batch right. `folder` is for files,
    `changes` are keys of the configuration.

    Checked are: the row; the data; that a training sample is a function of random seed, replica and position; that the
    parts of a search's split are disjoint; finite losses with gradients in head and backbone, and their weight, by
    which the parts of a batch make the whole; an evaluator whose parts make the whole, and to which the perfect answer
    is the best; the file of the network; what `fna predict` writes.
    """
    assert TASKS.get(kind.name) is kind, f"fna.tasks.kinds.TASKS has no row {kind.name!r}, or another one"
    default = resolved(from_data({"task": kind.name}), kind.name).head_kind.name
    assert default == kind.heads[0], f"the default head is {default}, not the first of {kind.heads}"
    root = draw(folder / "data")
    config, seed, task = prepare(root, from_data({**SMALL, **changes, "task": kind.name}))
    design = task.design(seed.name, seed.arch)
    network, _ = remapped(config, task, seed, design)
    subject = Subject(kind, config, open_data(root, kind.name), task, seed, design, network, folder)
    for check in CHECKS:
        check(subject)
    check_evaluator(subject, perfect)


def check_data(it: Subject) -> None:
    """The data are of the kind that the row says, and the task can say what it found."""
    assert it.data.kind == it.kind.data, f"the data are {it.data.kind}, the row says {it.kind.data}"
    for split in ("train", "val"):
        assert it.data.splits[split], f"the {split} split is empty"
    assert it.task.classes, "the task has no classes"
    assert it.task.summary(), "the summary of the data is empty"
    json.dumps(it.task.describe())


def check_samples(it: Subject) -> None:
    """A training sample is a function of random seed, replica and position."""
    augment = it.config.adapt.augment
    count = len(it.data.splits["train"])
    positions = [0, 1, count, 3 * count + 1]
    forward, backward, replica = (
        it.task.training(augment),
        it.task.training(augment),
        it.task.training(augment, None, 1),
    )
    here = {position: forward[position] for position in positions}
    again = {position: backward[position] for position in reversed(positions)}
    other = {position: replica[position] for position in positions}
    assert all(_same(here[p], again[p]) for p in positions), "a training sample depends on more than its position"
    assert not all(_same(here[p], other[p]) for p in positions), "another replica has the same training samples"
    assert it.task.random_seed(0) != it.task.random_seed(1), "two replicas have the same random seed"


def check_splits(it: Subject) -> None:
    """The two parts of a search's split are disjoint, together all training samples, and always the same."""
    weights, alphas = it.task.splits()
    parts = [{id(sample) for sample in part} for part in (weights, alphas)]
    assert parts[0], "no training sample is left for the weights of a search"
    assert parts[1], "no training sample is held out in a search"
    assert not parts[0] & parts[1], "samples of the weights are held out at the same time"
    assert len(parts[0] | parts[1]) == len(it.task.training(it.config.adapt.augment)), "the split loses samples"
    again = [{id(sample) for sample in part} for part in it.task.splits()]
    assert parts == again, "the split of a search is another one each time"


def check_losses(it: Subject) -> None:
    """Losses are finite numbers, and change head and backbone."""
    batch = it.training_batch()
    losses = it.task.losses(it.network.train()(batch["image"]), batch)
    for name, loss in losses.items():
        assert loss.shape == (), f"the loss {name} is no single number"
        assert bool(loss.isfinite()), f"the loss {name} is {float(loss)}"
    torch.stack(list(losses.values())).sum().backward()
    for part in ("backbone", "head"):
        gradients = [p.grad for p in getattr(it.network, part).parameters() if p.grad is not None]
        assert all(bool(gradient.isfinite().all()) for gradient in gradients), f"gradients of the {part} are not finite"
        assert any(bool(gradient.any()) for gradient in gradients), f"no gradient reaches the {part}"
    it.network.zero_grad()


@torch.no_grad()
def check_weight(it: Subject) -> None:
    """The losses of the parts of a batch, by their weights, are the loss of the whole: so processes share one."""
    it.network.eval()
    stream = it.task.training(it.config.adapt.augment)
    samples = [stream[position] for position in range(BATCH)]

    def loss_and_weight(part: Sequence[Any]) -> tuple[float, float]:
        batch = it.task.collate(list(part))
        outputs = it.network(batch["image"])
        weight = it.task.weight(outputs, batch)
        loss = torch.stack(list(it.task.losses(outputs, batch).values())).sum()
        return float(loss), float(len(part) if weight is None else weight)

    (whole, weight), *parts = (loss_and_weight(part) for part in (samples, samples[:1], samples[1:]))
    assert math.isclose(weight, sum(w for _, w in parts), rel_tol=CLOSE), (
        "the weights of parts of a batch do not add up"
    )
    together = sum(loss * w for loss, w in parts) / weight if weight else 0.0
    assert math.isclose(whole, together, rel_tol=CLOSE, abs_tol=CLOSE), (
        f"the loss of a batch is {whole}, of its parts by their weights {together}"
    )


def check_file(it: Subject) -> None:
    """The file of a network says again what the network is, and gives the same outputs."""
    file = it.folder / "network.safetensors"
    save_network(file, it.network.state_dict(), it.info)
    assert load_network(file)[1] == it.info, "the metadata in the file of a network are not what was written"
    images = it.validation_batches()[0]["image"]
    with torch.no_grad():
        assert _same(it.network.eval()(images), load(file)(images)), "a network from its file gives other outputs"


def check_prediction(it: Subject) -> None:
    """`fna predict` writes a result for every image."""
    file, out = it.folder / "network.safetensors", it.folder / "predicted"
    save_network(file, it.network.state_dict(), it.info)
    images = [sample.image for sample in it.data.splits["val"]]
    written = predict(file, images, out, device="cpu")
    assert [prediction.image for prediction in written] == images, "an image is missing among the predictions"
    if it.kind.ending is None:
        found = json.loads((out / PREDICTIONS_FILE).read_text(encoding="utf-8"))
        assert len(found) == len(images), f"{PREDICTIONS_FILE} has not one entry an image"
        return
    for prediction in written:
        for path in (prediction.result, prediction.overlay):
            assert path is not None
            assert path.is_file(), f"fna predict has not written {path.name}"
            if path.suffix == ".png":
                with Image.open(path) as picture:
                    picture.load()
            elif path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))


CHECKS = (check_data, check_samples, check_splits, check_losses, check_weight, check_file, check_prediction)


@torch.no_grad()
def check_evaluator(it: Subject, perfect: Perfect) -> None:
    """Parts make the whole, results have what readers need, and the perfect answer scores best."""
    network, batches, score = it.network.eval(), it.validation_batches(), it.kind.score
    untrained = [network(batch["image"]) for batch in batches]
    right = [perfect(it.task, batch, outputs) for batch, outputs in zip(batches, untrained, strict=True)]
    results = []
    for answers in (untrained, right):
        whole = _evaluated(it.task, batches, answers)
        parts = [_evaluated(it.task, batches[part], answers[part]) for part in (slice(0, 1), slice(1, None))]
        counted = [part.counted() for part in parts]
        for part in parts:  # each process goes on with what all have counted
            part.combine(counted)
            assert _close(part.result(), whole.result()), "parts of an evaluation make another result than the whole"
            assert part.files() == whole.files(), "parts of an evaluation make other files than the whole"
        json.dumps(whole.files())
        results.append(whole.result())
    guessed, best = (float(result["score"]) for result in results)
    for result in results:
        json.dumps(result)
        assert set(result["per_class"]) == set(it.task.classes), "per_class of the result has other names than classes"
        assert {score.name, *it.kind.also} <= set(result), f"the result lacks {score.name} or one of {it.kind.also}"
    assert math.isclose(best, float(results[1][score.name])), f"`score` of the result is not its {score.name}"
    assert score.better(best, guessed), (
        f"the perfect answer has {score.name} {best}, an untrained network {guessed}, and "
        f"{score.direction or 'higher is better'}"
    )
    if score.unit == "%" and score.higher_is_better:
        assert math.isclose(best, 1, rel_tol=CLOSE), f"{score.name} of the perfect answer is {best}, not 1"


class _Answers(nn.Module):
    """Says what it is told to say, whatever the images are."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: Any = None

    def forward(self, images: Tensor) -> Any:
        return self.outputs


def _evaluated(task: Task, batches: Sequence[Batch], answers: Sequence[Any]) -> Evaluator:
    evaluator, model = task.evaluator(), _Answers()
    for batch, model.outputs in zip(batches, answers, strict=True):
        evaluator.update(model, batch)
    return evaluator


def _same(one: Any, other: Any) -> bool:
    """Whether two samples or outputs are equal, bit for bit."""
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(one == other)


def _close(one: Any, other: Any) -> bool:
    """Whether two results are equal, but for the last bits of a sum."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_close(one[key], other[key]) for key in one)
    return bool(one == other)
